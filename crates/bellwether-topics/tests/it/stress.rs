//! Readers that drop and resume at random while events are published: no hole, no double, no gap.
//!
//! `BELLWETHER_STRESS_SECONDS=30` makes the runs longer than their 2 seconds; figures are printed with `--no-capture`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_topics::{Memory, Subscription, Topics};

use crate::checker::{Checker, Figures, number};
use crate::shared::event;

const READERS: usize = 500;
const TOPICS: usize = 4;
const PUBLISHES_PER_SECOND: u64 = 2000;

fn seconds() -> u64 {
    let wanted = std::env::var("BELLWETHER_STRESS_SECONDS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn name(index: usize) -> String {
    format!("topic-{}", index % TOPICS)
}

struct Client {
    nodes: Vec<Topics>,
    topic: String,
    random: fastrand::Rng,
    checker: Checker,
    last_id: Option<String>,
    resumes: u64,
}

impl Client {
    /// Connects to any node, like a browser behind a load balancer.
    fn connect(&mut self) -> Subscription {
        let node = &self.nodes[self.random.usize(..self.nodes.len())];
        let subscribe = node.topic(&self.topic).unwrap().subscribe();
        self.resumes += 1;
        match &self.last_id {
            Some(id) => subscribe.after(id.as_str()).open().unwrap(),
            None => subscribe.from_start().open().unwrap(),
        }
    }

    fn take(&mut self, deliveries: &[bellwether_topics::Delivery]) {
        for delivery in deliveries {
            self.checker.delivery(delivery);
            if let Some(frame) = delivery.frame() {
                self.last_id = Some(frame.cursor().to_string());
            }
        }
    }

    /// Reads for a random moment, and forgets a random part of what was handed out, like a connection that breaks.
    async fn read_for_a_moment(&mut self) {
        let mut reader = self.connect();
        let until = tokio::time::Instant::now() + Duration::from_millis(self.random.u64(5..50));
        let budget = self.random.usize(1..4096);
        loop {
            let mut out = Vec::new();
            let next = std::future::poll_fn(|cx| reader.poll_frames(cx, budget, &mut out));
            match tokio::time::timeout_at(until, next).await {
                Ok(Some(_)) => {
                    let arrived = match self.random.u8(..8) {
                        0 => self.random.usize(..=out.len()),
                        _ => out.len(),
                    };
                    self.take(&out[..arrived]);
                    if arrived < out.len() {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn read_until(&mut self, last: u64) {
        let mut reader = self.connect();
        while self.checker.last() < last {
            let delivery = reader.next().await.unwrap();
            self.take(&[delivery]);
        }
    }
}

async fn stress(label: &str, nodes: Vec<Topics>) {
    let seed = fastrand::u64(..);
    println!("{label}: seed {seed}");
    let is_over = Arc::new(AtomicBool::new(false));
    let mut seeds = fastrand::Rng::with_seed(seed);
    let readers: Vec<_> = (0..READERS)
        .map(|index| {
            let mut client = Client {
                nodes: nodes.clone(),
                topic: name(index),
                random: seeds.fork(),
                checker: Checker::default(),
                last_id: None,
                resumes: 0,
            };
            let is_over = is_over.clone();
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    client.read_for_a_moment().await;
                }
                client
            })
        })
        .collect();

    let start = Instant::now();
    let mut published = [0; TOPICS];
    let topics: Vec<_> = (0..TOPICS)
        .map(|index| nodes[index % nodes.len()].topic(&name(index)).unwrap())
        .collect();
    let mut outcomes = VecDeque::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while start.elapsed() < Duration::from_secs(seconds()) {
        tick.tick().await;
        let due = start.elapsed().as_millis() as u64 * PUBLISHES_PER_SECOND / 1000;
        while published.iter().sum::<u64>() < due {
            let index = seeds.usize(..TOPICS);
            published[index] += 1;
            outcomes.push_back(topics[index].publish(&event(published[index])).unwrap());
            // A publisher that was held up does not hand over more than a broker's queue takes.
            if outcomes.len() > 1000 {
                outcomes.pop_front().unwrap().await.unwrap();
            }
        }
    }
    for outcome in outcomes {
        outcome.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);

    let (mut figures, mut resumes) = (Figures::default(), 0);
    for (index, reader) in readers.into_iter().enumerate() {
        let mut client = reader.await.unwrap();
        client.read_until(published[index % TOPICS]).await;
        assert_eq!(client.checker.figures.events, published[index % TOPICS]);
        figures += client.checker.figures;
        resumes += client.resumes;
    }
    let total: u64 = published.iter().sum();
    println!("{label}: {total} published, {READERS} readers, {resumes} resumes, {figures:?}");
    assert!(
        figures.is_exact() && figures.gaps == 0,
        "seed {seed}: {figures:?}"
    );
    assert!(
        figures.events >= total && resumes > READERS as u64,
        "the run did something"
    );
    for node in &nodes {
        assert_eq!(node.subscriber_count(), 0);
    }
}

fn builder() -> bellwether_topics::TopicsBuilder {
    // Room for the whole run, so that every gap is a fault.
    let retention = bellwether_topics::Retention::new()
        .max_events(1 << 20)
        .max_bytes(1 << 30);
    // A machine that is busy with other things is no fault of the broker.
    Topics::builder()
        .retention(retention)
        .publish_timeout(Duration::from_secs(60))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_drop_and_resume_at_random_miss_and_repeat_nothing() {
    stress("one node, log in memory", vec![builder().build()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_move_between_nodes_miss_and_repeat_nothing() {
    let broker = Memory::new(1 << 20);
    // The second node remembers little, so that its readers often go to the broker.
    let small = bellwether_topics::Retention::new().max_events(64);
    let nodes = vec![
        builder().open(broker.clone()).await.unwrap(),
        builder().retention(small).open(broker).await.unwrap(),
    ];
    stress("two nodes, one broker", nodes).await;
}

/// With a short history, readers that pause do lose events; each loss must be a gap.
#[tokio::test]
async fn what_is_lost_to_a_short_history_is_always_a_gap() {
    let retention = bellwether_topics::Retention::new().max_events(20);
    let topics = Topics::builder().retention(retention).build();
    let topic = topics.topic("t").unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut readers: Vec<_> = (0..50)
        .map(|_| (Checker::default(), None::<String>))
        .collect();
    let mut published = 0;
    for _ in 0..2000 {
        for _ in 0..random.u64(..8) {
            published += 1;
            drop(topic.publish(&event(published)).unwrap());
        }
        let (checker, last_id) = &mut readers[random.usize(..50)];
        let mut reader = match last_id {
            Some(id) => topic.subscribe().after(id.as_str()).open().unwrap(),
            None => topic.subscribe().open().unwrap(),
        };
        if last_id.is_none() {
            // It starts in the middle, which is no hole.
            *last_id = Some(topics.head().to_string());
            for n in 1..=published {
                checker.number(n);
            }
        }
        for delivery in crate::shared::ready(&mut reader) {
            let lost = delivery.gap().map(|gap| gap.lost().unwrap());
            let before = checker.last();
            checker.delivery(&delivery);
            if let Some(frame) = delivery.frame() {
                assert!(number(frame) > before);
                *last_id = Some(frame.cursor().to_string());
            }
            if let Some(lost) = lost {
                assert_eq!(
                    before + lost + 20,
                    published,
                    "the gap has the exact number"
                );
            }
        }
    }
    let mut figures = Figures::default();
    for (checker, _) in &readers {
        figures += checker.figures;
    }
    println!("{figures:?}");
    assert!(
        figures.is_exact() && figures.gaps > 0,
        "seed {seed}: {figures:?}"
    );
}
