//! The server's replies as values: ids, records, a page.

use std::sync::Arc;

use bellwether_topics::broker::{Newest, Page, Record, Trimmed};
use bellwether_topics::{Epoch, Offset};
use redis::Value;

use crate::failure::Failure;

/// An id of a stream as an offset: `milliseconds-sequence`.
pub(crate) fn offset(id: &[u8]) -> Result<Offset, Failure> {
    let parse = || {
        let (high, low) = std::str::from_utf8(id).ok()?.split_once('-')?;
        Some(Offset::pair(high.parse().ok()?, low.parse().ok()?))
    };
    parse().ok_or(Failure::UnexpectedReply("an id is not two numbers"))
}

/// An offset as an id of a stream.
pub(crate) fn id(offset: Offset) -> String {
    format!("{}-{}", offset.high(), offset.low())
}

/// Sixteen hexadecimal digits as an epoch.
pub(crate) fn epoch(digits: &[u8]) -> Result<Epoch, Failure> {
    let parse = || u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    parse()
        .map(Epoch)
        .ok_or(Failure::UnexpectedReply("an epoch is not a number"))
}

/// A decimal number as a tag.
pub(crate) fn tag(digits: &[u8]) -> Result<u32, Failure> {
    let parse = || std::str::from_utf8(digits).ok()?.parse().ok();
    parse().ok_or(Failure::UnexpectedReply("a tag is not a number"))
}

pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, Failure> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(Failure::UnexpectedReply("text was expected")),
    }
}

pub(crate) fn list(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Failure::UnexpectedReply("a list was expected")),
    }
}

/// The reply of the script that reads.
pub(crate) fn page(value: Value) -> Result<Page, Failure> {
    let [epoch_, head, first, entries, lost]: [Value; 5] = list(value)?
        .try_into()
        .map_err(|_| Failure::UnexpectedReply("a page has five parts"))?;
    let records = records(entries)?;
    Ok(Page {
        epoch: epoch(&bytes(epoch_)?)?,
        floor: before(offset(&bytes(first)?)?),
        head: offset(&bytes(head)?)?,
        records,
        trimmed: trimmed(&bytes(lost)?)?,
    })
}

/// The reply of the script that reads newest records.
pub(crate) fn newest(value: Value) -> Result<Newest, Failure> {
    let [epoch_, head, records]: [Value; 3] = list(value)?
        .try_into()
        .map_err(|_| Failure::UnexpectedReply("an answer about topics has three parts"))?;
    let record = |value| match value {
        Value::Nil => Ok::<_, Failure>(None),
        value => Ok(trimmed(&bytes(value)?)?.and_then(|last| Some((last.to, last.tag?)))),
    };
    Ok(Newest {
        epoch: epoch(&bytes(epoch_)?)?,
        head: offset(&bytes(head)?)?,
        records: list(records)?
            .into_iter()
            .map(record)
            .collect::<Result<_, Failure>>()?,
    })
}

/// The last removed record of the wanted topics: an id, and its tag if that is known; empty if nothing is known.
fn trimmed(text: &[u8]) -> Result<Option<Trimmed>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut parts = text.splitn(2, |byte| *byte == b' ');
    Ok(Some(Trimmed {
        to: offset(parts.next().unwrap_or_default())?,
        tag: parts.next().map(tag).transpose()?,
    }))
}

/// The reply of a blocking read of one stream: its entries, or none when the time is over.
pub(crate) fn stream_entries(value: Value) -> Result<Vec<Record>, Failure> {
    let entries = match value {
        Value::Nil => return Ok(Vec::new()),
        // In the newer protocol the streams are a map.
        Value::Map(mut streams) => streams.pop().map(|(_, entries)| entries),
        streams => match list(streams)?.pop() {
            Some(stream) => list(stream)?.pop(),
            None => None,
        },
    };
    records(entries.ok_or(Failure::UnexpectedReply("a stream has entries"))?)
}

fn records(entries: Value) -> Result<Vec<Record>, Failure> {
    let mut records: Vec<Record> = Vec::new();
    for entry in list(entries)? {
        let topic = records.last().map(|record| &record.topic);
        records.push(record(entry, topic)?);
    }
    Ok(records)
}

/// The offset right before the first record; zero if no record was ever removed.
fn before(first: Offset) -> Offset {
    match (first.high(), first.low()) {
        (0, 0) => Offset::ZERO,
        (high, 0) => Offset::pair(high - 1, u64::MAX),
        (high, low) => Offset::pair(high, low - 1),
    }
}

