//! Publishing: what is refused, what is published once, what costs nothing.

use std::time::Duration;

use bellwether_topics::{Error, Retention, ServerSentEvent, Topics};
use serde::Serialize;

use crate::shared::{event, numbers, publish, ready};

#[derive(Serialize)]
struct Price {
    cents: u32,
}

#[test]
fn the_same_key_publishes_once_and_gets_the_same_id() {
    let topics = Topics::new();
    let (orders, audit) = (
        topics.topic("orders").unwrap(),
        topics.topic("audit").unwrap(),
    );
    let once = |topic: &bellwether_topics::Topic, key| {
        topic
            .publish_with_key(key, &event(1))
            .unwrap()
            .id()
            .unwrap()
    };
    let first = once(&orders, "17");
    assert_eq!(once(&orders, "17"), first);
    assert_ne!(once(&orders, "18"), first);
    assert_ne!(once(&audit, "17"), first, "a key belongs to its topic");
    let mut reader = orders.subscribe().from_start().open().unwrap();
    assert_eq!(ready(&mut reader).len(), 2);

    let short = Topics::builder()
        .idempotency_window(Duration::ZERO, 10)
        .build();
    let orders = short.topic("orders").unwrap();
    assert_ne!(
        once(&orders, "17"),
        once(&orders, "17"),
        "beyond the window"
    );
}

#[test]
fn what_cannot_be_in_a_log_is_refused() {
    let topics = Topics::builder().max_event_bytes(100).max_topics(2).build();
    let topic = topics.topic("t").unwrap();
    let refused = |event: ServerSentEvent| topic.publish(&event).unwrap_err();
    assert!(refused(ServerSentEvent::new()).is_invalid());
    assert!(refused(ServerSentEvent::new().comment("c").retry(Duration::ZERO)).is_invalid());
    assert!(refused(ServerSentEvent::json(f64::NAN)).is_invalid());
    assert!(refused(ServerSentEvent::text("x".repeat(93))).is_invalid());
    let largest = ServerSentEvent::text("x".repeat(92));
    drop(topic.publish(&largest).unwrap());
    assert!(
        topic
            .publish_with_key(&"k".repeat(256), &event(1))
            .unwrap_err()
            .is_invalid()
    );

    let name = |name: &str| topics.topic(name).unwrap_err();
    assert!(name("").is_invalid());
    assert!(name("a\nb").is_invalid());
    assert!(name(&"n".repeat(256)).is_invalid());
    let _second = topics.topic(&"n".repeat(255)).unwrap();
    assert!(name("third").is_limit());
}

#[test]
fn a_topic_is_forgotten_when_it_has_no_handle_no_reader_and_no_event() {
    let retention = Retention::new().max_events(1);
    let topics = Topics::builder().retention(retention).max_topics(2).build();
    let (a, b) = (topics.topic("a").unwrap(), topics.topic("b").unwrap());
    publish(&a, 1);
    drop(a);
    assert_eq!(topics.topic_count(), 2, "history has an event of it");
    publish(&b, 2);
    assert_eq!(topics.topic_count(), 1);
    let reader = topics.topic("c").unwrap().subscribe().open().unwrap();
    assert_eq!(topics.topic_count(), 2, "it is read");
    drop(reader);
    assert_eq!(topics.topic_count(), 1);
}

#[test]
fn old_events_go_by_age() {
    let retention = Retention::new().max_age(Duration::ZERO);
    let topics = Topics::builder().retention(retention).build();
    let topic = topics.topic("t").unwrap();
    publish(&topic, 1);
    let mut reader = topic.subscribe().from_start().open().unwrap();
    // Only the gap is left.
    assert_eq!(numbers(&ready(&mut reader)), [0]);
}

#[test]
fn a_typed_topic_publishes_json_with_its_name() {
    let topics = Topics::new();
    let plain = topics.typed::<Price>("prices").unwrap();
    let named = plain.clone().named(bellwether_wire::event_name!("price"));
    drop(plain.publish(&Price { cents: 108 }).unwrap());
    drop(named.publish_with_key("k", &Price { cents: 109 }).unwrap());
    drop(named.publish_with_key("k", &Price { cents: 109 }).unwrap());
    let mut reader = plain.subscribe().from_start().open().unwrap();
    let got = ready(&mut reader);
    let text = |index: usize| {
        let frame = got[index].frame().unwrap();
        let bytes = frame.bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        text.strip_suffix(&format!("id: {}\n\n", frame.id()))
            .unwrap()
            .to_owned()
    };
    assert_eq!(got.len(), 2);
    assert_eq!(text(0), "data: {\"cents\":108}\n");
    assert_eq!(text(1), "event: price\ndata: {\"cents\":109}\n");
}

#[tokio::test]
async fn after_the_end_nothing_is_published_and_readers_end() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().open().unwrap();
    let waiting = tokio::spawn(async move {
        let last = reader.next().await;
        (last.is_none(), reader.close_reason())
    });
    tokio::task::yield_now().await;
    topics.close().await.unwrap();
    let reason = bellwether_topics::CloseReason::Stopping;
    assert_eq!(waiting.await.unwrap(), (true, Some(reason)));
    assert!(topic.publish(&event(1)).unwrap_err().is_closed());
}

#[test]
fn errors_say_what_was_found_and_what_is_allowed() {
    let topics = Topics::builder().max_event_bytes(20).build();
    let topic = topics.topic("t").unwrap();
    let error: Error = topic
        .publish(&ServerSentEvent::text("x".repeat(100)))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the event is 108 bytes long, at most 20 are allowed"
    );
}

#[test]
fn a_topic_that_many_threads_take_and_leave_at_once_is_there_while_held_and_gone_after() {
    let topics = Topics::new();
    let kept = topics.topic("kept").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let fleeting = topics.topic("fleeting").unwrap();
                    let again = topics.topic("fleeting").unwrap();
                    assert_eq!(fleeting.id(), again.id());
                    drop(topics.topic("kept").unwrap().subscribe().open().unwrap());
                }
            });
        }
    });
    assert_eq!(topics.topic_count(), 1);
    assert_eq!(topics.topic("kept").unwrap().id(), kept.id());
    drop(kept);
    assert_eq!(topics.topic_count(), 0);
}
