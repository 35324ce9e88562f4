//! Readers that a node's memory does not reach: what they cost, and that they mean the same as in a log in memory.

use std::time::Duration;

use bellwether_topics::{
    CloseReason, Delivery, GapReason, Memory, Policy, Retention, ServerSentEvent, Subscription,
    Taken, Topics,
};

use crate::checker::number;
use crate::counted::Counted;
use crate::shared::{event, numbers, publish, ready};

async fn node(broker: &Counted, max_events: usize) -> Topics {
    let retention = Retention::new().max_events(max_events);
    let builder = Topics::builder().retention(retention);
    builder.open(broker.clone()).await.unwrap()
}

/// Publishes no faster than the node follows its broker, which would otherwise trim what the node has not read.
async fn append(node: &Topics, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let topic = node.topic(topic).unwrap();
    let mut ids = Vec::new();
    for some in numbers.collect::<Vec<_>>().chunks(10) {
        let published = some.iter().map(|n| topic.publish(&event(*n)).unwrap());
        let mut last = node.head();
        for published in published.collect::<Vec<_>>() {
            last = published.await.unwrap();
            ids.push(last.to_string());
        }
        while node.head().offset < last.offset {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    ids
}

/// What comes within a second, with 0 for a gap.
async fn within_a_second(reader: &mut Subscription) -> Vec<u64> {
    let mut got = Vec::new();
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(1), reader.next()).await
    {
        got.push(delivery.frame().map_or(0, number));
    }
    got
}

#[tokio::test(start_paused = true)]
async fn a_quiet_reader_reads_once_and_then_sleeps() {
    let broker = Counted::new(Memory::default());
    let a = node(&broker, 100).await;
    let ids = append(&a, "quiet", 1..=1).await;
    append(&a, "loud", 1..=10).await;
    // A node that was started again holds nothing but the head.
    let b = node(&broker, 100).await;
    for (topic, after) in [("quiet", Some(ids[0].as_str())), ("empty", None)] {
        let before = broker.reads();
        let subscribe = b.topic(topic).unwrap().subscribe().from_start();
        let mut reader = subscribe.after(after).open().unwrap();
        assert_eq!(within_a_second(&mut reader).await, [0; 0]);
        assert_eq!(within_a_second(&mut reader).await, [0; 0]);
        assert_eq!(broker.reads() - before, 1, "{topic}");
        append(&a, topic, 2..=2).await;
        assert_eq!(within_a_second(&mut reader).await, [2]);
        assert_eq!(broker.reads() - before, 1, "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_position_the_node_lacks_asks_little_and_misses_nothing() {
    let broker = Counted::new(Memory::default());
    let a = node(&broker, 100).await;
    let ids = append(&a, "quiet", 1..=1).await;
    append(&a, "loud", 1..=10).await;
    let b = node(&broker, 100).await;
    let topic = b.topic("quiet").unwrap();
    let mut reader = topic.subscribe().after(ids[0].as_str()).open().unwrap();
    // What is appended while the question is under way is found in the node's memory.
    let (got, _) = tokio::join!(within_a_second(&mut reader), append(&a, "quiet", 2..=9));
    assert_eq!(got, (2..=9).collect::<Vec<_>>());
}

#[test]
fn from_the_start_of_a_full_history_a_gap_comes_before_what_is_left() {
    let retention = Retention::new().max_events(10);
    let topics = Topics::builder().retention(retention).build();
    let topic = topics.topic("t").unwrap();
    for n in 1..=10 {
        publish(&topic, n);
    }
    let mut reader = topic.subscribe().from_start().open().unwrap();
    publish(&topic, 11);
    let got = ready(&mut reader);
    assert_eq!(numbers(&got), [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let gap = got[0].gap().unwrap();
    assert_eq!((gap.reason(), gap.asked()), (GapReason::Trimmed, None));
    assert_eq!(gap.lost(), Some(1));
    // The same if the events are gone before the reader comes.
    let mut late = topic.subscribe().from_start().open().unwrap();
    assert_eq!(numbers(&ready(&mut late))[..2], [0, 2]);
    // Nothing of this topic is gone.
    let other = topics.topic("other").unwrap();
    publish(&other, 1);
    let mut reader = other.subscribe().from_start().open().unwrap();
    assert_eq!(numbers(&ready(&mut reader)), [1]);
}

#[tokio::test(start_paused = true)]
async fn from_the_start_of_a_trimmed_broker_a_gap_comes_before_what_is_left() {
    let broker = Counted::new(Memory::new(10));
    let a = node(&broker, 100).await;
    append(&a, "t", 1..=11).await;
    let mut reader = a
        .topic("t")
        .unwrap()
        .subscribe()
        .from_start()
        .open()
        .unwrap();
    let got = within_a_second(&mut reader).await;
    assert_eq!(got, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_filter_that_wants_nothing_gives_others_their_turn() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    for n in 1..=5000 {
        publish(&topic, n);
    }
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    let filter = move |frame: &bellwether_topics::Frame| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        number(frame) == 5000
    };
    let mut reader = topic
        .subscribe()
        .from_start()
        .filter(filter)
        .open()
        .unwrap();
    let mut out = Vec::new();
    assert_eq!(reader.try_frames(1 << 20, &mut out), Taken::NeedsPoll);
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 1024);
    assert!(crate::shared::poll(&mut reader, &mut out).is_pending());
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 2048);
    while reader.try_frames(1 << 20, &mut out) == Taken::NeedsPoll {}
    assert_eq!(numbers(&out), [5000]);
}

/// A reader that takes an event now and then, on a broker that trims faster than that.
async fn slow_reader(policy: Policy) -> (Vec<Delivery>, Option<CloseReason>) {
    let broker = Counted::new(Memory::new(300));
    let a = node(&broker, 10).await;
    let topic = a.topic("t").unwrap();
    let mut reader = topic.subscribe().policy(policy).open().unwrap();
    append(&a, "t", 1..=1).await;
    let mut got = vec![reader.next().await.unwrap()];
    for round in 1..20 {
        append(&a, "t", round * 1000..=round * 1000 + 999).await;
        // Until the node has followed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..10 {
            match tokio::time::timeout(Duration::from_secs(1), reader.next()).await {
                Ok(Some(delivery)) => got.push(delivery),
                Ok(None) => return (got, reader.close_reason()),
                Err(_) => break,
            }
        }
    }
    (got, None)
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_broker_meets_its_policy_as_in_memory() {
    let (got, reason) = slow_reader(Policy::disconnect()).await;
    assert_eq!(reason, Some(CloseReason::TooSlow));
    assert!(got.iter().all(|delivery| delivery.gap().is_none()));

    let (got, reason) = slow_reader(Policy::skip_to_latest()).await;
    assert_eq!(reason, None);
    let gaps = got.iter().filter_map(Delivery::gap);
    assert!(gaps.clone().count() > 0);
    assert!(gaps.clone().all(|gap| gap.reason() == GapReason::Lag));

    let (got, reason) = slow_reader(Policy::latest_per_key()).await;
    assert_eq!(reason, None);
    let gaps = got.iter().filter_map(Delivery::gap);
    assert!(gaps.clone().count() > 0);
    for pair in got.windows(2) {
        assert!(
            pair.iter().any(|delivery| delivery.gap().is_none()),
            "gap after gap"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_a_broker_comes_with_the_events_behind_it() {
    let broker = Counted::new(Memory::new(50));
    let a = node(&broker, 10).await;
    let ids = append(&a, "t", 1..=100).await;
    let topic = a.topic("t").unwrap();
    let mut reader = topic.subscribe().after(ids[3].as_str()).open().unwrap();
    assert!(reader.next().await.unwrap().gap().is_some());
    // All of what was left is gone by now.
    for n in 0..10 {
        let big = ServerSentEvent::text((1000 + n).to_string());
        topic.publish(&big).unwrap().await.unwrap();
    }
    append(&a, "t", 101..=200).await;
    let first = reader.next().await.unwrap();
    assert_eq!(first.frame().map(number), Some(51));
}

/// One event in `quiet`, 2,000 in `loud`, of which 50 are kept: what a reader of `quiet` gets in a second.
async fn quiet_beside_loud(after: Option<&str>, is_restarted: bool, between: u64) -> Vec<u64> {
    let broker = Counted::new(Memory::new(50));
    let a = node(&broker, 50).await;
    let first = append(&a, "quiet", 1..=1).await;
    append(&a, "quiet", 2..=between).await;
    append(&a, "loud", 1..=2000).await;
    let b = match is_restarted {
        true => node(&broker, 50).await,
        false => a.clone(),
    };
    let subscribe = b.topic("quiet").unwrap().subscribe().from_start();
    let first = first[0].as_str();
    let after = after.map(|tag| first.replace(first.rsplit('.').next().unwrap(), tag));
    let mut reader = subscribe
        .after(after.as_deref().unwrap_or(first))
        .open()
        .unwrap();
    let mut got = within_a_second(&mut reader).await;
    append(&a, "quiet", 77..=77).await;
    got.extend(within_a_second(&mut reader).await);
    got
}

#[tokio::test(start_paused = true)]
async fn a_quiet_topic_beside_a_loud_one_has_no_gap_that_is_not_its_own() {
    for is_restarted in [false, true] {
        assert_eq!(quiet_beside_loud(None, is_restarted, 1).await, [77]);
        let lost_one = quiet_beside_loud(None, is_restarted, 2).await;
        assert_eq!(lost_one, [0, 77], "its own second event is gone");
        let other_log = quiet_beside_loud(Some("AAAAAA"), is_restarted, 1).await;
        assert_eq!(other_log, [0, 77], "the position is of another history");
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_reader_without_an_event_stays_good_while_other_topics_are_trimmed() {
    let broker = Counted::new(Memory::new(50));
    let a = node(&broker, 50).await;
    append(&a, "quiet", 1..=1).await;
    append(&a, "loud", 1..=10).await;
    let mut reader = a.topic("quiet").unwrap().subscribe().open().unwrap();
    assert_eq!(within_a_second(&mut reader).await, [0; 0]);
    let id = reader.cursor().unwrap().to_string();
    append(&a, "loud", 11..=2000).await;
    for topics in [a.clone(), node(&broker, 50).await] {
        let topic = topics.topic("quiet").unwrap();
        let mut back = topic.subscribe().after(id.as_str()).open().unwrap();
        assert_eq!(within_a_second(&mut back).await, [0; 0], "no gap");
        assert!(back.cursor().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_node_knows_what_a_broker_cannot_say_of_a_quiet_topic() {
    let mut broker = Counted::new(Memory::new(50));
    broker.tells_trimmed = false;
    let a = node(&broker, 50).await;
    let ids = append(&a, "quiet", 1..=1).await;
    append(&a, "loud", 1..=2000).await;
    // A node that has just started knows only what the broker says, so in doubt there is a gap.
    for (topics, expected) in [(a.clone(), vec![]), (node(&broker, 50).await, vec![0])] {
        let topic = topics.topic("quiet").unwrap();
        let mut reader = topic.subscribe().after(ids[0].as_str()).open().unwrap();
        assert_eq!(within_a_second(&mut reader).await, expected);
    }
}
