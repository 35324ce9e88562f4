//! Many readers of quiet topics that come back to a node which was just started.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::{Delivery, ServerSentEvent, Subscription, Topics};
use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use bellwether_topics::{Error, Offset};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::daemons::Daemon;
use super::routes::{Fill, publish_in_order};
use crate::load::latencies::Latencies;
use crate::load::numbered::payload;

/// The data of an event.
const EVENT_BYTES: usize = 300;
/// The time in which a node's publishes are measured while no reader comes back.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// A broker that answers no reader for so long has answered all of them.
const SILENCE: Duration = Duration::from_millis(200);
/// Publishes to quiet topics that wait at once; fewer than a node allows by default.
const AT_ONCE: usize = 512;

#[derive(Debug, Deserialize)]
pub(super) struct Crowd {
    /// Each has a topic of its own, with one event.
    readers: usize,
    /// Events of the topic that none of them reads.
    events: u64,
}

/// The figures of [`crowd`], in the order of the answer.
#[derive(Debug)]
struct Found {
    /// Milliseconds from the first reader's coming until the broker has answered the last one.
    caught_up: f64,
    /// Milliseconds from the first publish to a quiet topic until all readers have theirs.
    delivered: f64,
    /// Pages read from the broker, and lookups of many topics at once.
    reads: u64,
    quiet_p99: f64,
    p99: f64,
    /// The count of the server behind the broker meanwhile.
    count: u64,
    /// Readers that got a gap, of which there must be none.
    gaps: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            caught_up,
            delivered,
            reads,
            quiet_p99,
            p99,
            count,
            gaps,
        } = self;
        write!(
            f,
            "{caught_up} {delivered} {reads} {quiet_p99} {p99} {count} {gaps}"
        )
    }
}

/// Fills the log, starts a second node, and has a reader of each quiet topic come back to it.
pub(super) async fn crowd(
    first: &Topics,
    broker: &Arc<dyn Broker>,
    daemon: Option<&Arc<Daemon>>,
    asked: &Crowd,
) -> Result<String, Error> {
    let names: Vec<String> = (0..asked.readers).map(|n| format!("quiet-{n}")).collect();
    let ids = publish_to_each(first, &names).await?;
    let fill = Fill {
        events: asked.events,
        size: EVENT_BYTES,
    };
    publish_in_order(&first.topic("loud")?, &fill).await?;

    let counting = Arc::new(Counting::new(broker.clone()));
    let node = Topics::with(counting.clone()).await?;
    let begun = Instant::now();
    let quiet = time_publishes(&node, || begun.elapsed() > QUIET_TIME).await?;
    let before = count(daemon.cloned()).await;
    let started = Instant::now();
    let mut readers = JoinSet::new();
    for (name, id) in names.iter().zip(&ids) {
        let reader = node.topic(name)?.subscribe().after(id.as_str()).open()?;
        readers.spawn(take_one(reader));
    }
    let watching = tokio::spawn(watch(counting.clone(), daemon.cloned()));
    let meanwhile = time_publishes(&node, || watching.is_finished()).await?;
    let most = watching.await.unwrap_or_default();
    let answered = counting.last_answer(started);

    let published = Instant::now();
    publish_to_each(&node, &names).await?;
    let mut gaps = 0;
    while let Some(told) = readers.join_next().await {
        gaps += told.unwrap_or(1);
    }
    let delivered = published.elapsed();
    let found = Found {
        caught_up: milliseconds(answered),
        delivered: milliseconds(delivered),
        reads: counting.reads.load(Ordering::Relaxed),
        quiet_p99: quiet.percentile(0.99),
        p99: meanwhile.percentile(0.99),
        count: most
            .max(count(daemon.cloned()).await)
            .saturating_sub(before),
        gaps,
    };
    Ok(found.to_string())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Publishes an event to each topic; their ids.
async fn publish_to_each(node: &Topics, names: &[String]) -> Result<Vec<String>, Error> {
    let event = ServerSentEvent::text(payload(0, EVENT_BYTES));
    let mut ids = Vec::with_capacity(names.len());
    for names in names.chunks(AT_ONCE) {
        let published: Result<Vec<_>, Error> = names
            .iter()
            .map(|name| node.topic(name)?.publish(&event))
            .collect();
        for id in published? {
            ids.push(id.await?.to_string());
        }
    }
    Ok(ids)
}

/// Publishes to the loud topic, one event after the other, and times each.
async fn time_publishes(node: &Topics, is_over: impl Fn() -> bool) -> Result<Latencies, Error> {
    let topic = node.topic("loud")?;
    let event = ServerSentEvent::text(payload(0, EVENT_BYTES));
    let mut latencies = Latencies::new();
    while !is_over() {
        let started = Instant::now();
        topic.publish(&event)?.await?;
        latencies.add(started.elapsed());
    }
    Ok(latencies)
}

/// Waits for the one event that comes, and returns the number of gaps before it.
async fn take_one(mut reader: Subscription) -> u64 {
    let mut gaps = 0;
    loop {
        match reader.next().await {
            Some(Delivery::Event(_)) => return gaps,
            Some(Delivery::Gap(_)) => gaps += 1,
            Some(_) => {}
            None => return gaps + 1,
        }
    }
}

/// Waits until the broker has answered every reader; the most that its server counted meanwhile.
async fn watch(counting: Arc<Counting>, daemon: Option<Arc<Daemon>>) -> u64 {
    let (mut most, mut silent_since) = (0, Instant::now());
    while silent_since.elapsed() < SILENCE {
        tokio::time::sleep(SILENCE / 10).await;
        most = most.max(count(daemon.clone()).await);
        if counting.is_busy() {
            silent_since = Instant::now();
        }
    }
    most
}

async fn count(daemon: Option<Arc<Daemon>>) -> u64 {
    let Some(daemon) = daemon else { return 0 };
    let counted = tokio::task::spawn_blocking(move || daemon.count()).await;
    counted.ok().and_then(Result::ok).unwrap_or_default()
}

/// A broker that counts its calls.
#[derive(Debug)]
struct Counting {
    broker: Arc<dyn Broker>,
    reads: AtomicU64,
    answers: AtomicU64,
    since: Instant,
    /// Nanoseconds since then.
    last_answer: AtomicU64,
}

impl Counting {
    fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            reads: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            since: Instant::now(),
            last_answer: AtomicU64::new(0),
        }
    }

    /// Whether an answer is outstanding, or was a moment ago.
    fn is_busy(&self) -> bool {
        let reads = self.reads.load(Ordering::Relaxed);
        reads > self.answers.load(Ordering::Relaxed) || self.last_answer_age() < SILENCE / 5
    }

    async fn counted<T>(&self, call: impl Future<Output = T>) -> T {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let answer = call.await;
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last_answer.fetch_max(nanos, Ordering::Relaxed);
        self.answers.fetch_add(1, Ordering::Relaxed);
        answer
    }

    fn last_answer_at(&self) -> Instant {
        self.since + Duration::from_nanos(self.last_answer.load(Ordering::Relaxed))
    }

    fn last_answer_age(&self) -> Duration {
        self.last_answer_at().elapsed()
    }

    /// How long after a moment the last answer came.
    fn last_answer(&self, after: Instant) -> Duration {
        self.last_answer_at().saturating_duration_since(after)
    }
}

impl Broker for Counting {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        self.broker.append(records)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(self.counted(self.broker.read(request)))
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(self.counted(self.broker.newest(topics)))
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
