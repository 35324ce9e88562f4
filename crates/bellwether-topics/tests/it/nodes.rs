//! Several nodes on one log: what readers see when they move, when the broker fails, loses or forgets.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bellwether_topics::{
    AfterGap, Delivery, GapReason, Memory, Policy, Retention, Subscription, Topics,
};
use futures_core::Stream;

use crate::checker::number;
use crate::shared::event;

async fn node(broker: &Memory) -> Topics {
    node_that_keeps(broker, 16_384).await
}

async fn node_that_keeps(broker: &Memory, max_events: usize) -> Topics {
    let retention = Retention::new().max_events(max_events);
    let builder = Topics::builder().retention(retention);
    builder.open(broker.clone()).await.unwrap()
}

async fn publish(node: &Topics, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let topic = node.topic("t").unwrap();
    let published: Vec<_> = numbers.map(|n| topic.publish(&event(n)).unwrap()).collect();
    let mut ids = Vec::new();
    for published in published {
        ids.push(published.await.unwrap().to_string());
    }
    ids
}

fn open(node: &Topics, after: Option<&str>) -> Subscription {
    node.topic("t")
        .unwrap()
        .subscribe()
        .after(after)
        .open()
        .unwrap()
}

fn open_from_start(node: &Topics) -> Subscription {
    let topic = node.topic("t").unwrap();
    topic.subscribe().from_start().open().unwrap()
}

async fn take(reader: &mut Subscription, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    for _ in 0..count {
        let delivery = reader.next().await.unwrap();
        got.push(delivery.frame().map_or(0, number));
    }
    got
}

async fn gap(reader: &mut Subscription) -> bellwether_topics::Gap {
    match reader.next().await.unwrap() {
        Delivery::Gap(gap) => gap,
        other => panic!("no gap but {other:?}"),
    }
}

fn is_waiting(reader: &mut Subscription) -> bool {
    crate::shared::poll(reader, &mut Vec::new()).is_pending()
}

