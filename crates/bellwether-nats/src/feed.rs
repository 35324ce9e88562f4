//! [`Feed`]: one consumer of the stream and what it delivers, checked for completeness.
//!
//! The consumer is ephemeral, in memory, without acknowledgements: the cursor is ours, and the server removes the
//! consumer some time after the last pull. It numbers its deliveries without holes. So the feed notices a message that
//! was lost on the way, in a buffer that was full or with a connection that broke. A feed is never repaired: on any
//! doubt it fails, and a new one starts from the last record that was taken.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bellwether_topics::broker::{BrokerError, Record};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::api::{ApiError, ConsumerInfo, Pull};
use crate::link::{Generation, Link};
use crate::name;
use crate::record::{self, Delivery};
use crate::settings::{Wanted, nanoseconds};

/// How long the server keeps a consumer without pulls.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

/// The same for a consumer that is read to its end at once.
const BARE_THRESHOLD: Duration = Duration::from_secs(2);

const LAST_CONSUMER: &str = "Nats-Last-Consumer";

#[derive(Debug)]
pub(crate) struct Feed {
    link: Arc<Link>,
    names: Arc<Wanted>,
    generation: Generation,
    consumer: String,
    inbox: String,
    messages: Subscriber,
    pulls: u64,
    /// The messages and bytes that the present pull may still bring; no messages when it is over.
    left: usize,
    left_bytes: Option<usize>,
    delivered: u64,
    last: u64,
}

/// What a feed brings.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record.
    Record(Record, Delivery),
    /// Nothing at the moment; the server responds.
    Beat,
    /// The pull is over.
    End(End),
}

/// Why a pull is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is nothing more at the moment, or the pull's time is over.
    Quiet,
    /// The pull has brought what it asked for, or the next message exceeds its bound in bytes.
    Full,
}

impl End {
    /// Reads the status that ends a pull; `None` for one that ends the consumer.
    fn of(status: StatusCode, text: &str) -> Option<Self> {
        match status {
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Some(Self::Quiet),
            StatusCode::REQUEST_TERMINATED => {
                let text = text.to_ascii_lowercase();
                // Clusters of later servers send the second text, beside the messages.
                let is_full = text.contains("maxbytes") || text.contains("batch completed");
                is_full.then_some(Self::Full)
            }
            _ => None,
        }
    }
}

impl Feed {
    /// A consumer from this offset on, inclusive, of these topics or of all.
    ///
    /// A server before 2.10 does not know several filters, and then delivers all topics.
    pub(crate) async fn open(
        link: &Arc<Link>,
        names: &Arc<Wanted>,
        from: u64,
        topics: Option<&[Arc<str>]>,
    ) -> Result<Self, ApiError> {
        let subject =
            |topic: &Arc<str>| format!("{}.{}", names.subject_prefix, name::encode(topic));
        let filter = match topics {
            Some([topic]) => json!({ "filter_subject": subject(topic) }),
            Some(topics) => {
                json!({ "filter_subjects": topics.iter().map(subject).collect::<Vec<_>>() })
            }
            None => json!({}),
        };
        Self::open_with(link, names, from, filter).await
    }

    /// A consumer of all topics that delivers messages without their payload.
    pub(crate) async fn open_bare(
        link: &Arc<Link>,
        names: &Arc<Wanted>,
        from: u64,
    ) -> Result<Self, ApiError> {
        Self::open_with(
            link,
            names,
            from,
            json!({
                "headers_only": true,
                "inactive_threshold": nanoseconds(BARE_THRESHOLD),
            }),
        )
        .await
    }

