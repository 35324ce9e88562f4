//! The contract suite: what every broker promises, checked one promise at a time.
//!
//! A broker's test program implements [`BrokerFactory`] and names it in
//! [`broker_contract_tests!`](crate::broker_contract_tests), which makes one test per promise:
//!
//! ```ignore
//! struct Factory;
//!
//! impl BrokerFactory for Factory {
//!     type Broker = MyBroker;
//!
//!     async fn open(&self) -> Arc<MyBroker> {
//!         Arc::new(MyBroker::create(fresh_directory()).await.unwrap())
//!     }
//!
//!     async fn reopen(&self, broker: Arc<MyBroker>) -> Option<Arc<MyBroker>> {
//!         let directory = broker.directory();
//!         broker.shutdown().await.unwrap();
//!         Some(Arc::new(MyBroker::open(directory).await.unwrap()))
//!     }
//!
//!     async fn trim(&self, broker: &MyBroker, keep: usize) -> bool {
//!         broker.trim_to(keep).await.unwrap();
//!         true
//!     }
//! }
//!
//! bellwether_testkit::broker_contract_tests!(Factory);
//! ```

#![allow(
    clippy::print_stdout,
    reason = "a promise that was not checked is told to whoever reads the log"
)]

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, Page, ReadRequest, Record, Stored, Tail};
use bytes::Bytes;

use crate::within;

mod broken;

pub use broken::notices_broken_brokers;

/// How long a single call may take on a busy machine.
const CALL: Duration = Duration::from_secs(10);

/// How a test gets brokers of one kind.
pub trait BrokerFactory {
    /// The broker under test.
    type Broker: Broker;

    /// An empty log of its own.
    fn open(&self) -> impl Future<Output = Arc<Self::Broker>>;

    /// Shuts the broker down and opens the same log again, as a process does that is started again. `None` if the log
    /// ends with the process.
    fn reopen(&self, broker: Arc<Self::Broker>) -> impl Future<Output = Option<Arc<Self::Broker>>>;

    /// Removes the oldest records, all but about so many. False if the broker cannot be made to, which leaves that
    /// promise unchecked and is printed.
    fn trim(&self, broker: &Self::Broker, keep: usize) -> impl Future<Output = bool>;
}

/// One test per promise of the contract, for the factory given as an expression.
#[macro_export]
macro_rules! broker_contract_tests {
    ($factory:expr) => {
        $crate::broker_contract_tests!(@each $factory;
            appended_records_come_back_unchanged_and_in_order
            concurrent_appends_keep_the_order_of_each_publisher
            a_page_starts_at_its_anchor_and_pages_join_without_seam
            a_page_of_some_topics_misses_none_of_theirs
            a_tail_starts_at_its_anchor_and_follows
            a_tail_begins_with_the_first_record_of_an_empty_log
            a_dropped_wait_of_a_tail_loses_nothing
            a_quiet_tail_beats
            an_idempotency_key_appends_once
            bounds_tell_the_epoch_and_both_ends
            each_log_has_an_epoch_of_its_own
            only_the_front_is_trimmed_and_the_floor_tells
            a_dropped_append_happens_once_or_not_at_all
            a_reopened_log_goes_on_where_it_was
            after_shutdown_every_call_fails
        );
    };
    (@each $factory:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::broker_contract::$promise(&$factory).await;
            }
        )*
    };
}

// --- Helpers ---

async fn call<T>(what: &str, future: impl Future<Output = T>) -> T {
    match within(CALL, future).await {
        Some(output) => output,
        None => panic!("{what} did not answer within {CALL:?}"),
    }
}

fn record(topic: &str, number: u32) -> NewRecord {
    NewRecord {
        topic: Arc::from(topic),
        tag: number.wrapping_mul(0x9e37_79b9),
        event: Bytes::from(format!("data: {number}\n\n")),
        idempotency_key: None,
        conflation_key: None,
    }
}

fn numbers(records: &[Record]) -> Vec<u32> {
    let number = |record: &Record| {
        let text = String::from_utf8_lossy(&record.event).into_owned();
        let digits = text.trim_start_matches("data: ").trim_end();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("a foreign event: {text:?}"))
    };
    records.iter().map(number).collect()
}

async fn append(broker: &impl Broker, records: &[NewRecord]) -> Vec<Stored> {
    let results = call("append", broker.append(records)).await;
    let results = results.unwrap_or_else(|error| panic!("append failed: {error}"));
    assert_eq!(results.len(), records.len(), "one answer per record");
    let stored = |result: Result<_, _>| result.unwrap_or_else(|error| panic!("refused: {error}"));
    results.into_iter().map(stored).collect()
}

/// Appends records with these numbers to a topic, a few per call.
async fn fill(broker: &impl Broker, topic: &str, numbers: std::ops::Range<u32>) -> Vec<Stored> {
    let records: Vec<_> = numbers.map(|number| record(topic, number)).collect();
    let mut stored = Vec::new();
    for batch in records.chunks(7) {
        stored.extend(append(broker, batch).await);
    }
    stored
}