#[tokio::test(start_paused = true)]
async fn what_one_node_publishes_readers_of_another_get_once_and_in_order() {
    let broker = Memory::default();
    let (a, b) = (node(&broker).await, node(&broker).await);
    let mut readers = [open(&a, None), open(&b, None)];
    let ids = publish(&a, 1..=50).await;
    publish(&b, 51..=60).await;
    for reader in &mut readers {
        assert_eq!(take(reader, 60).await, (1..=60).collect::<Vec<_>>());
        assert!(is_waiting(reader));
    }
    // An id of one node is good on the other.
    let mut moved = open(&b, Some(&ids[9]));
    assert_eq!(take(&mut moved, 50).await, (11..=60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_reader_older_than_the_nodes_memory_reads_from_the_broker() {
    let broker = Memory::default();
    let a = node_that_keeps(&broker, 10).await;
    let ids = publish(&a, 1..=1000).await;
    // Other topics in between, which its pages must not show.
    let other = a.topic("other").unwrap();
    for n in 0..300 {
        other.publish(&event(n)).unwrap().await.unwrap();
    }
    publish(&a, 1001..=1010).await;
    let mut reader = open(&a, Some(&ids[0]));
    assert_eq!(
        take(&mut reader, 1009).await,
        (2..=1010).collect::<Vec<_>>()
    );
    let mut start = open_from_start(&a);
    assert_eq!(take(&mut start, 1010).await, (1..=1010).collect::<Vec<_>>());
    // A node that has just started knows only the head.
    let b = node(&broker).await;
    let mut reader = open(&b, Some(&ids[499]));
    assert_eq!(
        take(&mut reader, 510).await,
        (501..=1010).collect::<Vec<_>>()
    );
    publish(&b, 1011..=1011).await;
    assert_eq!(take(&mut reader, 1).await, [1011]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_the_nodes_memory_has_passed_loses_nothing() {
    let broker = Memory::default();
    let a = node_that_keeps(&broker, 8).await;
    let mut reader = open(&a, None);
    assert!(is_waiting(&mut reader));
    publish(&a, 1..=500).await;
    assert_eq!(take(&mut reader, 500).await, (1..=500).collect::<Vec<_>>());
    // Unless it wants to skip.
    let policy = Policy::skip_to_latest().max_lag_events(100);
    let topic = a.topic("t").unwrap();
    let mut skipping = topic.subscribe().policy(policy).open().unwrap();
    assert!(is_waiting(&mut skipping));
    publish(&a, 501..=1000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let gap = gap(&mut skipping).await;
    assert_eq!((gap.reason(), gap.lost()), (GapReason::Lag, Some(500)));
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_has_trimmed_is_a_gap() {
    let broker = Memory::default();
    let a = node_that_keeps(&broker, 1).await;
    let ids = publish(&a, 1..=20).await;
    broker.trim_to(5);
    let mut reader = open(&a, Some(&ids[3]));
    let gap = gap(&mut reader).await;
    assert_eq!(gap.reason(), GapReason::Trimmed);
    assert_eq!(gap.asked(), Some(ids[3].as_str()));
    assert_eq!((gap.floor().low(), gap.head().low()), (15, 20));
    assert_eq!(take(&mut reader, 5).await, [16, 17, 18, 19, 20]);

    let mut latest = a.topic("t").unwrap().subscribe();
    latest = latest.after(ids[3].as_str()).after_gap(AfterGap::Latest);
    let mut latest = latest.open().unwrap();
    assert!(latest.next().await.unwrap().gap().is_some());
    publish(&a, 21..=21).await;
    assert_eq!(take(&mut latest, 1).await, [21]);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_a_gap_and_then_the_rest() {
    let broker = Memory::default();
    let a = node(&broker).await;
    publish(&a, 1..=3).await;
    let mut reader = open(&a, Some("garbage"));
    assert_eq!(gap(&mut reader).await.reason(), GapReason::Unknown);
    assert_eq!(take(&mut reader, 3).await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_ahead_of_a_lagging_node_waits_for_it() {
    let broker = Memory::default();
    let a = node(&broker).await;
    let b = node(&broker).await;
    let ids = publish(&a, 1..=5).await;
    // Node b has not followed yet: no task ran since the last append was confirmed.
    let mut reader = open(&b, Some(&ids[4]));
    publish(&a, 6..=6).await;
    assert_eq!(take(&mut reader, 1).await, [6], "no gap");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_beyond_the_brokers_head_is_a_gap_after_a_while() {
    let broker = Memory::default();
    let a = node(&broker).await;
    let ids = publish(&a, 1..=5).await;
    a.close().await.unwrap_or_default();
    let broker = {
        // The same log as it was before its last records were synced.
        let broker = Memory::default();
        broker.start_over();
        broker
    };
    let b = node(&broker).await;
    let mut reader = open(&b, Some(&ids[4]));
    assert_eq!(gap(&mut reader).await.reason(), GapReason::Epoch);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_its_end_and_uses_its_offsets_again_is_found_out() {
    let broker = Memory::default();
    let a = node(&broker).await;
    let ids = publish(&a, 1..=10).await;
    let mut live = open(&a, None);
    assert!(is_waiting(&mut live));
    publish(&a, 11..=11).await;
    assert_eq!(take(&mut live, 1).await, [11]);

    broker.lose_newest(3);
    // Offsets 9, 10 and 11 are given to other events.
    publish(&a, 109..=112).await;
    let lost = gap(&mut live).await;
    assert_eq!(
        lost.reason(),
        GapReason::Regressed,
        "a reader that was there gets a gap"
    );
    assert_eq!(
        take(&mut live, 12).await,
        [1, 2, 3, 4, 5, 6, 7, 8, 109, 110, 111, 112]
    );
    for (id, expected) in [(&ids[8], None), (&ids[9], None), (&ids[7], Some(109))] {
        let mut reader = open(&a, Some(id));
        match (reader.next().await.unwrap(), expected) {
            (Delivery::Gap(gap), None) => assert_eq!(gap.reason(), GapReason::Regressed),
            (Delivery::Event(frame), Some(expected)) => assert_eq!(number(&frame), expected),
            (other, _) => panic!("{id}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_replaced_is_a_gap_for_every_reader() {
    let broker = Memory::default();
    let a = node(&broker).await;
    let ids = publish(&a, 1..=5).await;
    let mut live = open(&a, Some(&ids[4]));
    assert!(is_waiting(&mut live));
    broker.start_over();
    publish(&a, 1..=2).await;
    assert_eq!(gap(&mut live).await.reason(), GapReason::Epoch);
    assert_eq!(take(&mut live, 2).await, [1, 2]);
    let mut back = open(&a, Some(&ids[2]));
    assert_eq!(gap(&mut back).await.reason(), GapReason::Epoch);
    assert_eq!(take(&mut back, 2).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_streams_stay_open_and_publishing_fails_in_time() {
    let broker = Memory::default();
    let (a, b) = (node(&broker).await, node(&broker).await);
    let ids = publish(&a, 1..=5).await;
    let mut live = open(&b, Some(&ids[4]));
    assert!(is_waiting(&mut live));
    assert!(a.is_ready() && b.is_ready());

    broker.set_available(false);
    let topic = a.topic("t").unwrap();
    let start = tokio::time::Instant::now();
    let error = topic.publish(&event(6)).unwrap().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(start.elapsed() <= Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(!a.is_ready() && !b.is_ready());
    assert!(is_waiting(&mut live), "it stays open");
    let mut during = open(&b, Some(&ids[1]));
    assert_eq!(
        take(&mut during, 3).await,
        [3, 4, 5],
        "the node's memory still serves"
    );

    broker.set_available(true);
    let back = tokio::time::Instant::now();
    publish(&a, 6..=8).await;
    assert_eq!(take(&mut live, 3).await, [6, 7, 8]);
    assert_eq!(take(&mut during, 3).await, [6, 7, 8]);
    while !(a.is_ready() && b.is_ready()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(back.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_tried_again_on_another_node_is_there_once() {
    let broker = Memory::default();
    let (a, b) = (node(&broker).await, node(&broker).await);
    let once = |node: &Topics| {
        let topic = node.topic("t").unwrap();
        topic.publish_with_key("order-17", &event(1)).unwrap()
    };
    let (first, second) = (once(&a).await.unwrap(), once(&b).await.unwrap());
    assert_eq!(first, second);
    publish(&a, 2..=2).await;
    drop(open(&b, None));
    let mut reader = open_from_start(&b);
    assert_eq!(take(&mut reader, 2).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_was_handed_over_and_ends_the_readers() {
    let broker = Memory::default();
    let a = node(&broker).await;
    let topic = a.topic("t").unwrap();
    let mut reader = open(&a, None);
    let mut asking = open(&a, Some("garbage"));
    let published: Vec<_> = (1..=100)
        .map(|n| topic.publish(&event(n)).unwrap())
        .collect();
    a.close().await.unwrap();
    for published in published {
        published.await.unwrap();
    }
    assert!(topic.publish(&event(101)).unwrap_err().is_closed());
    while reader.next().await.is_some() {}
    while asking.next().await.is_some() {}
    assert_eq!(a.subscriber_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_publishes_waits_for_the_broker() {
    let broker = Memory::default();
    let builder = Topics::builder().max_pending_publishes(3);
    let a = builder.open(broker.clone()).await.unwrap();
    let topic = a.topic("t").unwrap();
    let waiting: Vec<_> = (1..=3).map(|n| topic.publish(&event(n)).unwrap()).collect();
    assert!(topic.publish(&event(4)).unwrap_err().is_limit());
    for published in waiting {
        published.await.unwrap();
    }
    publish(&a, 4..=4).await;
    assert_eq!(a.head().offset.low(), 4);
}

/// A node that has just started knows how far the log goes, but not yet the tag of its newest record.
#[tokio::test]
async fn a_reader_that_comes_before_its_node_knows_the_log_has_an_id_as_soon_as_the_node_knows() {
    let broker = Memory::new(1000);
    let first = node(&broker).await;
    let ids = publish(&first, 1..=1).await;

    let second = node(&broker).await;
    let topic = second.topic("quiet").unwrap();
    let mut reader = topic.subscribe().open().unwrap();
    assert!(reader.cursor().is_none(), "nothing was heard of the log");
    let known = std::future::poll_fn(|cx| {
        assert!(Pin::new(&mut reader).poll_next(cx).is_pending());
        match reader.cursor() {
            Some(cursor) => Poll::Ready(cursor),
            None => Poll::Pending,
        }
    });
    let cursor = tokio::time::timeout(Duration::from_secs(20), known).await;
    assert_eq!(cursor.expect("it is woken").to_string(), ids[0]);
}

/// The next delivery, if any comes.
async fn soon(reader: &mut Subscription) -> Option<Delivery> {
    let next = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
    next.ok().flatten()
}

#[tokio::test]
async fn the_id_of_a_gap_makes_the_next_resume_a_clean_one_also_on_a_broker() {
    let broker = Memory::new(100);
    let first = node(&broker).await;
    let ids = publish(&first, 1..=2).await;
    let loud = first.topic("loud").unwrap();
    for number in 0..300 {
        loud.publish(&event(number)).unwrap().await.unwrap();
    }

    let second = node(&broker).await;
    let mut reader = open(&second, Some(&ids[0]));
    let gap = soon(&mut reader).await.unwrap();
    assert_eq!(gap.gap().unwrap().reason(), GapReason::Trimmed);
    let id = gap.gap().unwrap().cursor().to_string();
    for node in [&second, &node(&broker).await] {
        let mut reader = open(node, Some(&id));
        assert!(soon(&mut reader).await.is_none(), "nothing was lost since");
    }
    let mut reader = open(&second, Some(&id));
    publish(&second, 3..=3).await;
    assert!(soon(&mut reader).await.unwrap().frame().is_some());
}

#[tokio::test]
async fn a_reader_whose_topic_had_no_event_yet_keeps_a_good_id_while_others_are_trimmed() {
    let broker = Memory::new(100);
    let first = node(&broker).await;
    publish(&first, 1..=5).await;
    let quiet = first.topic("quiet").unwrap();
    let mut reader = quiet.subscribe().open().unwrap();
    assert!(soon(&mut reader).await.is_none());
    let id = reader.cursor().unwrap().to_string();
    let loud = first.topic("loud").unwrap();
    for number in 0..300 {
        loud.publish(&event(number)).unwrap().await.unwrap();
    }

    let second = node(&broker).await;
    let quiet = second.topic("quiet").unwrap();
    let mut reader = quiet.subscribe().after(id.as_str()).open().unwrap();
    assert!(soon(&mut reader).await.is_none(), "nothing was lost");
    quiet.publish(&event(6)).unwrap().await.unwrap();
    assert!(soon(&mut reader).await.unwrap().frame().is_some());
}
