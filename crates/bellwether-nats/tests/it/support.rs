//! What the tests share: a server, logs on it, and a plain client for what an administrator may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_nats::Client;
use bellwether_nats::{NatsBroker, NatsBuilder};
use bellwether_testkit::{NatsServer, or_skip};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, BrokerError, NewRecord, Page, ReadRequest, Stored, Tail};
use bytes::Bytes;
use serde_json::{Value, json};

/// A new name for a stream.
pub(crate) fn stream_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("log-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn builder(server: &NatsServer) -> NatsBuilder {
    NatsBroker::builder(&server.url()).stream(&stream_name())
}

/// The log of this broker, for another one.
pub(crate) fn same_log(server: &NatsServer, broker: &NatsBroker) -> NatsBuilder {
    NatsBroker::builder(&server.url()).stream(broker.stream())
}

/// A server with one log, if a server can be started.
pub(crate) async fn start() -> Option<(NatsServer, NatsBroker)> {
    start_with(|builder| builder).await
}

/// The same with settings of the log.
pub(crate) async fn start_with(
    settings: impl FnOnce(NatsBuilder) -> NatsBuilder,
) -> Option<(NatsServer, NatsBroker)> {
    let server = or_skip(NatsServer::start("").await)?;
    let broker = settings(builder(&server)).connect().await.unwrap();
    Some((server, broker))
}

pub(crate) async fn client(server: &NatsServer) -> Client {
    async_nats::connect(server.url()).await.unwrap()
}

/// A request to JetStream's API, which must succeed.
pub(crate) async fn api(client: &Client, what: &str, request: Value) -> Value {
    let subject = format!("$JS.API.{what}");
    let answer = client.request(subject, Bytes::from(request.to_string()));
    let answer: Value = serde_json::from_slice(&answer.await.unwrap().payload).unwrap();
    assert!(answer.get("error").is_none(), "{what}: {answer}");
    answer
}

/// Changes settings of a stream.
pub(crate) async fn edit(client: &Client, stream: &str, change: impl FnOnce(&mut Value)) {
    let info = api(client, &format!("STREAM.INFO.{stream}"), json!({})).await;
    let mut config = info["config"].clone();
    change(&mut config);
    api(client, &format!("STREAM.UPDATE.{stream}"), config).await;
}

pub(crate) fn record(topic: &str, number: u32) -> NewRecord {
    NewRecord {
        topic: Arc::from(topic),
        tag: fastrand::u32(..),
        event: Bytes::from(format!("data: {number}\n\n")),
        idempotency_key: None,
        conflation_key: None,
    }
}

/// The same in the topic `t`, under one idempotency key whatever its number.
pub(crate) fn keyed(number: u32) -> NewRecord {
    let mut record = record("t", number);
    record.idempotency_key = Some(Arc::from("k"));
    record
}

pub(crate) fn number_of(event: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(event).ok()?;
    text.strip_prefix("data: ")?.trim_end().parse().ok()
}

pub(crate) async fn append(broker: &NatsBroker, record: NewRecord) -> Result<Stored, BrokerError> {
    broker.append(&[record]).await?.remove(0)
}

/// Appends records with these numbers, in one list.
pub(crate) async fn fill(broker: &NatsBroker, numbers: std::ops::Range<u32>) -> Vec<Stored> {
    let records: Vec<_> = numbers.map(|number| record("t", number)).collect();
    let answers = broker.append(&records).await.unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

pub(crate) async fn read(broker: &NatsBroker, from: Offset, max_records: usize) -> Page {
    let request = ReadRequest {
        from,
        topics: None,
        max_records,
        max_bytes: 1 << 20,
    };
    broker.read(request).await.unwrap()
}

/// The numbers of all events of the log that are ours, in order.
pub(crate) async fn all_numbers(broker: &NatsBroker) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut from = Offset::ZERO;
    loop {
        let page = read(broker, from, 1000).await;
        let new = page.records.iter().filter(|record| record.offset > from);
        let new: Vec<_> = new.collect();
        let Some(last) = new.last() else {
            return numbers;
        };
        numbers.extend(new.iter().filter_map(|record| number_of(&record.event)));
        from = last.offset;
    }
}

/// Waits for the tail to bring records until the callback returns true.
pub(crate) async fn follow_until(
    tail: &mut Box<dyn Tail>,
    mut enough: impl FnMut(&Page) -> bool,
) -> Result<(), BrokerError> {
    let followed = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let page = tail.next().await?;
            if enough(&page) {
                return Ok(());
            }
        }
    });
    followed.await.unwrap()
}

/// A tail of the log from this record on, which it has brought.
pub(crate) async fn tail_from(broker: &NatsBroker, from: Offset) -> Box<dyn Tail> {
    let mut tail = broker.tail(from).await.unwrap();
    follow_until(&mut tail, |page| !page.records.is_empty())
        .await
        .unwrap();
    tail
}

/// Waits for the tail, which has brought the record `last`, to bring all others up to `end`, none of them left out.
pub(crate) async fn follow_to(
    tail: &mut Box<dyn Tail>,
    last: &mut Offset,
    end: Offset,
) -> Result<(), BrokerError> {
    let followed = follow_until(tail, |page| {
        for record in &page.records {
            assert_eq!(record.offset, Offset::new(last.low() + 1), "no hole");
            *last = record.offset;
        }
        *last == end
    });
    followed.await
}

/// Waits for the tail to fail within this time, and returns the error.
pub(crate) async fn fails_within(time: Duration, tail: &mut Box<dyn Tail>) -> BrokerError {
    let started = Instant::now();
    let error = follow_until(tail, |_| false).await.unwrap_err();
    let took = started.elapsed();
    assert!(took < time, "{took:?}");
    error
}

/// Waits until a condition is true that only a request to the server can check.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let is_true = tokio::time::timeout(Duration::from_secs(60), poll).await;
    assert!(is_true.is_ok(), "{what} did not come true");
}
