//! Servers that are killed or stopped: what was confirmed is there, in order, once; tails go on exactly.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_nats::NatsBroker;
use bellwether_testkit::{NatsServer, or_skip, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, BrokerError, Record};

use crate::support;

/// Follows a log as a node does: from the last record, and again after each failure.
struct Follower {
    records: Vec<Record>,
    failures: u32,
}

impl Follower {
    async fn run(
        broker: NatsBroker,
        last: Arc<tokio::sync::watch::Sender<Offset>>,
        is_over: Arc<AtomicBool>,
    ) -> Self {
        let mut this = Self {
            records: Vec::new(),
            failures: 0,
        };
        loop {
            if let Err(_error) = this.follow_once(&broker, &last, &is_over).await {
                this.failures += 1;
                within(Duration::from_millis(50), std::future::pending::<()>()).await;
            } else {
                return this;
            }
        }
    }

    async fn follow_once(
        &mut self,
        broker: &NatsBroker,
        last: &tokio::sync::watch::Sender<Offset>,
        is_over: &AtomicBool,
    ) -> Result<(), BrokerError> {
        let from = *last.borrow();
        let mut tail = broker.tail(from).await?;
        let mut is_first = from != Offset::ZERO;
        loop {
            let mut page = tail.next().await?;
            if is_first && !page.records.is_empty() {
                let anchor = page.records.remove(0);
                assert_eq!(
                    Some(&anchor),
                    self.records.last(),
                    "it goes on at the anchor"
                );
                is_first = false;
            }
            if let Some(newest) = page.records.last() {
                last.send_replace(newest.offset);
                self.records.append(&mut page.records);
            } else if is_over.load(Ordering::Acquire) && page.head == *last.borrow() {
                return Ok(());
            }
        }
    }
}

/// Appends lists of this length for a while, and returns what was confirmed, by number.
async fn publish(
    broker: NatsBroker,
    numbers: std::ops::Range<u32>,
    list: usize,
    has_key: bool,
) -> (HashMap<u32, (Offset, u32)>, u32) {
    let mut confirmed = HashMap::new();
    let mut failed = 0;
    let numbers: Vec<_> = numbers.collect();
    for chunk in numbers.chunks(list) {
        let records: Vec<_> = chunk
            .iter()
            .map(|number| {
                let mut record = support::record("t", *number);
                record.idempotency_key = has_key.then(|| Arc::from(number.to_string()));
                record
            })
            .collect();
        let started = Instant::now();
        let answers = match broker.append(&records).await {
            Ok(answers) => answers,
            Err(_) => {
                failed += 1;
                continue;
            }
        };
        assert!(
            started.elapsed() < Duration::from_secs(6),
            "it ends in time"
        );
        for (number, answer) in chunk.iter().zip(answers) {
            match answer {
                Ok(stored) => {
                    confirmed.insert(*number, (stored.cursor.offset, stored.cursor.tag));
                }
                Err(error) => {
                    assert!(!error.is_refused(), "{error}");
                    failed += 1;
                }
            }
        }
    }
    (confirmed, failed)
}

