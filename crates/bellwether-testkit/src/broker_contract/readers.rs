//! Promises about what readers get through a node: no gap without a loss, no loss without a gap, and few reads.

use std::sync::Arc;

use bellwether_topics::GapReason;
use bellwether_topics::broker::Broker;

use super::BrokerFactory;
use super::node::{self, Counted, Got, events, got, publish, reader};
use super::steps::{fill, numbers, read, read_all, wait_for_heartbeats};

/// A quiet topic beside a loud one: its anchor may be gone, but a reader that has lost nothing gets no gap.
pub async fn a_quiet_topic_that_lost_nothing_gets_no_gap(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let seen_all = fill(&*broker, "seen all", 0..1).await;
    let has_lost = fill(&*broker, "has lost", 1..3).await;
    let all_left = fill(&*broker, "all left", 3..4).await;
    fill(&*broker, "loud", 4..300).await;
    fill(&*broker, "all left", 300..301).await;
    if !factory.trim(&broker, 10).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let topic = [Arc::from("seen all")];
    let page = read(&*broker, seen_all[0].cursor.offset, Some(&topic), 5).await;
    let knows_topics = page.trimmed.is_some();
    let node = node::open(broker.clone()).await;

    let mut reader_of_lost = reader(&node, "has lost", Some(&has_lost[0]));
    assert_eq!(got(&mut reader_of_lost, 1).await, [Got::gap("trimmed")]);
    if !knows_topics {
        println!("not checked: this log knows no more than its floor");
        return;
    }
    let mut reader_of_left = reader(&node, "all left", Some(&all_left[0]));
    assert_eq!(got(&mut reader_of_left, 1).await, events(300..301));
    let mut reader_of_all = reader(&node, "seen all", Some(&seen_all[0]));
    // An event of its own topic is its next delivery, whenever it has asked.
    publish(&node, "seen all", 301..302).await;
    assert_eq!(got(&mut reader_of_all, 1).await, events(301..302));
}

/// Readers of quiet topics come back to a node that holds nothing: each costs one read, and then none.
pub async fn a_quiet_reader_reads_at_most_once_and_then_not_until_something_happens(
    factory: &impl BrokerFactory,
) {
    const READERS: u32 = 10;
    let broker = Counted::new(factory.open().await);
    let name = |number: u32| format!("quiet {number}");
    let mut seen = Vec::new();
    for number in 0..READERS {
        seen.extend(fill(&broker, &name(number), number..number + 1).await);
    }
    fill(&broker, "loud", 10..300).await;
    let node = node::open(broker.clone()).await;
    let before = broker.reads();
    let waiting: Vec<_> = (0..READERS)
        .zip(&seen)
        .map(|(number, seen)| {
            let mut reader = reader(&node, &name(number), Some(seen));
            tokio::spawn(async move { got(&mut reader, 1).await })
        })
        .collect();
    wait_for_heartbeats(&broker, 2).await;
    // Events of other topics do not count.
    publish(&node, "loud", 300..310).await;
    wait_for_heartbeats(&broker, 2).await;
    let reads = broker.reads() - before;
    assert!(
        reads <= READERS as usize,
        "{reads} reads for {READERS} quiet readers"
    );
    assert!(waiting.iter().all(|reader| !reader.is_finished()));
    for (number, reader) in (0..READERS).zip(waiting) {
        publish(&node, &name(number), 400..401).await;
        let got = super::steps::call("a reader", reader).await;
        assert_eq!(
            got.unwrap_or_else(|error| panic!("{error}")),
            events(400..401)
        );
    }
    let reads = broker.reads() - before;
    assert!(reads <= READERS as usize, "{reads} reads after the events");
}

