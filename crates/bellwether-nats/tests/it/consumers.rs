//! How the log is read: a message lost on the way is noticed, and a replay is cheap for the server.

use std::sync::Arc;
use std::time::Duration;

use bellwether_nats::NatsBroker;
use bellwether_testkit::{NatsServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord, ReadRequest, Stored};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support;

async fn consumers(client: &async_nats::Client, broker: &NatsBroker) -> Vec<String> {
    let names = format!("CONSUMER.NAMES.{}", broker.stream());
    let answer = support::api(client, &names, json!({})).await;
    let names = answer["consumers"].as_array().cloned().unwrap_or_default();
    names
        .iter()
        .map(|name: &Value| name.as_str().unwrap().to_owned())
        .collect()
}

/// The consumer counts what it delivers. Another client that takes one of its messages has the effect of a full buffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_lost_on_the_way_ends_the_tail() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let client = support::client(&server).await;
    support::fill(&broker, 0..1).await;
    let mut tail = support::tail_from(&broker, Offset::new(1)).await;
    let [consumer] = &consumers(&client, &broker).await[..] else {
        panic!("one consumer");
    };
    // Pulls wait in turn, so the thief gets the first message after the tail's own pull is full.
    let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", broker.stream());
    let inbox = client.new_inbox();
    let _thief = client.subscribe(inbox.clone()).await.unwrap();
    let request = Bytes::from_static(br#"{"batch":1,"expires":20000000000}"#);
    client
        .publish_with_reply(pull, inbox, request)
        .await
        .unwrap();
    client.flush().await.unwrap();

    let mut last = Offset::new(1);
    let appender = tokio::spawn({
        let broker = broker.clone();
        async move { support::fill(&broker, 1..3000).await }
    });
    let followed = support::follow_to(&mut tail, &mut last, Offset::new(3000));
    let error = followed.await.unwrap_err();
    assert!(error.to_string().contains("lost on the way"), "{error}");
    appender.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_removed_ends_the_tail_at_once() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let client = support::client(&server).await;
    support::fill(&broker, 0..1).await;
    let mut tail = broker.tail(Offset::new(1)).await.unwrap();
    support::follow_until(&mut tail, |page| page.records.is_empty())
        .await
        .unwrap();
    for consumer in consumers(&client, &broker).await {
        let delete = format!("CONSUMER.DELETE.{}.{consumer}", broker.stream());
        support::api(&client, &delete, json!({})).await;
    }
    support::fails_within(Duration::from_secs(4), &mut tail).await;
}

/// Of all topics, of one and of two, in pages of which each holds what was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_replay_uses_one_consumer() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let client = support::client(&server).await;
    let records: Vec<_> = (0..2000)
        .map(|number| support::record(["loud", "rare"][usize::from(number % 50 == 7)], number))
        .collect();
    let answers = broker.append(&records).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let names: [Arc<str>; 2] = [Arc::from("rare"), Arc::from("loud")];
    for (replay, topics) in [None, Some(&names[..1]), Some(&names)]
        .into_iter()
        .enumerate()
    {
        let mut from = Offset::ZERO;
        let mut numbers = Vec::new();
        loop {
            let request = ReadRequest {
                from,
                topics,
                max_records: 16,
                max_bytes: 200,
            };
            let page = broker.read(request).await.unwrap();
            assert!(page.records.len() <= 17);
            let new: Vec<_> = page
                .records
                .iter()
                .filter(|record| record.offset > from)
                .collect();
            let Some(last) = new.last() else { break };
            if from != Offset::ZERO {
                assert_eq!(page.records[0].offset, from, "the anchor comes first");
            }
            numbers.extend(
                new.iter()
                    .filter(|record| topics.is_none_or(|topics| topics.contains(&record.topic)))
                    .filter_map(|record| support::number_of(&record.event)),
            );
            from = last.offset;
        }
        let is_wanted = |number: &u32| topics.is_none_or(|t| t.len() == 2) || number % 50 == 7;
        assert_eq!(numbers, (0..2000).filter(is_wanted).collect::<Vec<_>>());
        // One more, for some seconds, has swept for messages that the server has lost. The server removes a consumer a
        // moment after it has announced that.
        let expected = replay + 1..=replay + 2;
        let settled =
            async { while !expected.contains(&consumers(&client, &broker).await.len()) {} };
        let settled = within(TEST_TIMEOUT, settled).await;
        settled.unwrap_or_else(|| panic!("not {expected:?} consumers"));
    }
    // What is appended later comes through the same consumer.
    support::fill(&broker, 2000..2001).await;
    let page = support::read(&broker, Offset::new(2000), 16).await;
    assert_eq!(page.records.len(), 2);
    assert!(consumers(&client, &broker).await.len() <= 5);
}