/// An entry of the stream. An entry of another program becomes a record of no topic, so that it keeps its offset. One
/// of ours that lacks a part, or has one that cannot be read, is damaged.
fn record(entry: Value, topic_before: Option<&Arc<str>>) -> Result<Record, Failure> {
    let [id, fields]: [Value; 2] = list(entry)?
        .try_into()
        .map_err(|_| Failure::UnexpectedReply("an entry has an id and fields"))?;
    let (mut is_ours, mut is_damaged) = (false, false);
    let (mut topic, mut own_tag, mut event, mut key) = (None, None, None, None);
    let mut fields = list(fields)?.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let value = bytes(value)?;
        match bytes(name)?.as_slice() {
            b"epoch" => is_ours = true,
            b"tag" => own_tag = tag(&value).ok(),
            b"topic" => {
                let same = topic_before.filter(|before| before.as_bytes() == value);
                topic = same.cloned().or_else(|| text(&value));
            }
            b"event" => event = Some(value.into()),
            b"key" => {
                key = text(&value);
                is_damaged |= key.is_none();
            }
            _ => {}
        }
    }
    is_damaged |= topic.is_none() || own_tag.is_none() || event.is_none();
    is_damaged &= is_ours;
    Ok(Record {
        offset: offset(&bytes(id)?)?,
        tag: own_tag.unwrap_or_default(),
        topic: topic.unwrap_or_default(),
        event: event.filter(|_| !is_damaged).unwrap_or_default(),
        conflation_key: key,
        is_damaged,
    })
}

fn text(bytes: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(bytes).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_id_is_an_offset_and_back() {
        for text in [
            "0-0",
            "0-7",
            "1795354023909-12",
            "18446744073709551615-18446744073709551615",
        ] {
            assert_eq!(id(offset(text.as_bytes()).unwrap()), text);
        }
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "x-1",
            "1-18446744073709551616",
        ] {
            assert!(offset(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_floor_is_the_offset_right_before_the_first_record() {
        assert_eq!(before(Offset::ZERO), Offset::ZERO);
        assert_eq!(before(Offset::pair(5, 3)), Offset::pair(5, 2));
        assert_eq!(before(Offset::pair(5, 0)), Offset::pair(4, u64::MAX));
    }

    #[test]
    fn a_foreign_entry_keeps_its_offset() {
        let fields = Value::Array(vec![bulk("temperature"), bulk("21")]);
        let entry = Value::Array(vec![bulk("5-1"), fields]);
        let record = record(entry, None).unwrap();
        assert_eq!((record.offset, record.tag), (Offset::pair(5, 1), 0));
        assert!(record.topic.is_empty() && record.event.is_empty());
    }

    #[test]
    fn an_entry_of_ours_that_lacks_a_part_is_damaged() {
        let whole = [
            ("epoch", "e"),
            ("tag", "7"),
            ("topic", "t"),
            ("event", "x"),
            ("key", "k"),
        ];
        let read = |fields: &[(&str, &str)]| {
            let fields = fields
                .iter()
                .flat_map(|(name, value)| [bulk(name), bulk(value)]);
            let entry = Value::Array(vec![bulk("5-1"), Value::Array(fields.collect())]);
            record(entry, None).unwrap()
        };
        assert!(!read(&whole).is_damaged && !read(&whole[..4]).is_damaged);
        for lost in 1..4 {
            let mut fields = whole.to_vec();
            fields.remove(lost);
            let record = read(&fields);
            assert!(record.is_damaged && record.event.is_empty(), "{lost}");
        }
        let mut fields = whole.to_vec();
        fields[1].1 = "x7";
        assert!(read(&fields).is_damaged);
        fields.remove(0);
        assert!(!read(&fields).is_damaged, "that of another program is not");
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        for answer in [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![]),
            Value::Array(vec![
                bulk("x"),
                bulk("1-1"),
                bulk("0-0"),
                Value::Array(vec![]),
                bulk(""),
            ]),
            Value::Array(vec![
                bulk("0"),
                bulk("1-1"),
                bulk("0-0"),
                Value::Array(vec![Value::Nil]),
                bulk(""),
            ]),
            Value::Array(vec![
                bulk("0"),
                bulk("1-1"),
                bulk("0-0"),
                Value::Array(vec![]),
                bulk("1-1 x"),
            ]),
        ] {
            assert!(page(answer).is_err());
        }
    }
}
