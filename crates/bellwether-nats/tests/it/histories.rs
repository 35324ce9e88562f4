//! Histories that end, fork or shrink, and what readers get: one gap, never a hole.

use std::path::Path;
use std::time::Duration;

use bellwether_topics::broker::Broker;
use bellwether_topics::{Delivery, Gap, GapReason, Offset, ServerSentEvent, Subscription, Topics};
use bytes::Bytes;
use serde_json::json;

use crate::support;

async fn publish(node: &Topics, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let topic = node.topic("t").unwrap();
    let mut ids = Vec::new();
    for number in numbers {
        let published = topic
            .publish(&ServerSentEvent::text(number.to_string()))
            .unwrap();
        ids.push(published.await.unwrap().to_string());
    }
    ids
}

fn open(node: &Topics, after: &str) -> Subscription {
    let topic = node.topic("t").unwrap();
    topic.subscribe().after(after).open().unwrap()
}

/// A reader's next delivery.
async fn next(reader: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(Duration::from_secs(30), reader.next());
    next.await
        .expect("something comes")
        .expect("the stream goes on")
}

async fn next_gap(reader: &mut Subscription) -> Gap {
    match next(reader).await {
        Delivery::Gap(gap) => gap,
        other => panic!("no gap but {other:?}"),
    }
}

fn number(delivery: &Delivery) -> u32 {
    let frame = delivery
        .frame()
        .unwrap_or_else(|| panic!("no event but {delivery:?}"));
    let text = String::from_utf8_lossy(frame.as_bytes()).into_owned();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    data.unwrap().trim().parse().unwrap()
}

async fn numbers(reader: &mut Subscription, count: usize) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < count {
        all.push(number(&next(reader).await));
    }
    all
}

