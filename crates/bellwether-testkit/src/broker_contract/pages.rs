//! Promises about reading: pages join without a seam, miss nothing and stay small.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest};
use bytes::Bytes;

use super::BrokerFactory;
use super::steps::{append, call, fill, next, numbers, open_tail, read, read_all, record};

/// Inclusive pages: from any record, in pages of any size, exactly the later records come.
pub async fn a_page_starts_at_its_anchor_and_pages_join_without_seam(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let empty = read(&*broker, Offset::ZERO, None, 5).await;
    assert_eq!((empty.records.len(), empty.floor), (0, Offset::ZERO));
    let stored = fill(&*broker, "t", 0..23).await;
    let all = read_all(&*broker, Offset::ZERO, None).await;
    assert_eq!(numbers(&all), (0..23).collect::<Vec<_>>());
    for (index, stored) in (0_u32..).zip(&stored) {
        let later = read_all(&*broker, stored.cursor.offset, None).await;
        assert_eq!(numbers(&later), (index + 1..23).collect::<Vec<_>>());
        let page = read(&*broker, stored.cursor.offset, None, 2).await;
        assert_eq!(page.records[0].tag, stored.cursor.tag);
        assert_eq!(page.epoch, stored.cursor.epoch);
        assert!(page.records.len() <= 3, "about as many as requested");
    }
    // A small bound in bytes still moves on.
    let request = ReadRequest {
        from: stored[3].cursor.offset,
        topics: None,
        max_records: 10,
        max_bytes: 1,
    };
    let page = call("read", broker.read(request)).await;
    let page = page.unwrap_or_else(|error| panic!("read failed: {error}"));
    assert!(
        page.records.len() >= 2,
        "one record after the anchor comes in any case"
    );
}

/// With topics named, their records are complete, whatever else the pages hold.
pub async fn a_page_of_some_topics_misses_none_of_theirs(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let mut anchors = vec![Offset::ZERO];
    for round in 0..30_u32 {
        // The records of the rare topics are far apart for pages of five.
        let topic = match round % 10 {
            3 => "rare",
            7 => "also rare",
            _ => "loud",
        };
        let stored = append(&*broker, &[record(topic, round)]).await;
        anchors.push(stored[0].cursor.offset);
    }
    let wanted: [Arc<str>; 2] = [Arc::from("rare"), Arc::from("also rare")];
    for (first, anchor) in (0_u32..).zip(&anchors) {
        let pages = read_all(&*broker, *anchor, Some(&wanted)).await;
        let own: Vec<_> = pages
            .into_iter()
            .filter(|record| wanted.contains(&record.topic))
            .collect();
        let expected: Vec<_> = (first..30).filter(|n| n % 10 == 3 || n % 10 == 7).collect();
        assert_eq!(numbers(&own), expected);
    }
    let nobody: [Arc<str>; 1] = [Arc::from("nobody")];
    for record in read_all(&*broker, anchors[5], Some(&nobody)).await {
        assert_ne!(&*record.topic, "nobody");
    }
}

/// A page is about as large as requested, however long the log is, and so is each page of a tail.
pub async fn pages_of_a_long_log_keep_to_their_budget(factory: &impl BrokerFactory) {
    const RECORDS: usize = 4000;
    const BYTES: usize = 1000;
    let broker = factory.open().await;
    let records: Vec<_> = (0..RECORDS as u32)
        .map(|number| NewRecord {
            event: Bytes::from(format!("data: {number:0>0$}\n\n", BYTES - 8)),
            ..record("t", number)
        })
        .collect();
    let mut anchor = Offset::ZERO;
    for batch in records.chunks(200) {
        let stored = append(&*broker, batch).await;
        if anchor == Offset::ZERO {
            anchor = stored[0].cursor.offset;
        }
    }
    let topic = [Arc::from("t")];
    for (from, topics) in [
        (Offset::ZERO, None),
        (anchor, None),
        (Offset::ZERO, Some(&topic[..])),
        (anchor, Some(&topic[..])),
    ] {
        for (max_records, max_bytes, most) in [(20, 1 << 30, 21), (3000, 20 * BYTES, 42)] {
            let request = ReadRequest {
                from,
                topics,
                max_records,
                max_bytes,
            };
            let page = call("read", broker.read(request)).await;
            let page = page.unwrap_or_else(|error| panic!("read failed: {error}"));
            let found = page.records.len();
            assert!((2..=most).contains(&found), "{found} for {request:?}");
        }
    }
    let mut tail = open_tail(&*broker, Offset::ZERO).await;
    let mut count = 0;
    while count < RECORDS {
        let page = next(&mut tail).await.records;
        let bytes: usize = page.iter().map(|record| record.event.len()).sum();
        assert!(bytes <= 2 << 20, "a tail brought {bytes} bytes at once");
        count += page.len();
    }
    assert_eq!(count, RECORDS);
}

/// A broker names topics' newest records correctly or not at all, since a reader that has seen the newest one reads
/// nothing.
pub async fn a_lookup_of_topics_names_their_newest_records(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let mut last = Vec::new();
    let names = ["one", "three", "loud", "unheard", "one"];
    for (name, numbers) in names.into_iter().zip([0..1, 1..4, 4..304, 0..0, 304..306]) {
        if !numbers.is_empty() {
            last.push((name, fill(&*broker, name, numbers).await));
        }
    }
    let topics = names.map(Arc::from);
    let newest = call("a lookup", broker.newest(&topics)).await;
    let Some(newest) = newest.unwrap_or_else(|error| panic!("the lookup failed: {error}")) else {
        println!("not checked: this broker does not know");
        return;
    };
    let bounds = call("the bounds", broker.bounds()).await;
    let bounds = bounds.unwrap_or_else(|error| panic!("no bounds: {error}"));
    assert_eq!((newest.epoch, newest.head), (bounds.epoch, bounds.head));
    let expected = names.map(|name| {
        let stored = last.iter().rev().find(|(of, _)| *of == name);
        let newest = stored.and_then(|(_, stored)| stored.last())?;
        Some((newest.cursor.offset, newest.cursor.tag))
    });
    assert_eq!(newest.records, expected);

    if !factory.trim(&broker, 1).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let newest = call("a lookup", broker.newest(&topics)).await;
    let newest = newest.unwrap_or_else(|error| panic!("the lookup failed: {error}"));
    let records = newest.map_or_else(Vec::new, |newest| newest.records);
    // The broker may not know records that are gone, but it must not name others.
    for (record, expected) in records.into_iter().zip(expected) {
        assert!(record.is_none() || record == expected, "{record:?}");
    }
}
