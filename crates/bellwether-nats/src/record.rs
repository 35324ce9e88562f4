//! Records as messages: what is in the subject, and what in the headers.
//!
//! | of the record | where |
//! |---|---|
//! | topic | the subject's last token |
//! | tag | header `Bellwether-Tag`, eight hexadecimal digits |
//! | conflation key | header `Bellwether-Key`, written like a topic |
//! | idempotency key | within the hash in `Nats-Msg-Id` |
//! | event | the payload |
//!
//! A message without a tag was published by another program. It becomes a record of a topic that no program can name,
//! so that it never reaches a reader, with its own offset, so that the log has no hole there. A message whose tag or
//! names cannot be read is a damaged record, and so is one that the server has lost from the middle of the stream.

use std::sync::Arc;

use async_nats::{HeaderMap, Message};
use bellwether_topics::Offset;
use bellwether_topics::broker::{NewRecord, Record};
use bytes::Bytes;

use crate::api::RawMessage;
use crate::name;

pub(crate) const TAG: &str = "Bellwether-Tag";
pub(crate) const KEY: &str = "Bellwether-Key";
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The topic of messages that are no records of ours: names of topics have no control characters.
const FOREIGN_TOPIC: &str = "\u{1}";
/// An event that is only a comment.
const NOTHING: &[u8] = b":\n\n";

/// The record that keeps a log from becoming empty when all others grow too old. The caller gives the tag.
pub(crate) fn marker(tag: u32) -> NewRecord {
    NewRecord {
        topic: Arc::from(FOREIGN_TOPIC),
        tag,
        event: Bytes::from_static(NOTHING),
        idempotency_key: None,
        conflation_key: None,
    }
}

/// The headers of a record.
pub(crate) fn headers(record: &NewRecord, message_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, message_id);
    headers.insert(TAG, format!("{:08x}", record.tag));
    if let Some(key) = &record.conflation_key {
        headers.insert(KEY, name::encode(key));
    }
    headers
}

/// The record in a message that a consumer delivered.
pub(crate) fn of_message(offset: u64, message: Message, prefix: &str) -> Record {
    let header = |name: &str| {
        let value = message.headers.as_ref()?.get(name)?;
        Some(value.as_str().to_owned())
    };
    let (tag, key) = (header(TAG), header(KEY));
    assemble(offset, &message.subject, prefix, tag, key, message.payload)
}

/// The record in a message that was asked for by its number.
pub(crate) fn of_raw(message: &RawMessage, prefix: &str) -> Record {
    let payload = Bytes::from(message.data().unwrap_or_default());
    let (tag, key) = (message.header(TAG), message.header(KEY));
    assemble(message.seq, &message.subject, prefix, tag, key, payload)
}

fn assemble(
    offset: u64,
    subject: &str,
    prefix: &str,
    tag: Option<String>,
    key: Option<String>,
    event: Bytes,
) -> Record {
    let token = subject
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('.'));
    let topic = token.and_then(name::decode);
    // A message without a tag was published by another program.
    let is_foreign = tag.is_none();
    let own_tag = tag.and_then(|tag| u32::from_str_radix(&tag, 16).ok());
    let has_key = key.is_some();
    let own_key = key.and_then(|key| name::decode(&key)).map(Arc::from);
    let is_damaged = topic.is_none() || own_tag.is_none() || (has_key && own_key.is_none());
    let offset = Offset::new(offset);
    match (is_foreign, is_damaged) {
        (true, _) => Record {
            offset,
            tag: 0,
            topic: Arc::from(FOREIGN_TOPIC),
            event: Bytes::from_static(NOTHING),
            conflation_key: None,
            is_damaged: false,
        },
        (false, is_damaged) => Record {
            offset,
            tag: own_tag.unwrap_or_default(),
            topic: Arc::from(topic.unwrap_or_default()),
            event: if is_damaged { Bytes::new() } else { event },
            conflation_key: own_key,
            is_damaged,
        },
    }
}

/// The damaged record for a message that the server has lost.
pub(crate) fn lost(offset: u64, topic: Arc<str>) -> Record {
    Record {
        offset: Offset::new(offset),
        tag: 0,
        topic,
        event: Bytes::new(),
        conflation_key: None,
        is_damaged: true,
    }
}

/// The numbers of a delivered message, which JetStream writes into its reply subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The message's number in the stream.
    pub(crate) stream: u64,
    /// Its number among those delivered by this consumer, without holes.
    pub(crate) consumer: u64,
    /// When it was stored, in nanoseconds since 1970 by the server's clock.
    pub(crate) stored_at: u64,
    /// The number of further messages for this consumer.
    pub(crate) pending: u64,
}

/// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream>.<consumer>.<time>.<pending>`, or the longer form of later
/// servers with domain and account in front.
pub(crate) fn delivery(reply: &str) -> Option<Delivery> {
    let mut tokens = reply.strip_prefix("$JS.ACK.")?.split('.');
    let skipped = match reply.split('.').count() {
        9 => 3,
        11.. => 5,
        _ => return None,
    };
    tokens.nth(skipped - 1)?;
    let mut number = || tokens.next()?.parse().ok();
    Some(Delivery {
        stream: number()?,
        consumer: number()?,
        stored_at: number()?,
        pending: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_delivery_are_read() {
        let expected = Delivery {
            stream: 22,
            consumer: 33,
            stored_at: 44,
            pending: 5,
        };
        let short = "$JS.ACK.stream.consumer.1.22.33.44.5";
        let long = "$JS.ACK._.hash.stream.consumer.1.22.33.44.5";
        let longer = "$JS.ACK.domain.hash.stream.consumer.1.22.33.44.5.random";
        for reply in [short, long, longer] {
            assert_eq!(delivery(reply), Some(expected), "{reply}");
        }
        for other in [
            "",
            "$JS.ACK.a",
            "$JS.ACK.s.c.1.x.33.44.5",
            "_INBOX.1.2.3.4.5.6.7.8",
        ] {
            assert_eq!(delivery(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_of_ours_that_cannot_be_read_is_damaged() {
        let text = |text: &str| Some(text.to_owned());
        let read = |subject, tag, key| {
            let payload = Bytes::from_static(b"data: 1\n\n");
            assemble(7, subject, "p", text(tag), key, payload)
        };
        assert!(!read("p.news", "0000002a", None).is_damaged);
        for damaged in [
            read("p.news", "0000002x", None),
            read("p.%", "0000002a", None),
            read("p.news", "0000002a", text("%")),
        ] {
            assert!(damaged.is_damaged && damaged.event.is_empty());
            assert_eq!(damaged.offset, Offset::new(7));
        }
    }

    #[test]
    fn a_message_of_another_program_becomes_a_record_of_no_topic() {
        let payload = Bytes::from_static(b"id: forged\n\n");
        let record = assemble(7, "p.news", "p", None, None, payload);
        assert_eq!(
            (&*record.topic, &record.event[..]),
            (FOREIGN_TOPIC, NOTHING)
        );
        assert_eq!(record.offset, Offset::new(7));
    }
}
