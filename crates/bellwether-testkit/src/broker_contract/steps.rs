//! Steps of the promises: calls that must answer in time and succeed, and reading to the end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, Page, ReadRequest, Record, Stored, Tail};
use bytes::Bytes;

use crate::within;

/// How long a single call may take on a busy machine.
const CALL: Duration = Duration::from_secs(10);

/// The result of a call, which must come in time.
pub(super) async fn call<T>(what: &str, future: impl Future<Output = T>) -> T {
    match within(CALL, future).await {
        Some(output) => output,
        None => panic!("{what} did not answer within {CALL:?}"),
    }
}

/// A record with this number in its event and its tag.
pub(super) fn record(topic: &str, number: u32) -> NewRecord {
    NewRecord {
        topic: Arc::from(topic),
        tag: number.wrapping_mul(0x9e37_79b9),
        event: Bytes::from(format!("data: {number}\n\n")),
        idempotency_key: None,
        conflation_key: None,
    }
}

/// The numbers of the records, in their order.
pub(super) fn numbers(records: &[Record]) -> Vec<u32> {
    let number = |record: &Record| {
        let text = String::from_utf8_lossy(&record.event).into_owned();
        let digits = text.trim_start_matches("data: ").trim_end();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("a foreign event: {text:?}"))
    };
    records.iter().map(number).collect()
}

/// Appends records, none of which may be refused.
pub(super) async fn append(broker: &impl Broker, records: &[NewRecord]) -> Vec<Stored> {
    let results = call("append", broker.append(records)).await;
    let results = results.unwrap_or_else(|error| panic!("append failed: {error}"));
    assert_eq!(results.len(), records.len(), "one answer per record");
    let stored = |result: Result<_, _>| result.unwrap_or_else(|error| panic!("refused: {error}"));
    results.into_iter().map(stored).collect()
}

/// Appends records with these numbers to a topic, in several calls.
pub(super) async fn fill(
    broker: &impl Broker,
    topic: &str,
    numbers: std::ops::Range<u32>,
) -> Vec<Stored> {
    let records: Vec<_> = numbers.map(|number| record(topic, number)).collect();
    let mut stored = Vec::new();
    for batch in records.chunks(7) {
        stored.extend(append(broker, batch).await);
    }
    stored
}

/// One page.
pub(super) async fn read(
    broker: &impl Broker,
    from: Offset,
    topics: Option<&[Arc<str>]>,
    max: usize,
) -> Page {
    let request = ReadRequest {
        from,
        topics,
        max_records: max,
        max_bytes: 1 << 20,
    };
    let page = call("read", broker.read(request)).await;
    page.unwrap_or_else(|error| panic!("read failed: {error}"))
}

/// Reads to the end in small pages, and checks how the pages join.
pub(super) async fn read_all(
    broker: &impl Broker,
    from: Offset,
    topics: Option<&[Arc<str>]>,
) -> Vec<Record> {
    let mut offset = from;
    let mut all: Vec<Record> = Vec::new();
    loop {
        let page = read(broker, offset, topics, 5).await;
        let mut records = page.records;
        if offset != Offset::ZERO {
            let anchor = records.first().map(|record| record.offset);
            assert_eq!(anchor, Some(offset), "a page starts at its anchor");
            let anchor = records.remove(0);
            if let Some(last) = all.last() {
                assert_eq!(
                    anchor, *last,
                    "the anchor is the record that was there before"
                );
            }
        }
        let Some(last) = records.last() else {
            return all;
        };
        assert!(last.offset > offset, "a page moves on");
        offset = last.offset;
        all.extend(records);
    }
}

/// A tail that starts at this offset.
pub(super) async fn open_tail(broker: &impl Broker, from: Offset) -> Box<dyn Tail> {
    let tail = call("tail", broker.tail(from)).await;
    tail.unwrap_or_else(|error| panic!("tail failed: {error}"))
}

/// The next page of a tail.
pub(super) async fn next(tail: &mut Box<dyn Tail>) -> Page {
    let page = call("the tail", tail.next()).await;
    page.unwrap_or_else(|error| panic!("the tail failed: {error}"))
}

/// Follows a tail until it has brought this number of records, of which the first is at `anchor` unless that is zero.
pub(super) async fn follow(tail: &mut Box<dyn Tail>, anchor: Offset, count: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    call("the tail with its records", async {
        while records.len() < count {
            records.extend(next(tail).await.records);
            if anchor != Offset::ZERO {
                let first = records.first().map(|record| record.offset);
                assert_eq!(first, Some(anchor), "the first page starts with the anchor");
            }
        }
    })
    .await;
    records
}

/// Checks that offsets rise.
pub(super) fn check_order(records: &[Record]) {
    let rises = |pair: &[Record]| pair[0].offset < pair[1].offset;
    assert!(records.windows(2).all(rises), "offsets rise");
}

/// Waits until the log has been silent for this number of heartbeats, which take about a second each.
pub(super) async fn wait_for_heartbeats(broker: &impl Broker, count: usize) {
    let bounds = call("bounds", broker.bounds()).await;
    let bounds = bounds.unwrap_or_else(|error| panic!("bounds failed: {error}"));
    let mut tail = open_tail(broker, bounds.head).await;
    let mut silent = 0;
    while silent < count {
        if next(&mut tail).await.records.is_empty() {
            silent += 1;
        }
    }
}
