//! Rights that last as long as the stream, and the list of subscribers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether_topics::{CloseReason, Topics};

use crate::shared::{NONE, numbers, publish, ready};

#[tokio::test]
async fn a_subject_that_is_kicked_leaves_and_others_stay() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    let open = |subject: &'static str| topic.subscribe().subject(subject).open().unwrap();
    let (mut first, mut second, mut other) = (open("ann"), open("ann"), open("bob"));
    let waiting = tokio::spawn(async move {
        let is_end = first.next().await.is_none();
        (is_end, first.close_reason())
    });
    tokio::task::yield_now().await;
    assert_eq!(topics.kick("ann"), 2);
    assert_eq!(topics.kick("carl"), 0);
    assert_eq!(waiting.await.unwrap(), (true, Some(CloseReason::Kicked)));
    publish(&topic, 1);
    assert_eq!(
        numbers(&ready(&mut second)),
        NONE,
        "nothing more reaches it"
    );
    assert_eq!(second.close_reason(), Some(CloseReason::Kicked));
    assert_eq!(numbers(&ready(&mut other)), [1]);
    assert_eq!(topics.kick("ann"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_its_right_to_read_does() {
    let topics = Topics::new();
    let topic = topics.topic("t").unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut reader = topic.subscribe().expires_at(until.into()).open().unwrap();
    publish(&topic, 1);
    assert!(reader.next().await.is_some());
    assert!(reader.next().await.is_none());
    assert_eq!(reader.close_reason(), Some(CloseReason::Expired));
    assert_eq!(
        tokio::time::Instant::now().duration_since(until).as_secs(),
        0
    );
    assert_eq!(topics.subscriber_count(), 0);

    let mut late = topic.subscribe().expires_at(Instant::now()).open().unwrap();
    assert_eq!(ready(&mut late).len(), 0);
    assert_eq!(late.close_reason(), Some(CloseReason::Expired));
}

#[test]
fn who_is_present_is_known_and_counted_until_each_leaves() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let (opened, closed) = (log.clone(), log.clone());
    let topics = Topics::builder()
        .max_subscribers(3)
        .max_subscribers_per_topic(2)
        .on_subscribe(move |who| opened.lock().unwrap().push(format!("+{:?}", who.subject)))
        .on_close(move |who, why| {
            let line = format!("-{:?} {}", who.subject, why.as_str());
            closed.lock().unwrap().push(line);
        })
        .build();
    let a = topics.topic("a").unwrap();
    let first = a.subscribe().subject("ann").open().unwrap();
    let second = topics.subscribe(["a", "b"]).open().unwrap();
    assert!(
        a.subscribe().open().unwrap_err().is_limit(),
        "two of a topic"
    );
    let third = topics.subscribe(["b"]).open().unwrap();
    assert!(
        topics.subscribe(["c"]).open().unwrap_err().is_limit(),
        "three in all"
    );
    assert_eq!(a.subscriber_count(), 2);
    let present = topics.subscribers();
    assert_eq!(present.len(), 3);
    assert_eq!(present[0].subject.as_deref(), Some("ann"));
    assert_eq!(present[1].topics.len(), 2);

    drop((first, second, third));
    assert_eq!((topics.subscriber_count(), a.subscriber_count()), (0, 0));
    let log = log.lock().unwrap();
    assert_eq!(
        *log,
        [
            "+Some(\"ann\")",
            "+None",
            "+None",
            "-Some(\"ann\") left",
            "-None left",
            "-None left"
        ]
    );
}

#[test]
fn a_subscription_of_no_topic_or_too_many_is_refused() {
    let topics = Topics::builder().max_topics_per_subscription(2).build();
    let open = |names: &[&str]| topics.subscribe(names).open();
    assert!(open(&[]).unwrap_err().is_invalid());
    assert!(open(&["a", ""]).unwrap_err().is_invalid());
    assert!(open(&["a", "b", "c"]).unwrap_err().is_limit());
    drop(open(&["a", "b"]).unwrap());
}
