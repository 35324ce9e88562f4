//! Promises about following: where a tail starts, that it loses nothing, and that it is never silent for long.

use std::time::Duration;

use bellwether_topics::Offset;

use super::BrokerFactory;
use super::steps::{call, check_order, fill, follow, next, numbers, open_tail};
use crate::within;

/// A tail starts with the record at its offset, goes on with the rest and then with what is appended.
pub async fn a_tail_starts_at_its_anchor_and_follows(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..20).await;
    for start in [0_usize, 10, 19] {
        let mut tail = open_tail(&*broker, stored[start].cursor.offset).await;
        let records = follow(&mut tail, stored[start].cursor.offset, 20 - start).await;
        assert_eq!(numbers(&records), (start as u32..20).collect::<Vec<_>>());
    }
    let mut tail = open_tail(&*broker, stored[19].cursor.offset).await;
    let appender = tokio::spawn({
        let broker = broker.clone();
        async move { fill(&*broker, "t", 20..200).await }
    });
    let records = follow(&mut tail, stored[19].cursor.offset, 181).await;
    check_order(&records);
    assert_eq!(numbers(&records), (19..200).collect::<Vec<_>>());
    let stored = call("the appender", appender).await;
    let stored = stored.unwrap_or_else(|error| panic!("the appender failed: {error}"));
    let page = next(&mut tail).await;
    assert_eq!(page.head, stored[stored.len() - 1].cursor.offset);
    assert_eq!(page.epoch, stored[0].cursor.epoch);
}

/// From zero there is no anchor.
pub async fn a_tail_starts_with_the_first_record_of_an_empty_log(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let mut tail = open_tail(&*broker, Offset::ZERO).await;
    let stored = fill(&*broker, "t", 0..3).await;
    let records = follow(&mut tail, Offset::ZERO, 3).await;
    assert_eq!(numbers(&records), [0, 1, 2]);
    assert_eq!(records[0].offset, stored[0].cursor.offset);
}

/// A node may drop the wait at any moment.
pub async fn a_dropped_wait_of_a_tail_loses_nothing(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let first = fill(&*broker, "t", 0..1).await;
    let mut tail = open_tail(&*broker, first[0].cursor.offset).await;
    let appender = tokio::spawn({
        let broker = broker.clone();
        async move { fill(&*broker, "t", 1..100).await }
    });
    let mut records = Vec::new();
    let mut milliseconds = 0;
    while records.len() < 100 {
        milliseconds = (milliseconds + 1) % 8;
        if let Some(page) = within(Duration::from_millis(milliseconds), tail.next()).await {
            records.extend(page.unwrap_or_else(|error| panic!("{error}")).records);
        } else if milliseconds == 7 {
            // A long wait now and then, for brokers that start over with each call.
            records.extend(next(&mut tail).await.records);
        }
    }
    assert_eq!(numbers(&records), (0..100).collect::<Vec<_>>());
    let _ = call("the appender", appender).await;
}

/// Heartbeats distinguish a quiet log from a dead connection.
pub async fn a_quiet_tail_sends_heartbeats(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..2).await;
    let mut tail = open_tail(&*broker, stored[1].cursor.offset).await;
    follow(&mut tail, stored[1].cursor.offset, 1).await;
    for _ in 0..2 {
        let heartbeat = within(Duration::from_secs(4), next(&mut tail)).await;
        let page =
            heartbeat.unwrap_or_else(|| panic!("no heartbeat, which comes about every second"));
        assert!(page.records.is_empty());
        assert_eq!(page.head, stored[1].cursor.offset);
    }
}

/// A tail that trimming has overtaken fails, or brings what it has already read; it never goes on behind a hole.
pub async fn a_tail_that_trimming_overtakes_leaves_no_hole(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let mut stored = fill(&*broker, "t", 0..3).await;
    let anchor = stored[2].cursor.offset;
    let mut tail = open_tail(&*broker, anchor).await;
    follow(&mut tail, anchor, 1).await;
    stored.extend(fill(&*broker, "t", 3..300).await);
    if !factory.trim(&*broker, 10).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let mut expected = stored.iter().map(|stored| stored.cursor.offset).skip(3);
    let head = stored[299].cursor.offset;
    call("the tail's end, or its records", async {
        while let Ok(page) = tail.next().await {
            for record in &page.records {
                assert_eq!(Some(record.offset), expected.next(), "no hole");
            }
            if page.records.last().is_some_and(|last| last.offset == head) {
                return;
            }
        }
    })
    .await;
}
