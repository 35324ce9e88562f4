//! What happens to readers that are too slow.

use std::time::Duration;

use bellwether_topics::{CloseReason, GapReason, Policy, PublishOptions, Retention, Topic, Topics};

use crate::shared::{NONE, event, numbers, publish, ready};

fn topic(max_events: usize) -> Topic {
    let retention = Retention::new().max_events(max_events);
    Topics::builder()
        .retention(retention)
        .build()
        .topic("t")
        .unwrap()
}

fn publish_as(topic: &Topic, key: &str, number: u64) {
    let options = PublishOptions::new().conflation_key(key);
    drop(topic.publish_with(options, &event(number)).unwrap());
}

#[test]
fn a_reader_that_the_history_has_passed_is_disconnected() {
    let topic = topic(3);
    let policy = Policy::disconnect().retry(Duration::from_secs(7));
    let mut slow = topic.subscribe().policy(policy).open().unwrap();
    let mut fast = topic.subscribe().open().unwrap();
    let first = publish(&topic, 1);
    assert_eq!(numbers(&ready(&mut slow)), [1]);
    for n in 2..=5 {
        publish(&topic, n);
        ready(&mut fast);
    }
    assert_eq!(numbers(&ready(&mut slow)), NONE);
    assert_eq!(slow.close_reason(), Some(CloseReason::TooSlow));
    assert_eq!(slow.retry_delay(), Some(Duration::from_secs(7)));
    assert_eq!(fast.close_reason(), None);
    assert_eq!(topic.subscriber_count(), 1);
    // When it comes back it learns what it has lost.
    let mut back = topic.subscribe().after(first.as_str()).open().unwrap();
    let got = ready(&mut back);
    assert_eq!(numbers(&got), [0, 3, 4, 5]);
    assert_eq!(got[0].gap().unwrap().lost(), Some(1));
}

#[test]
fn a_reader_that_skips_learns_the_number_of_lost_events() {
    let topic = topic(100);
    let policy = Policy::skip_to_latest().max_lag_events(3);
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    assert_eq!(numbers(&ready(&mut reader)), NONE);
    for n in 1..=3 {
        publish(&topic, n);
    }
    assert_eq!(numbers(&ready(&mut reader)), [1, 2, 3], "three may wait");
    for n in 4..=7 {
        publish(&topic, n);
    }
    let got = ready(&mut reader);
    assert_eq!(numbers(&got), [0]);
    let gap = got[0].gap().unwrap();
    assert_eq!((gap.reason(), gap.lost()), (GapReason::Lag, Some(4)));
    publish(&topic, 8);
    assert_eq!(numbers(&ready(&mut reader)), [8]);
}

#[test]
fn a_bound_in_bytes_counts_bytes() {
    let topic = topic(100);
    let len = 10 + {
        let mut probe = topic.subscribe().from_start().open().unwrap();
        publish(&topic, 1);
        ready(&mut probe)[0].frame().unwrap().len() as u64
    };
    let policy = Policy::disconnect().max_lag_bytes(2 * len);
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    ready(&mut reader);
    publish(&topic, 2);
    publish(&topic, 3);
    assert_eq!(numbers(&ready(&mut reader)), [2, 3]);
    for n in 4..=6 {
        publish(&topic, n);
    }
    ready(&mut reader);
    assert_eq!(reader.close_reason(), Some(CloseReason::TooSlow));
}

#[test]
fn a_reader_that_replays_a_long_history_is_not_too_slow() {
    let topic = topic(1000);
    for n in 1..=900 {
        publish(&topic, n);
    }
    let policy = Policy::disconnect().max_lag_events(1);
    let mut reader = topic
        .subscribe()
        .from_start()
        .policy(policy)
        .open()
        .unwrap();
    let mut out = Vec::new();
    // In small pieces, as a socket takes them.
    while let bellwether_topics::Taken::Some(_) = reader.try_frames(500, &mut out) {}
    assert_eq!(out.len(), 900);
    assert_eq!(reader.close_reason(), None);
}

#[test]
fn a_reader_behind_gets_only_the_newest_of_each_key_in_order() {
    let topic = topic(100);
    let policy = Policy::latest_per_key();
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    publish_as(&topic, "x", 1);
    assert_eq!(numbers(&ready(&mut reader)), [1]);
    publish_as(&topic, "x", 2);
    publish_as(&topic, "y", 3);
    publish(&topic, 4);
    publish_as(&topic, "x", 5);
    publish_as(&topic, "x", 6);
    publish(&topic, 7);
    assert_eq!(
        numbers(&ready(&mut reader)),
        [3, 4, 6, 7],
        "events without a key all come"
    );
    let mut all = topic.subscribe().from_start().open().unwrap();
    assert_eq!(numbers(&ready(&mut all)), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn the_newest_of_a_key_outlives_the_history() {
    let topic = topic(2);
    let policy = Policy::latest_per_key();
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    ready(&mut reader);
    publish_as(&topic, "rare", 1);
    for n in 2..=50 {
        publish_as(&topic, "frequent", n);
    }
    assert_eq!(
        numbers(&ready(&mut reader)),
        [1, 50],
        "no gap, and no value is missed"
    );
    // An event without a key cannot be kept like that.
    publish(&topic, 51);
    for n in 52..=60 {
        publish_as(&topic, "frequent", n);
    }
    let got = ready(&mut reader);
    assert_eq!(numbers(&got), [0, 60]);
    assert_eq!(got[0].gap().unwrap().reason(), GapReason::Lag);
}

#[test]
fn a_slow_reader_keeps_nothing_alive_and_delays_no_other() {
    let topic = topic(10);
    let _stuck = topic.subscribe().open().unwrap();
    let mut good = topic.subscribe().open().unwrap();
    let mut frames = Vec::new();
    for n in 1..=10_000 {
        publish(&topic, n);
        frames.clear();
        good.try_frames(1 << 20, &mut frames);
        assert_eq!(numbers(&frames), [n]);
    }
    let mut kept = topic.subscribe().from_start().open().unwrap();
    assert_eq!(
        numbers(&ready(&mut kept))
            .iter()
            .filter(|n| **n > 0)
            .count(),
        10
    );
}
