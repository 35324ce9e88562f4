//! A node on the broker under test, its readers, and a broker that counts its reads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Delivery, Error, Offset, ServerSentEvent, Subscription, Topics};

use super::steps::call;

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// An event with this number.
    Event(u32),
    /// A gap with this reason, and the number of lost events in it.
    Gap(&'static str, Option<u64>),
}

/// A node that has just started: its memory holds only the head of the log.
pub(super) async fn open(broker: impl Broker) -> Topics {
    let node = call("the node's start", Topics::with(broker)).await;
    node.unwrap_or_else(|error| panic!("no node: {error}"))
}

/// A reader after what it has seen, or from the start on.
pub(super) fn reader(node: &Topics, topic: &str, seen: Option<&Stored>) -> Subscription {
    let id = seen.map(|stored| stored.cursor.to_string());
    let subscribe = node.subscribe([topic]).from_start();
    let reader = subscribe.after(id.as_deref()).open();
    reader.unwrap_or_else(|error| panic!("no reader: {error}"))
}

/// The next deliveries of a reader, this number of them.
pub(super) async fn got(reader: &mut Subscription, count: usize) -> Vec<Got> {
    let mut got = Vec::new();
    for _ in 0..count {
        let delivery = call("a reader", reader.next()).await;
        got.push(match delivery {
            Some(Delivery::Gap(gap)) => Got::Gap(gap.reason().as_str(), gap.lost()),
            Some(other) => Got::Event(number(&other)),
            None => panic!("the stream ended after {got:?}"),
        });
    }
    got
}

fn number(delivery: &Delivery) -> u32 {
    let bytes = delivery.frame().map(|frame| frame.bytes());
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    data.and_then(|data| data.parse().ok())
        .unwrap_or_else(|| panic!("a foreign event: {text:?}"))
}

/// The events with these numbers.
pub(super) fn events(numbers: Range<u32>) -> Vec<Got> {
    numbers.map(Got::Event).collect()
}

/// Publishes events with these numbers.
pub(super) async fn publish(node: &Topics, topic: &str, numbers: Range<u32>) {
    for number in numbers {
        let published = try_publish(node, topic, number).await;
        published.unwrap_or_else(|error| panic!("not published: {error}"));
    }
}

/// Publishes one event, or returns the error.
pub(super) async fn try_publish(node: &Topics, topic: &str, number: u32) -> Result<(), Error> {
    let event = ServerSentEvent::text(number.to_string());
    call("a publish", node.topic(topic)?.publish(&event)?).await?;
    Ok(())
}

/// The broker under test, and the number of its reads and lookups.
#[derive(Debug)]
pub(super) struct Counted<B> {
    broker: Arc<B>,
    reads: Arc<AtomicUsize>,
}

impl<B> Counted<B> {
    pub(super) fn new(broker: Arc<B>) -> Self {
        Self {
            broker,
            reads: Arc::default(),
        }
    }

    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl<B> Clone for Counted<B> {
    fn clone(&self) -> Self {
        Self {
            broker: self.broker.clone(),
            reads: self.reads.clone(),
        }
    }
}

impl<B: Broker> Broker for Counted<B> {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        self.broker.append(records)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.broker.read(request)
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(async move {
            let newest = self.broker.newest(topics).await?;
            // A lookup without an answer does not count: the pages that follow do.
            if newest.is_some() {
                self.reads.fetch_add(1, Ordering::Relaxed);
            }
            Ok(newest)
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        self.broker.tail(from)
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        self.broker.bounds()
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        self.broker.shutdown()
    }
}