/// A stream that was deleted is created again, and each reader gets one gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_one_gap_and_a_new_epoch() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let node = Topics::with(broker.clone()).await.unwrap();
    let ids = publish(&node, 1..=10).await;
    let mut live = open(&node, &ids[0]);
    assert_eq!(numbers(&mut live, 9).await, (2..=10).collect::<Vec<_>>());
    let before = broker.bounds().await.unwrap();

    let client = support::client(&server).await;
    support::api(
        &client,
        &format!("STREAM.DELETE.{}", broker.stream()),
        json!({}),
    )
    .await;
    let gap = next_gap(&mut live).await;
    assert_eq!(gap.reason(), GapReason::Epoch);
    let after = broker.bounds().await.unwrap();
    assert_ne!(after.epoch, before.epoch);

    // Numbers start again, and the old ids name other records now.
    publish(&node, 101..=120).await;
    assert_eq!(
        numbers(&mut live, 20).await,
        (101..=120).collect::<Vec<_>>()
    );
    let mut late = open(&node, &ids[9]);
    assert_eq!(next_gap(&mut late).await.reason(), GapReason::Epoch);
    assert_eq!(
        numbers(&mut late, 20).await,
        (101..=120).collect::<Vec<_>>()
    );
    let offset = gap.cursor().to_string();
    assert_eq!(
        number(&next(&mut open(&node, &offset)).await),
        101,
        "the gap's id leads on"
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// An older copy of the server's data gives numbers out again that readers have seen.
async fn restore_older_copy(published_after: u32) -> Option<()> {
    let (mut server, broker) = support::start().await?;
    let node = Topics::with(broker.clone()).await.unwrap();
    let mut ids = publish(&node, 1..=10).await;
    server.stop().await;
    let backup = server.folder().with_file_name("backup");
    copy(server.folder(), &backup);
    server.start_again().await;
    ids.extend(publish(&node, 11..=20).await);
    let mut live = open(&node, &ids[0]);
    assert_eq!(numbers(&mut live, 19).await, (2..=20).collect::<Vec<_>>());

    server.kill().await;
    std::fs::remove_dir_all(server.folder()).unwrap();
    std::fs::rename(&backup, server.folder()).unwrap();
    server.start_again().await;
    // Published by a program that knows nothing of the loss, before the node is started or after.
    let other = support::same_log(&server, &broker);
    let other = other.connect().await.unwrap();
    let last = 100 + published_after;
    let other = Topics::with(other).await.unwrap();
    let new_ids = publish(&other, 101..=last).await;

    assert_eq!(next_gap(&mut live).await.reason(), GapReason::Regressed);
    // What is left of the old history, and all of the new one.
    let expected: Vec<_> = (1..=10).chain(101..=last).collect();
    assert_eq!(numbers(&mut live, expected.len()).await, expected);
    let mut resumed = open(&other, &ids[14]);
    assert_eq!(next_gap(&mut resumed).await.reason(), GapReason::Regressed);
    assert_eq!(numbers(&mut resumed, expected.len()).await, expected);
    let mut kept = open(&node, &ids[9]);
    assert_eq!(
        number(&next(&mut kept).await),
        101,
        "what both histories have is no gap"
    );
    let mut new = open(&node, &new_ids[0]);
    assert_eq!(number(&next(&mut new).await), 102);
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_that_is_shorter_is_one_gap() {
    restore_older_copy(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_that_has_outgrown_the_lost_end_is_one_gap() {
    restore_older_copy(25).await;
}

/// A consumer that starts below the first record silently starts with the first one that is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_below_the_first_record_shows_as_a_floor() {
    let started = support::start_with(|builder| builder.max_records(5));
    let Some((server, broker)) = started.await else {
        return;
    };
    let node = Topics::with(broker.clone()).await.unwrap();
    let ids = publish(&node, 1..=12).await;
    let mut tail = broker.tail(Offset::new(3)).await.unwrap();
    let page = tail.next().await.unwrap();
    assert_eq!(
        (page.floor, page.records[0].offset),
        (Offset::new(7), Offset::new(8))
    );
    let page = support::read(&broker, Offset::new(3), 10).await;
    assert_eq!(
        (page.floor, page.records[0].offset),
        (Offset::new(7), Offset::new(8))
    );

    // A node that has just started has nothing in memory.
    let fresh = support::same_log(&server, &broker);
    let fresh = Topics::with(fresh.connect().await.unwrap()).await.unwrap();
    let mut reader = open(&fresh, &ids[2]);
    assert_eq!(next_gap(&mut reader).await.reason(), GapReason::Trimmed);
    assert_eq!(numbers(&mut reader, 5).await, (8..=12).collect::<Vec<_>>());
    assert_eq!(
        numbers(&mut open(&fresh, &ids[7]), 4).await,
        (9..=12).collect::<Vec<_>>()
    );
}

/// Records that were removed before a slow tail took them are not skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_overtaken_by_trimming_fails() {
    let Some((_server, broker)) = support::start_with(|builder| builder.max_records(50)).await
    else {
        return;
    };
    support::fill(&broker, 0..1).await;
    let mut tail = support::tail_from(&broker, Offset::new(1)).await;
    // More than the tail has asked for.
    support::fill(&broker, 1..5000).await;
    let mut last = Offset::new(1);
    let followed = support::follow_to(&mut tail, &mut last, Offset::new(5000));
    let error = followed.await.unwrap_err();
    assert!(error.to_string().contains("removed"), "{error}");
    assert!(last < Offset::new(4950));
}

/// With a maximum age, the newest record of a quiet log would be removed as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_log_with_a_maximum_age_keeps_an_anchor() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let node = Topics::with(broker.clone()).await.unwrap();
    let client = support::client(&server).await;
    let ids = publish(&node, 1..=2).await;
    let mut reader = open(&node, &ids[0]);
    assert_eq!(number(&next(&mut reader).await), 2);
    support::edit(&client, broker.stream(), |config| {
        config["max_age"] = json!(4_000_000_000_u64);
        config["duplicate_window"] = json!(4_000_000_000_u64);
    })
    .await;
    // A marker within each second keeps the log from becoming empty.
    let bounds = || async { broker.bounds().await.unwrap() };
    support::until("markers follow each other", async || {
        let state = bounds().await;
        assert!(state.head > state.floor);
        state.floor >= Offset::new(4)
    })
    .await;
    assert!(
        bounds().await.head < Offset::new(30),
        "and no more of them than that"
    );
    publish(&node, 3..=3).await;
    assert_eq!(
        number(&next(&mut reader).await),
        3,
        "neither a gap nor a marker"
    );

    // No node follows the log, and all records are removed.
    node.close().await.unwrap();
    let state = format!("STREAM.INFO.{}", broker.stream());
    let is_empty =
        async || support::api(&client, &state, json!({})).await["state"]["messages"] == 0;
    support::until("everything is gone", is_empty).await;
    let again = support::same_log(&server, &broker);
    let again = again.connect().await.unwrap();
    let bounds = again.bounds().await.unwrap();
    assert!(bounds.head > bounds.floor, "the first node stores a marker");
    let node = Topics::with(again).await.unwrap();
    let reader = node.topic("t").unwrap().subscribe().open().unwrap();
    drop(reader);
    publish(&node, 4..=4).await;
}

/// Messages that other programs publish under the same subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_program_reaches_no_reader() {
    let Some((server, broker)) = support::start().await else {
        return;
    };
    let node = Topics::with(broker.clone()).await.unwrap();
    let ids = publish(&node, 1..=1).await;
    let mut reader = open(&node, &ids[0]);
    let client = support::client(&server).await;
    let forged = Bytes::from_static(b"id: x\ndata: 666\n\n");
    let subject = format!("{}.t", broker.stream());
    client.request(subject, forged).await.unwrap();
    publish(&node, 2..=2).await;
    assert_eq!(number(&next(&mut reader).await), 2);
    // Nor does it stop a reader that starts there.
    assert_eq!(
        support::read(&broker, Offset::new(2), 10)
            .await
            .records
            .len(),
        2
    );
}

/// The consumer that is kept for the next page cannot hide that its position is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_was_overtaken_by_trimming_shows_it() {
    let Some((_server, broker)) = support::start_with(|builder| builder.max_records(50)).await
    else {
        return;
    };
    support::fill(&broker, 0..40).await;
    let page = support::read(&broker, Offset::ZERO, 10).await;
    let offset = page.records[9].offset;
    let page = support::read(&broker, offset, 10).await;
    assert_eq!(page.records[0].offset, offset);
    let offset = page.records[9].offset;
    support::fill(&broker, 40..140).await;
    let page = support::read(&broker, offset, 10).await;
    assert_eq!(page.floor, Offset::new(90));
    assert!(
        page.records.iter().all(|record| record.offset > page.floor),
        "{page:?}"
    );
}