    /// A consumer with some settings of its own.
    async fn open_with(
        link: &Arc<Link>,
        names: &Arc<Wanted>,
        from: u64,
        own: Value,
    ) -> Result<Self, ApiError> {
        let generation = link.current()?;
        let mut config = json!({
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from.max(1),
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": nanoseconds(INACTIVE_THRESHOLD),
        });
        if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
            config.extend(own);
        }
        let request = json!({ "stream_name": names.stream, "config": config }).to_string();
        let what = format!("CONSUMER.CREATE.{}", names.stream);
        let created: ConsumerInfo = link.ask(&what, Bytes::from(request)).await?;
        let inbox = link.client().new_inbox();
        let messages = link.client().subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            link: link.clone(),
            names: names.clone(),
            generation,
            consumer: created.name,
            inbox,
            messages: messages.map_err(|_| ApiError::NotConnected)?,
            pulls: 0,
            left: 0,
            left_bytes: None,
            delivered: 0,
            last: 0,
        })
    }

    /// Whether the connection is still the one that this feed started on.
    pub(crate) fn is_current(&self) -> bool {
        self.link.generation() == Some(self.generation)
    }

    /// Whether a pull is under way.
    pub(crate) fn is_pulling(&self) -> bool {
        self.left > 0
    }

    /// Asks for messages. One pull at a time: the next one when the last is over.
    pub(crate) async fn pull(&mut self, pull: Pull) -> Result<(), BrokerError> {
        let request = serde_json::to_vec(&pull).map_err(|error| {
            BrokerError::unavailable("a pull cannot be written").with_source(error)
        })?;
        let number = self.pulls + 1;
        let link = &self.link;
        let subject = link.api_subject(&format!(
            "CONSUMER.MSG.NEXT.{}.{}",
            self.names.stream, self.consumer
        ));
        let reply = format!("{}.{number}", self.inbox);
        // A future that is dropped here has sent nothing.
        link.client()
            .publish_with_reply(subject, reply, Bytes::from(request))
            .await
            .map_err(|_| ApiError::NotConnected)?;
        self.pulls = number;
        self.left = pull.batch;
        self.left_bytes = (pull.max_bytes > 0).then_some(pull.max_bytes);
        Ok(())
    }

    /// The next item. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Item, BrokerError> {
        loop {
            let message = tokio::select! {
                biased;
                message = self.messages.next() => message,
                error = self.link.lost(self.generation) => return Err(error.into()),
            };
            let message = message.ok_or(ApiError::NotConnected)?;
            if let Some(item) = self.take(message)? {
                return Ok(item);
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Item>, BrokerError> {
        let Some(status) = message.status else {
            return self.take_record(message).map(Some);
        };
        if status == StatusCode::IDLE_HEARTBEAT {
            let header = message.headers.as_ref().and_then(|h| h.get(LAST_CONSUMER));
            let sent = header.and_then(|value| value.as_str().parse::<u64>().ok());
            return match sent {
                Some(sent) if sent > self.delivered => Err(lost(self.delivered, sent)),
                _ => Ok(Some(Item::Beat)),
            };
        }
        let text = message.description.unwrap_or_default();
        let Some(end) = End::of(status, &text) else {
            return Err(BrokerError::unavailable(format!(
                "the consumer ended: {status} {text}"
            )));
        };
        // It is the end of an earlier pull.
        if message.subject.rsplit('.').next() != Some(&*self.pulls.to_string()) {
            return Ok(None);
        }
        self.left = 0;
        Ok(Some(Item::End(end)))
    }

    fn take_record(&mut self, message: Message) -> Result<Item, BrokerError> {
        let delivery = message.reply.as_ref().and_then(|r| record::delivery(r));
        let Some(delivery) = delivery else {
            return Err(BrokerError::unavailable(
                "a message came that is no delivery of JetStream",
            ));
        };
        if delivery.consumer != self.delivered + 1 || delivery.stream <= self.last {
            return Err(lost(self.delivered, delivery.consumer));
        }
        self.delivered = delivery.consumer;
        self.last = delivery.stream;
        self.left = self.left.saturating_sub(1);
        // The server counts the same. When no byte is left it ends the pull without a status message.
        if let Some(left) = &mut self.left_bytes {
            *left = left.saturating_sub(message.length);
            if *left == 0 {
                self.left = 0;
            }
        }
        let record = record::of_message(delivery.stream, message, &self.names.subject_prefix);
        Ok(Item::Record(record, delivery))
    }
}

fn lost(delivered: u64, sent: u64) -> BrokerError {
    BrokerError::unavailable(format!(
        "messages were lost on the way: number {sent} came after number {delivered}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_status_texts_end_the_consumer() {
        for (status, text, end) in [
            (StatusCode::NOT_FOUND, "No Messages", Some(End::Quiet)),
            (StatusCode::TIMEOUT, "Request Timeout", Some(End::Quiet)),
            (
                StatusCode::REQUEST_TERMINATED,
                "Message Size Exceeds MaxBytes",
                Some(End::Full),
            ),
            (
                StatusCode::REQUEST_TERMINATED,
                "Batch Completed",
                Some(End::Full),
            ),
            (StatusCode::REQUEST_TERMINATED, "Consumer Deleted", None),
            (StatusCode::REQUEST_TERMINATED, "Leadership Change", None),
            (StatusCode::REQUEST_TERMINATED, "Server Shutdown", None),
            (StatusCode::NO_RESPONDERS, "", None),
        ] {
            assert_eq!(End::of(status, text), end, "{status} {text}");
        }
    }
}