async fn read(broker: &impl Broker, from: Offset, topics: Option<&[Arc<str>]>, max: usize) -> Page {
    let request = ReadRequest {
        from,
        topics,
        max_records: max,
        max_bytes: 1 << 20,
    };
    let page = call("read", broker.read(request)).await;
    page.unwrap_or_else(|error| panic!("read failed: {error}"))
}

/// Reads to the end in pages of a few records, and checks how the pages join.
async fn read_all(broker: &impl Broker, from: Offset, topics: Option<&[Arc<str>]>) -> Vec<Record> {
    let mut place = from;
    let mut all: Vec<Record> = Vec::new();
    loop {
        let page = read(broker, place, topics, 5).await;
        let mut records = page.records;
        if place != Offset::ZERO {
            let anchor = records.first().map(|record| record.offset);
            assert_eq!(anchor, Some(place), "a page starts at its anchor");
            let anchor = records.remove(0);
            if let Some(last) = all.last() {
                assert_eq!(
                    anchor, *last,
                    "the anchor is the record that was there before"
                );
            }
        }
        let Some(last) = records.last() else {
            return all;
        };
        assert!(last.offset > place, "a page moves on");
        place = last.offset;
        all.extend(records);
    }
}

async fn open_tail(broker: &impl Broker, from: Offset) -> Box<dyn Tail> {
    let tail = call("tail", broker.tail(from)).await;
    tail.unwrap_or_else(|error| panic!("tail failed: {error}"))
}

async fn next(tail: &mut Box<dyn Tail>) -> Page {
    let page = call("the tail", tail.next()).await;
    page.unwrap_or_else(|error| panic!("the tail failed: {error}"))
}

/// Follows a tail until it has brought so many records, of which the first is at `anchor` unless that is zero.
async fn follow(tail: &mut Box<dyn Tail>, anchor: Offset, count: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    call("the tail with its records", async {
        while records.len() < count {
            records.extend(next(tail).await.records);
            if anchor != Offset::ZERO {
                let first = records.first().map(|record| record.offset);
                assert_eq!(first, Some(anchor), "the first page starts with the anchor");
            }
        }
    })
    .await;
    records
}

fn check_order(records: &[Record]) {
    let rises = |pair: &[Record]| pair[0].offset < pair[1].offset;
    assert!(records.windows(2).all(rises), "offsets rise");
}

// --- Promises ---

/// Order, tags, names, keys and bytes.
pub async fn appended_records_come_back_unchanged_and_in_order(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let long_name: Arc<str> = Arc::from("ü".repeat(127));
    let events: [&[u8]; 4] = [
        b"data: 1\n\n",
        "event: ü\ndata: \u{0}\u{10ffff}\n\n".as_bytes(),
        b"data: \xff\xfe\n\n",
        &[b'x'; 100_000],
    ];
    let mut records = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        records.push(NewRecord {
            topic: match index {
                0 => Arc::from("a.b.*>c d/ä'\"%"),
                _ => long_name.clone(),
            },
            tag: [0, 1, u32::MAX, 77][index],
            event: Bytes::copy_from_slice(event),
            idempotency_key: (index == 1).then(|| Arc::from("k'1 ü")),
            conflation_key: (index >= 2).then(|| Arc::from("c'2 ü")),
        });
    }
    let stored = append(&*broker, &records).await;
    let page = read(&*broker, Offset::ZERO, None, 100).await;
    check_order(&page.records);
    assert_eq!(page.records.len(), records.len());
    for ((new, stored), back) in records.iter().zip(&stored).zip(&page.records) {
        assert_eq!(stored.cursor.epoch, page.epoch);
        assert_eq!(stored.cursor.offset, back.offset);
        assert_eq!(stored.cursor.tag, new.tag);
        assert!(!stored.is_duplicate);
        assert_eq!(back.tag, new.tag);
        assert_eq!(back.topic, new.topic);
        assert_eq!(back.event, new.event);
        assert_eq!(back.conflation_key, new.conflation_key);
    }
}

/// Several tasks append at the same time; nothing is lost, and each one's records keep their order.
pub async fn concurrent_appends_keep_the_order_of_each_publisher(factory: &impl BrokerFactory) {
    const EACH: u32 = 40;
    let broker = factory.open().await;
    let publishers: Vec<_> = (0..4_u32)
        .map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let first = publisher * EACH;
                fill(&*broker, &format!("t{publisher}"), first..first + EACH).await
            })
        })
        .collect();
    let mut offsets = HashSet::new();
    for publisher in publishers {
        let stored = call("a publisher", publisher).await;
        let stored = stored.unwrap_or_else(|error| panic!("a publisher failed: {error}"));
        offsets.extend(stored.iter().map(|stored| stored.cursor.offset));
    }
    assert_eq!(
        offsets.len(),
        4 * EACH as usize,
        "each record has its own offset"
    );
    let all = read_all(&*broker, Offset::ZERO, None).await;
    check_order(&all);
    for publisher in 0..4 {
        let name = format!("t{publisher}");
        let own: Vec<_> = all.iter().filter(|r| *r.topic == *name).cloned().collect();
        let first = publisher * EACH;
        assert_eq!(numbers(&own), (first..first + EACH).collect::<Vec<_>>());
    }
}

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
        assert!(page.records.len() <= 3, "about as many as were asked for");
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
        // The rare topics stand far apart in pages of five.
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

