//! [`Publishers`]: they publish over HTTP, one event after the other, and write down what was acknowledged.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether_testkit::{eventually, within};
use tokio::task::JoinSet;

use crate::check::Acknowledged;
use crate::cluster::Addresses;
use crate::http;

/// The topic of all tests.
pub(crate) const TOPIC: &str = "news";

/// The data of the last event, by which a reader knows that it has everything.
pub(crate) const LAST: &str = "last-0";

/// How long a publisher waits for an answer; far above what a node may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a publisher rests before it tries again.
const REST: Duration = Duration::from_millis(50);

/// How long any number of publishes may take.
const SLOW: Duration = Duration::from_secs(120);

/// What publishers went through.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Publishes that were answered with 503.
    pub(crate) unavailable: usize,
    /// Publishes without an answer: no connection, or one that broke.
    pub(crate) unanswered: usize,
    /// The longest time to either.
    pub(crate) slowest: Duration,
    /// What the last 503 said.
    pub(crate) said: String,
}

/// Publishers that run until [`Publishers::finish`]. Each sends an event, with its data as the idempotency key, until it
/// is acknowledged, and then the next.
#[derive(Debug)]
pub(crate) struct Publishers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    addresses: Addresses,
    /// Names this round of publishers, so that no two events are equal.
    round: String,
    /// Follows the number in each event's data, to make it larger.
    padding: String,
    /// Between two events of one publisher.
    pace: Duration,
    acknowledged: Mutex<Vec<Acknowledged>>,
    count: AtomicUsize,
    failures: Mutex<Failures>,
    is_finishing: AtomicBool,
}

impl Publishers {
    /// Starts this number of publishers, spread over the nodes.
    pub(crate) fn start(addresses: Addresses, round: &str, count: usize, pace: Duration) -> Self {
        Self::start_with(addresses, round, count, pace, 0)
    }

    /// As [`Publishers::start`], with this number of further bytes in each event.
    pub(crate) fn start_with(
        addresses: Addresses,
        round: &str,
        count: usize,
        pace: Duration,
        padding: usize,
    ) -> Self {
        let shared = Arc::new(Shared::new(addresses, round, pace, padding));
        let mut tasks = JoinSet::new();
        for publisher in 0..count {
            tasks.spawn(shared.clone().publish_all(publisher));
        }
        Self { shared, tasks }
    }

    /// How many events are acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Acquire)
    }

    /// Waits until this number of further events are acknowledged.
    pub(crate) async fn wait_for_more(&self, more: usize) {
        let target = self.count() + more;
        let reach = eventually("acknowledged events", 2 * SLOW, || self.count() >= target);
        if within(SLOW, reach).await.is_none() {
            let failures = self.shared.failures.lock().unwrap();
            panic!("{} of {target} acknowledged; {failures:?}", self.count());
        }
    }

    /// Waits until a publish was answered with 503.
    pub(crate) async fn wait_for_failure(&self) {
        eventually("a failed publish", SLOW, || {
            self.shared.failures.lock().unwrap().unavailable > 0
        })
        .await;
    }

    /// Lets each publisher end with its present event; what was acknowledged, and what went wrong.
    pub(crate) async fn finish(mut self) -> (Vec<Acknowledged>, Failures) {
        self.shared.is_finishing.store(true, Ordering::Release);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        (
            std::mem::take(&mut *self.shared.acknowledged.lock().unwrap()),
            std::mem::take(&mut *self.shared.failures.lock().unwrap()),
        )
    }
}

impl Shared {
    fn new(addresses: Addresses, round: &str, pace: Duration, padding: usize) -> Self {
        Self {
            addresses,
            round: round.to_owned(),
            padding: ".".repeat(padding),
            pace,
            acknowledged: Mutex::default(),
            count: AtomicUsize::new(0),
            failures: Mutex::default(),
            is_finishing: AtomicBool::new(false),
        }
    }

    async fn publish_all(self: Arc<Self>, publisher: usize) {
        let mut pace = tokio::time::interval(self.pace.max(Duration::from_micros(1)));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number = 0;
        while !self.is_finishing.load(Ordering::Acquire) {
            pace.tick().await;
            number += 1;
            let key = format!("{}{publisher}-{number}", self.round);
            self.publish(publisher, &key).await;
        }
    }

    /// Publishes until it is acknowledged.
    async fn publish(&self, mut node: usize, key: &str) {
        let data = format!("{key}{}", self.padding);
        loop {
            let since = Instant::now();
            match self.addresses.any_from(node) {
                None => {}
                Some(address) => match publish(&address, key, &data).await {
                    Ok(Ok(id)) => {
                        let data = data.clone();
                        let acknowledged = Acknowledged { id, data };
                        self.acknowledged.lock().unwrap().push(acknowledged);
                        self.count.fetch_add(1, Ordering::AcqRel);
                        return;
                    }
                    Ok(Err(refusal)) => {
                        assert!(refusal.contains("event"), "no clear text: {refusal:?}");
                        let mut failures = self.failures.lock().unwrap();
                        failures.unavailable += 1;
                        failures.said = refusal;
                        failures.slowest = failures.slowest.max(since.elapsed());
                    }
                    Err(_) => {
                        let mut failures = self.failures.lock().unwrap();
                        failures.unanswered += 1;
                        failures.slowest = failures.slowest.max(since.elapsed());
                        // The next node, as a load balancer would do it.
                        node += 1;
                    }
                },
            }
            tokio::time::sleep(REST).await;
        }
    }
}

/// Publishes the last event, until it is acknowledged.
pub(crate) async fn publish_last(addresses: &Addresses) -> Acknowledged {
    let shared = Shared::new(addresses.clone(), "", REST, 0);
    shared.publish(0, LAST).await;
    let mut acknowledged = shared.acknowledged.into_inner().unwrap();
    acknowledged.remove(0)
}

/// Publishes once; the id, or the text of a 503.
async fn publish(address: &str, key: &str, data: &str) -> std::io::Result<Result<String, String>> {
    let head = format!("POST /publish?topic={TOPIC} HTTP/1.1\r\nIdempotency-Key: {key}\r\n");
    let answer = http::request(address, &head, data, DEADLINE).await?;
    match answer.status {
        200 => Ok(Ok(answer.body)),
        503 => Ok(Err(answer.body)),
        status => panic!("expected 200 or 503, found {status}: {}", answer.body),
    }
}