/// A reader that trimming has overtaken gets its gap and the first page behind it in one answer. Otherwise a log that
/// is trimmed faster than the reader asks gives it gaps and never an event.
pub async fn a_slow_reader_gets_gap_and_first_page_together(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..60).await;
    if !factory.trim(&broker, 30).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let left = numbers(&read_all(&*broker, Default::default(), None).await);
    let node = node::open(broker.clone()).await;
    let mut reader = reader(&node, "t", Some(&stored[0]));
    assert_eq!(got(&mut reader, 1).await, [Got::gap("trimmed")]);
    // Everything that the reader would ask for now is gone.
    fill(&*broker, "t", 60..300).await;
    assert!(factory.trim(&broker, 5).await);
    assert_eq!(
        got(&mut reader, left.len()).await,
        events(left[0]..60),
        "what followed the gap when it was delivered"
    );
}

/// From the start: all events if all exist, and one gap before the rest if not.
pub async fn from_the_start_a_gap_comes_before_what_is_left(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    fill(&*broker, "t", 0..20).await;
    let first = node::open(broker.clone()).await;
    let mut whole = reader(&first, "t", None);
    assert_eq!(got(&mut whole, 20).await, events(0..20));
    if !factory.trim(&broker, 5).await {
        println!("not checked: this log cannot be trimmed on demand");
        return;
    }
    let left = numbers(&read_all(&*broker, Default::default(), None).await);
    assert!(left[0] > 0, "something was removed");
    // Another node, which has not seen what is gone.
    let second = node::open(broker.clone()).await;
    let mut rest = reader(&second, "t", None);
    assert_eq!(got(&mut rest, 1).await, [Got::gap("trimmed")]);
    assert_eq!(got(&mut rest, left.len()).await, events(left[0]..20));
    publish(&second, "t", 20..23).await;
    assert_eq!(got(&mut rest, 3).await, events(20..23));
    assert_eq!(got(&mut whole, 3).await, events(20..23), "nor a second gap");
}

/// Other uses of the store do not affect the log's readers.
pub async fn other_programs_beside_the_log_change_nothing(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    let stored = fill(&*broker, "t", 0..20).await;
    let before = read_all(&*broker, Default::default(), None).await;
    let node = node::open(broker.clone()).await;
    let mut live = reader(&node, "t", Some(&stored[9]));
    assert_eq!(got(&mut live, 10).await, events(10..20));
    for round in 0..3 {
        if !factory.disturb(&broker).await {
            println!("not checked: no other program can use this log's store");
            return;
        }
        let first = 20 + round * 5;
        let appended = fill(&*broker, "t", first..first + 5).await;
        let (old, new) = (stored[0].cursor.epoch, appended[0].cursor.epoch);
        assert_eq!(new, old, "the epoch");
        let after = read_all(&*broker, Default::default(), None).await;
        assert_eq!(after[..20], before[..], "the records");
        assert_eq!(got(&mut live, 5).await, events(first..first + 5));
        let mut back = reader(&node, "t", Some(&stored[9]));
        let count = (first + 5 - 10) as usize;
        assert_eq!(got(&mut back, count).await, events(10..first + 5));
    }
}

/// A log that does not work is the environment's fault: a server answers 503, and the caller tries again. No error
/// reads as if the caller had sent something that cannot be stored.
pub async fn a_log_that_does_not_work_blames_no_caller(factory: &impl BrokerFactory) {
    let broker = factory.open().await;
    fill(&*broker, "t", 0..2).await;
    let node = node::open(broker.clone()).await;
    let shut = super::steps::call("shutdown", broker.shutdown()).await;
    shut.unwrap_or_else(|error| panic!("shutdown failed: {error}"));
    let records = [super::steps::record("t", 2)];
    let errors = match super::steps::call("append", broker.append(&records)).await {
        Ok(results) => results.into_iter().filter_map(Result::err).collect(),
        Err(error) => vec![error],
    };
    assert!(!errors.is_empty(), "nothing is appended");
    for error in errors {
        assert!(!error.is_refused(), "{error}");
    }
    let published = node::try_publish(&node, "t", 2).await;
    let error = published.expect_err("nothing is published");
    assert!(error.is_unavailable() && !error.is_invalid(), "{error}");
}

impl Got {
    fn gap(reason: &'static str) -> Self {
        debug_assert_eq!(reason, GapReason::Trimmed.as_str());
        Self::Gap(reason, None)
    }
}
