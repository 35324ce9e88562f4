//! Promises about a log as a whole: its epoch, its two ends, a restart and the shutdown.

use std::collections::HashSet;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, ReadRequest, Stored};

use super::BrokerFactory;
use super::steps::{call, fill, follow, numbers, open_tail, read, read_all, record};

/// Epoch, floor and head are the same in bounds, pages and tails.
pub async fn bounds_have_the_epoch_and_both_ends(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let bounds = || async {
        let bounds = call("bounds", broker.bounds()).await;
        bounds.unwrap_or_else(|error| panic!("bounds failed: {error}"))
    };
    let empty = bounds().await;
    assert_eq!((empty.floor, empty.head), (Offset::ZERO, Offset::ZERO));
    let stored = fill(&*broker, "t", 0..10).await;
    let full = bounds().await;
    assert_eq!(full.epoch, empty.epoch);
    assert_eq!(full.head, stored[9].cursor.offset);
    assert!(full.floor < stored[0].cursor.offset);
    assert!(
        stored
            .iter()
            .all(|stored| stored.cursor.epoch == full.epoch)
    );
    let page = read(&*broker, Offset::ZERO, None, 5).await;
    assert_eq!((page.epoch, page.head), (full.epoch, full.head));
}

/// Two logs never have the same epoch.
pub async fn each_log_has_an_epoch_of_its_own(factory: &impl BrokerFactory) {
    let mut epochs = HashSet::new();
    for _ in 0..3 {
        let broker = factory.open().await;
        let bounds = call("bounds", broker.bounds()).await;
        let bounds = bounds.unwrap_or_else(|error| panic!("bounds failed: {error}"));
        epochs.insert(bounds.epoch);
    }
    assert_eq!(epochs.len(), 3);
}

/// After trimming, a run up to the head is left, and floor, pages and tails show where it starts.
pub async fn only_the_front_is_trimmed_and_the_floor_shows_it(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..30).await;
    if !factory.trim(&broker, 10).await {
        println!("SKIPPED: this broker cannot be made to trim");
        return;
    }
    let page = read(&*broker, Offset::ZERO, None, 100).await;
    let left = numbers(&page.records);
    let first = left[0];
    assert!(first > 0, "something was removed");
    assert_eq!(left, (first..30).collect::<Vec<_>>(), "only at the front");
    let removed = stored[first as usize - 1].cursor.offset;
    assert!(page.floor >= removed && page.floor < page.records[0].offset);

    let page = read(&*broker, stored[0].cursor.offset, None, 100).await;
    let anchor = page.records.first().map(|record| record.offset);
    assert_ne!(
        anchor,
        Some(stored[0].cursor.offset),
        "the anchor is gone, visibly"
    );
    assert!(page.floor >= removed);
    let page = read(&*broker, stored[29].cursor.offset, None, 100).await;
    assert_eq!(
        numbers(&page.records),
        [29],
        "the newest record is never removed"
    );

    let appended = fill(&*broker, "t", 30..31).await;
    assert!(appended[0].cursor.offset > stored[29].cursor.offset);
    assert_eq!(
        appended[0].cursor.epoch, stored[0].cursor.epoch,
        "trimming is no new epoch"
    );
}

/// A page reports the wanted topics' removed records exactly, or more than these.
pub async fn what_a_topic_has_lost_is_never_reported_too_small(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let quiet = fill(&*broker, "quiet", 0..1).await;
    let loud = fill(&*broker, "loud", 1..300).await;
    if !factory.trim(&*broker, 10).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let rest = read_all(&*broker, Offset::ZERO, None).await;
    let [quiet_topic, loud_topic, unheard]: [Arc<str>; 3] =
        ["quiet", "loud", "unheard"].map(Arc::from);
    let gone = |stored: &[Stored], topic: &Arc<str>| {
        let is_there = |stored: &&Stored| {
            let at = stored.cursor.offset;
            rest.iter().any(|r| r.offset == at && r.topic == *topic)
        };
        let last = stored.iter().rev().find(|stored| !is_there(stored));
        last.map(|stored| (stored.cursor.offset, stored.cursor.tag))
    };
    for topics in [
        vec![quiet_topic.clone()],
        vec![loud_topic.clone()],
        vec![quiet_topic.clone(), loud_topic.clone()],
        vec![unheard],
    ] {
        let page = read(&*broker, quiet[0].cursor.offset, Some(&topics), 5).await;
        let Some(trimmed) = page.trimmed else {
            println!("not checked: this log knows no more than its floor");
            continue;
        };
        assert!(
            trimmed.to <= page.floor,
            "what is lost is at most the floor"
        );
        let lost = [
            topics
                .contains(&quiet_topic)
                .then(|| gone(&quiet, &quiet_topic)),
            topics
                .contains(&loud_topic)
                .then(|| gone(&loud, &loud_topic)),
        ];
        for (offset, tag) in lost.into_iter().flatten().flatten() {
            assert!(
                trimmed.to >= offset,
                "{topics:?} have lost what was at {offset}"
            );
            if trimmed.to == offset && trimmed.tag.is_some() {
                assert_eq!(trimmed.tag, Some(tag), "the tag of the record at {offset}");
            }
        }
    }
}

/// A restart changes nothing that was confirmed.
pub async fn a_reopened_log_goes_on_where_it_was(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..20).await;
    let before = read_all(&*broker, Offset::ZERO, None).await;
    let Some(broker) = factory.reopen(broker).await else {
        println!("not checked: this log ends with its process");
        return;
    };
    let bounds = call("bounds", broker.bounds()).await;
    let bounds = bounds.unwrap_or_else(|error| panic!("bounds failed: {error}"));
    assert_eq!(bounds.epoch, stored[0].cursor.epoch);
    assert_eq!(bounds.head, stored[19].cursor.offset);
    assert_eq!(read_all(&*broker, Offset::ZERO, None).await, before);
    let mut tail = open_tail(&*broker, stored[19].cursor.offset).await;
    let appended = fill(&*broker, "t", 20..25).await;
    assert!(appended[0].cursor.offset > stored[19].cursor.offset);
    assert_eq!(appended[0].cursor.epoch, bounds.epoch);
    let last = stored[19].cursor.offset;
    assert_eq!(
        numbers(&follow(&mut tail, last, 6).await),
        [19, 20, 21, 22, 23, 24]
    );
}

/// After the shutdown no call hangs and no call works.
pub async fn after_shutdown_every_call_fails(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..2).await;
    let mut tail = open_tail(&*broker, stored[1].cursor.offset).await;
    let shut = call("shutdown", broker.shutdown()).await;
    shut.unwrap_or_else(|error| panic!("shutdown failed: {error}"));
    let records = [record("t", 2)];
    let appended = call("append", broker.append(&records)).await;
    let is_stored = appended.is_ok_and(|results| results.iter().any(Result::is_ok));
    assert!(!is_stored, "nothing is appended");
    assert!(call("bounds", broker.bounds()).await.is_err());
    assert!(call("tail", broker.tail(Offset::ZERO)).await.is_err());
    let request = ReadRequest {
        from: Offset::ZERO,
        topics: None,
        max_records: 5,
        max_bytes: 1000,
    };
    assert!(call("read", broker.read(request)).await.is_err());
    call("the tail's end", async {
        while let Ok(page) = tail.next().await {
            drop(page);
        }
    })
    .await;
}