/// Events as large as the server takes, through pulls with small bounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_pass_the_bounds_of_pages_and_tails() {
    let Some(server) = or_skip(NatsServer::start("max_payload: 8MB\nmax_pending: 64MB").await)
    else {
        return;
    };
    let broker = support::builder(&server).connect().await.unwrap();
    let large = |number: u8| {
        let mut record = support::record("t", number.into());
        record.event = Bytes::from(vec![b'0' + number; 7_900_000]);
        record
    };
    let answers = broker
        .append(&[large(1), large(2), large(3)])
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for from in [1, 2] {
        let page = support::read(&broker, Offset::new(from), 16).await;
        assert_eq!(page.records.len(), 2, "the anchor and one more");
    }
    let mut tail = broker.tail(Offset::ZERO).await.unwrap();
    let mut count = 0;
    support::follow_until(&mut tail, |page| {
        count += page.records.len();
        count == 3
    })
    .await
    .unwrap();
}

/// A pull whose bound in bytes is used up to the last one ends without a status message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bound_in_bytes_stops_a_replay() {
    let Some((_server, broker)) = support::start().await else {
        return;
    };
    support::fill(&broker, 0..20).await;
    // Some hundred bytes each, with subject and headers.
    for max_bytes in 100..500 {
        let request = ReadRequest {
            from: Offset::new(1),
            topics: None,
            max_records: 10,
            max_bytes,
        };
        let page = broker.read(request).await.unwrap();
        assert!(page.records.len() >= 2, "{max_bytes}: {page:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_topics_come_back_without_a_consumer_each() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let client = support::client(&server).await;
    let quiet: Vec<_> = (0..30)
        .map(|number| support::record(&format!("quiet {number}"), number))
        .collect();
    let first = broker.append(&quiet).await.unwrap();
    support::fill(&broker, 0..500).await;
    let later = broker.append(&quiet).await.unwrap();
    for (index, record) in quiet.iter().enumerate() {
        let at = |stored: &[Result<Stored, _>]| stored[index].as_ref().unwrap().cursor.offset;
        for (from, expected) in [
            (at(&first), vec![at(&first), at(&later)]),
            (at(&later), vec![at(&later)]),
            (Offset::ZERO, vec![at(&first), at(&later)]),
        ] {
            let request = ReadRequest {
                from,
                topics: Some(std::slice::from_ref(&record.topic)),
                max_records: 256,
                max_bytes: 64 << 10,
            };
            let page = broker.read(request).await.unwrap();
            let offsets: Vec<_> = page.records.iter().map(|r| r.offset).collect();
            assert_eq!(offsets, expected);
        }
    }
    // Only those of the node's sweep for messages that the server has lost.
    let left = consumers(&client, &broker).await;
    assert!(left.len() <= 2, "{left:?}");
}

/// A node sweeps over the numbers of all messages for its quiet readers. While others publish, the end moves on with each
/// lookup, and what is between two lookups is no loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_beside_publishers_report_no_false_loss_and_share_a_consumer() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let client = support::client(&server).await;
    let quiet = NewRecord {
        topic: Arc::from("quiet"),
        tag: 7,
        event: Bytes::from_static(b"data: 0\n\n"),
        idempotency_key: None,
        conflation_key: None,
    };
    let stored = broker.append(&[quiet]).await.unwrap().remove(0).unwrap();
    support::fill(&broker, 1..10).await;
    let publisher = tokio::spawn({
        let broker = broker.clone();
        async move {
            for number in 10..3000 {
                support::fill(&broker, number..number + 1).await;
            }
        }
    });
    let topics = [Arc::from("quiet")];
    let expected = Some((stored.cursor.offset, stored.cursor.tag));
    let mut lookups = 0;
    while !publisher.is_finished() {
        let newest = broker.newest(&topics).await.unwrap().unwrap();
        assert_eq!(newest.records, [expected], "lookup {lookups}");
        lookups += 1;
    }
    publisher.await.unwrap();
    let consumers = consumers(&client, &broker).await.len();
    assert!(
        lookups > 20 && consumers < 5,
        "{lookups} lookups, {consumers} consumers"
    );
}
