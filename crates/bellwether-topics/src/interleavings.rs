//! The log's wake-ups in every interleaving of a few threads, with at most two preemptions unless
//! `LOOM_MAX_PREEMPTIONS` says otherwise.
//!
//! A lost wake-up shows as a deadlock, which loom reports; the order and the number of events are checked here.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use loom::future::block_on;
use loom::thread;

use crate::event::cursor::Epoch;
use crate::event::frame::Draft;
use crate::log::history::{History, Limit, Proof, TopicKey};
use crate::log::idempotency::IdempotencyKeys;
use crate::log::policy::Policy;
use crate::log::position::{Reader, Rules};
use crate::log::retention::Retention;
use crate::log::waiters::{WatchSignal, Watcher};
use crate::log::{Log, ReadOutcome};
use crate::presence::CloseReason;
use crate::short_list::ShortList;
use crate::topics::Topics;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

struct ModelTopic {
    key: TopicKey,
    name: Arc<str>,
}

fn log(max_events: usize) -> Arc<Log> {
    let retention = Retention::new().max_events(max_events);
    Arc::new(Log::new(
        History::new(Epoch(1), Proof::Derived(7), retention),
        IdempotencyKeys::new(Duration::from_secs(60), 8),
        true,
    ))
}

fn open(log: &Log, name: &str) -> ModelTopic {
    let (key, name) = log.open_topic(name, 8, Instant::now()).unwrap();
    ModelTopic { key, name }
}

fn publish(log: &Log, topic: &ModelTopic) {
    let draft = Draft::of_encoded(b"data: x\n\n", None);
    let now = Instant::now();
    drop(
        log.append(topic.key, &topic.name, draft, None, now)
            .unwrap()
            .wakes,
    );
}

fn reader(log: &Log, topics: &[&ModelTopic], policy: Policy) -> Reader {
    let keys: ShortList<_> = topics.iter().map(|topic| topic.key).collect();
    let position = log.head_position(&keys);
    let rules = Rules {
        policy,
        ..Rules::default()
    };
    Reader::new(keys, position, Arc::new(rules))
}

enum Got {
    Offsets(Vec<u64>),
    Lost(u64),
    Closed,
}

/// Waits for what comes next.
fn next(log: &Log, reader: &mut Reader) -> Got {
    const LIMIT: Limit = Limit {
        events: 8,
        bytes: 4096,
    };
    block_on(poll_fn(|cx| {
        let mut offsets = Vec::new();
        let next = log.read_next(reader, LIMIT, Some(cx.waker()), |frame| {
            offsets.push(frame.cursor().offset.low());
        });
        match next {
            ReadOutcome::Frames => Poll::Ready(Got::Offsets(offsets)),
            ReadOutcome::CaughtUp => Poll::Pending,
            ReadOutcome::Gap(gap) => Poll::Ready(Got::Lost(gap.lost().unwrap())),
            ReadOutcome::Closed => Poll::Ready(Got::Closed),
            other => panic!("unexpected: {other:?}"),
        }
    }))
}

#[test]
fn a_reader_gets_each_event_once_and_in_order_whenever_it_is_published() {
    explore(|| {
        let log = log(8);
        let topic = open(&log, "a");
        let mut reader = reader(&log, &[&topic], Policy::disconnect());
        let publisher = thread::spawn({
            let log = log.clone();
            move || {
                publish(&log, &topic);
                publish(&log, &topic);
            }
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            if let Got::Offsets(offsets) = next(&log, &mut reader) {
                got.extend(offsets);
            }
        }
        assert_eq!(got, [1, 2]);
        publisher.join().unwrap();
    });
}

#[test]
fn a_reader_of_two_topics_misses_neither() {
    explore(|| {
        let log = log(8);
        let (a, b) = (open(&log, "a"), open(&log, "b"));
        let mut reader = reader(&log, &[&a, &b], Policy::disconnect());
        let publishers = [a, b].map(|topic| {
            let log = log.clone();
            thread::spawn(move || publish(&log, &topic))
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            if let Got::Offsets(offsets) = next(&log, &mut reader) {
                got.extend(offsets);
            }
        }
        assert_eq!(got, [1, 2]);
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

#[test]
fn what_is_trimmed_before_it_is_read_is_a_gap() {
    explore(|| {
        let log = log(1);
        let topic = open(&log, "a");
        let mut reader = reader(&log, &[&topic], Policy::skip_to_latest());
        let publisher = thread::spawn({
            let log = log.clone();
            move || {
                for _ in 0..3 {
                    publish(&log, &topic);
                }
            }
        });
        let (mut last, mut count) = (0, 0);
        while count < 3 {
            match next(&log, &mut reader) {
                Got::Offsets(offsets) => {
                    for offset in offsets {
                        assert_eq!(
                            offset,
                            count + 1,
                            "neither a hole nor a double after {last}"
                        );
                        last = offset;
                        count += 1;
                    }
                }
                Got::Lost(lost) => count += lost,
                Got::Closed => unreachable!(),
            }
        }
        assert_eq!(count, 3);
        publisher.join().unwrap();
    });
}

#[test]
fn a_watch_reports_every_topic() {
    explore(|| {
        let log = log(8);
        let signal = Arc::new(WatchSignal::default());
        let topics = [open(&log, "a"), open(&log, "b")];
        for (token, topic) in topics.iter().enumerate() {
            let watcher = Watcher {
                signal: signal.clone(),
                token: token as u32,
            };
            log.watch(topic.key, watcher);
        }
        let mut readers = topics
            .each_ref()
            .map(|topic| reader(&log, &[topic], Policy::disconnect()));
        let publisher = thread::spawn({
            let log = log.clone();
            move || {
                publish(&log, &topics[0]);
                publish(&log, &topics[1]);
                publish(&log, &topics[0]);
            }
        });
        let mut got = 0;
        while got < 3 {
            let dirty = block_on(poll_fn(|cx| {
                let mut dirty = Vec::new();
                match signal.take(cx.waker(), &mut dirty) {
                    true => Poll::Ready(dirty),
                    false => Poll::Pending,
                }
            }));
            for token in dirty {
                let limit = Limit {
                    events: 8,
                    bytes: 4096,
                };
                log.read_next(&mut readers[token as usize], limit, None, |_| got += 1);
            }
        }
        publisher.join().unwrap();
    });
}

#[test]
fn the_end_of_the_log_wakes_a_reader_that_waits() {
    explore(|| {
        let log = log(8);
        let topic = open(&log, "a");
        let mut reader = reader(&log, &[&topic], Policy::disconnect());
        let closer = thread::spawn({
            let log = log.clone();
            move || {
                publish(&log, &topic);
                drop(log.close());
            }
        });
        while !matches!(next(&log, &mut reader), Got::Closed) {}
        closer.join().unwrap();
    });
}

#[test]
fn a_reader_that_is_kicked_while_it_reads_does_not_go_to_sleep() {
    explore(|| {
        let topics = Topics::new();
        let news = topics.topic("news").unwrap();
        let mut reader = news.subscribe().subject("ann").open().unwrap();
        let kicker = thread::spawn(move || assert_eq!(topics.kick("ann"), 1));
        let end = block_on(poll_fn(|cx| reader.poll_frames(cx, 4096, &mut Vec::new())));
        assert_eq!(end, None);
        assert_eq!(reader.close_reason(), Some(CloseReason::Kicked));
        kicker.join().unwrap();
        // Its topics take the same lock when they are dropped.
        drop((reader, news));
    });
}