/// A tail opened anywhere begins with the record there, goes on with the rest and then with what is appended.
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
pub async fn a_tail_begins_with_the_first_record_of_an_empty_log(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let mut tail = open_tail(&*broker, Offset::ZERO).await;
    let stored = fill(&*broker, "t", 0..3).await;
    let records = follow(&mut tail, Offset::ZERO, 3).await;
    assert_eq!(numbers(&records), [0, 1, 2]);
    assert_eq!(records[0].offset, stored[0].cursor.offset);
}

/// The layer above gives up waiting at any moment.
pub async fn a_dropped_wait_of_a_tail_loses_nothing(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let first = fill(&*broker, "t", 0..1).await;
    let mut tail = open_tail(&*broker, first[0].cursor.offset).await;
    let appender = tokio::spawn({
        let broker = broker.clone();
        async move { fill(&*broker, "t", 1..100).await }
    });
    let mut records = Vec::new();
    let mut patience = 0;
    while records.len() < 100 {
        patience = (patience + 1) % 8;
        if let Some(page) = within(Duration::from_millis(patience), tail.next()).await {
            records.extend(page.unwrap_or_else(|error| panic!("{error}")).records);
        } else if patience == 7 {
            // Lets a broker that starts over with each call get there.
            records.extend(next(&mut tail).await.records);
        }
    }
    assert_eq!(numbers(&records), (0..100).collect::<Vec<_>>());
    let _ = call("the appender", appender).await;
}

/// Silence is told from death.
pub async fn a_quiet_tail_beats(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..2).await;
    let mut tail = open_tail(&*broker, stored[1].cursor.offset).await;
    follow(&mut tail, stored[1].cursor.offset, 1).await;
    for _ in 0..2 {
        let beat = within(Duration::from_secs(4), next(&mut tail)).await;
        let page = beat.unwrap_or_else(|| panic!("no heartbeat, which comes about every second"));
        assert!(page.records.is_empty());
        assert_eq!(page.head, stored[1].cursor.offset);
    }
}

/// The same key in the same topic is one record.
pub async fn an_idempotency_key_appends_once(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let keyed = |topic, number, key: &str| NewRecord {
        idempotency_key: Some(Arc::from(key)),
        ..record(topic, number)
    };
    let batch = [
        keyed("t", 0, "k"),
        keyed("t", 1, "k"),
        keyed("t", 2, "l"),
        keyed("u", 3, "k"),
        record("t", 4),
    ];
    let stored = append(&*broker, &batch).await;
    assert_eq!(stored[0].cursor, stored[1].cursor, "also within one call");
    assert_eq!(
        stored.iter().map(|s| s.is_duplicate).collect::<Vec<_>>(),
        [false, true, false, false, false]
    );
    let later = append(&*broker, &[keyed("t", 9, "k"), keyed("t", 5, "m")]).await;
    assert_eq!(
        later[0].cursor, stored[0].cursor,
        "with the tag of the first"
    );
    assert!(later[0].is_duplicate && !later[1].is_duplicate);
    let all = read_all(&*broker, Offset::ZERO, None).await;
    assert_eq!(numbers(&all), [0, 2, 3, 4, 5]);

    if let Some(broker) = factory.reopen(broker).await {
        let again = append(&*broker, &[keyed("t", 9, "k")]).await;
        assert_eq!(again[0].cursor, stored[0].cursor, "also after a restart");
        assert!(again[0].is_duplicate);
    }
}

/// Epoch, floor and head, from everywhere the same.
pub async fn bounds_tell_the_epoch_and_both_ends(factory: &impl BrokerFactory) {
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

/// Two logs are never taken for one.
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

/// After trimming, what is left is a run up to the head, and floor, pages and tails say where it begins.
pub async fn only_the_front_is_trimmed_and_the_floor_tells(factory: &impl BrokerFactory) {
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

/// The caller may go away in the middle.
pub async fn a_dropped_append_happens_once_or_not_at_all(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    for number in 0..60 {
        let records = [record("t", number)];
        let moment = Duration::from_micros(u64::from(number) * 50);
        let _ = within(moment, broker.append(&records)).await;
    }
    let last = append(&*broker, &[record("t", 60)]).await;
    let all = read_all(&*broker, Offset::ZERO, None).await;
    check_order(&all);
    let numbers = numbers(&all);
    assert_eq!(
        numbers.iter().collect::<HashSet<_>>().len(),
        numbers.len(),
        "once"
    );
    let at = all
        .iter()
        .position(|record| record.offset == last[0].cursor.offset);
    assert_eq!(at.map(|at| numbers[at]), Some(60));
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

/// Nothing hangs and nothing works after the end.
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
