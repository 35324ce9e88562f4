//! Numbered records, and short forms of the calls that most tests make.

use std::sync::Arc;

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::Offset;
use bellwether_topics::broker::{
    Broker, BrokerError, NewRecord, Page, ReadRequest, Record, Stored, Tail,
};

/// A record whose event is its number.
pub(crate) fn record(topic: &str, number: u64) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        tag: (number as u32).wrapping_mul(0x9e37_79b9),
        event: format!("data: {number}\n\n").into(),
        idempotency_key: None,
        conflation_key: None,
    }
}

pub(crate) fn keyed(topic: &str, number: u64, key: &str) -> NewRecord {
    NewRecord {
        idempotency_key: Some(key.into()),
        ..record(topic, number)
    }
}

/// The number in a record's event.
pub(crate) fn number(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.event).unwrap();
    let digits = text.trim_start_matches("data: ").trim_end();
    digits.parse().unwrap()
}

pub(crate) async fn append(
    broker: &SqliteBroker,
    records: &[NewRecord],
) -> Result<Vec<Stored>, BrokerError> {
    broker.append(records).await?.into_iter().collect()
}

/// Appends records with these numbers to the topic `t`.
pub(crate) async fn fill(broker: &SqliteBroker, numbers: std::ops::Range<u64>) -> Vec<Stored> {
    let records: Vec<_> = numbers.map(|number| record("t", number)).collect();
    let mut stored = Vec::new();
    for batch in records.chunks(1000) {
        stored.extend(append(broker, batch).await.unwrap());
    }
    stored
}

pub(crate) async fn read(
    broker: &SqliteBroker,
    from: Offset,
    topics: Option<&[Arc<str>]>,
) -> Result<Page, BrokerError> {
    let request = ReadRequest {
        from,
        topics,
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    };
    broker.read(request).await
}

/// Appends three records to an empty log; a tail that has brought the last of them.
pub(crate) async fn three_and_a_tail(broker: &SqliteBroker) -> Box<dyn Tail> {
    fill(broker, 0..3).await;
    let mut tail = broker.tail(Offset::new(3)).await.unwrap();
    let page = tail.next().await.unwrap();
    assert_eq!(page.records.iter().map(number).collect::<Vec<_>>(), [2]);
    tail
}

/// The numbers of all records.
pub(crate) async fn all(broker: &SqliteBroker) -> Vec<u64> {
    let page = read(broker, Offset::ZERO, None).await.unwrap();
    page.records.iter().map(number).collect()
}