async fn kill_while_publishing(list: usize, total: u32, has_key: bool, kills: u32) {
    let Some(mut server) = or_skip(NatsServer::start("").await) else {
        return;
    };
    let stream = support::stream_name();
    let builder = || NatsBroker::builder(&server.url()).stream(&stream);
    let broker = builder().connect().await.unwrap();
    let reader = builder().connect().await.unwrap();

    let last = Arc::new(tokio::sync::watch::Sender::new(Offset::ZERO));
    let is_over = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn(Follower::run(reader.clone(), last.clone(), is_over.clone()));
    let publisher = tokio::spawn(publish(broker.clone(), 0..total, list, has_key));
    for kill in 1..=kills {
        // Somewhere in the middle.
        let until = Offset::new(u64::from(total / (kills + 1) * kill));
        let mut seen = last.subscribe();
        let wait = seen.wait_for(|offset| *offset >= until);
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .unwrap()
            .unwrap();
        server.kill().await;
        server.start_again().await;
    }
    let (confirmed, failed) = publisher.await.unwrap();
    is_over.store(true, Ordering::Release);
    let follower = tokio::time::timeout(Duration::from_secs(30), follower).await;
    let follower = follower.unwrap().unwrap();
    println!(
        "{} confirmed, {failed} failed, {} followed with {} failures of the tail",
        confirmed.len(),
        follower.records.len(),
        follower.failures
    );
    assert!(follower.failures >= kills, "the tail noticed");

    let numbers: Vec<_> = follower
        .records
        .iter()
        .map(|record| support::number_of(&record.event).unwrap())
        .collect();
    assert_eq!(
        numbers,
        support::all_numbers(&reader).await,
        "the tail missed nothing"
    );
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "each once, in the order of the only publisher"
    );
    let by_number: HashMap<_, _> = numbers.iter().zip(&follower.records).collect();
    for (number, offset) in &confirmed {
        let record = by_number.get(number);
        let found = record.map(|record| (record.offset, record.tag));
        assert_eq!(found, Some(*offset), "number {number} was confirmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_confirmed_one_by_one() {
    kill_while_publishing(1, 3000, false, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_confirmed_in_lists() {
    kill_while_publishing(300, 30_000, true, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_records_outlive_a_short_outage() {
    let Some((mut server, broker)) = support::start().await else {
        return;
    };
    support::fill(&broker, 0..1).await;
    server.kill().await;
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { support::append(&broker, support::record("t", 1)).await }
    });
    server.start_again().await;
    waiting.await.unwrap().unwrap();
    assert_eq!(support::all_numbers(&broker).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_every_call_fails_in_time_and_nothing_is_stored_later() {
    let started = support::start_with(|builder| builder.timeout(Duration::from_secs(1)));
    let Some((mut server, broker)) = started.await else {
        return;
    };
    support::fill(&broker, 0..2).await;
    let mut tail = broker.tail(Offset::new(2)).await.unwrap();
    server.kill().await;

    let error = support::fails_within(Duration::from_secs(4), &mut tail).await;
    assert!(!error.is_refused());
    let started = Instant::now();
    assert!(broker.bounds().await.is_err());
    assert!(broker.tail(Offset::new(2)).await.is_err());
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    let started = Instant::now();
    let error = support::append(&broker, support::record("t", 2))
        .await
        .unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(error.to_string().contains("no connection"), "{error}");

    server.start_again().await;
    support::append(&broker, support::record("t", 3))
        .await
        .unwrap();
    assert_eq!(support::all_numbers(&broker).await, [0, 1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_fails_calls_in_time_and_all_recovers() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    support::fill(&broker, 0..10).await;
    let mut tail = support::tail_from(&broker, Offset::new(10)).await;
    server.pause().await;

    let started = Instant::now();
    let appending = tokio::spawn({
        let broker = broker.clone();
        async move {
            (
                support::append(&broker, support::record("t", 10)).await,
                started.elapsed(),
            )
        }
    });
    assert!(support::follow_until(&mut tail, |_| false).await.is_err());
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    let (appended, elapsed) = appending.await.unwrap();
    assert!(!appended.unwrap_err().is_refused());
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    // Long enough for the client to abandon the connection.
    let error = support::append(&broker, support::record("t", 11))
        .await
        .unwrap_err();
    assert!(!error.is_refused());
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );

    server.resume().await;
    let mut tail = loop {
        match broker.tail(Offset::new(10)).await {
            Ok(tail) => break tail,
            Err(_) => assert!(started.elapsed() < Duration::from_secs(25)),
        }
    };
    support::append(&broker, support::record("t", 12))
        .await
        .unwrap();
    let mut seen = Vec::new();
    support::follow_until(&mut tail, |page| {
        let new = page
            .records
            .iter()
            .filter(|record| record.offset > Offset::new(10));
        seen.extend(new.filter_map(|record| support::number_of(&record.event)));
        seen.contains(&12)
    })
    .await
    .unwrap();
    // The two that failed may be stored or not, once, in their order, before the last.
    assert!(
        [vec![12], vec![10, 12], vec![11, 12], vec![10, 11, 12]].contains(&seen),
        "{seen:?}"
    );
}
