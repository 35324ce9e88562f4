//! Logs that are trimmed, by number and by age, and the file that the server rewrites.

use std::sync::Arc;
use std::time::Duration;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::broker::{Broker, NewRecord};
use bellwether_topics::{CloseReason, GapReason, Offset, Retention, Topics};

use crate::support::{CommandLine, append, gap, read, record, run_command, sleep, take};

#[tokio::test]
async fn trimming_that_overtakes_a_slow_reader_ends_it_and_is_a_gap_when_it_comes_back() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let builder = RedisBroker::builder(server.url());
    let broker = builder.max_records(20).exact_trimming().connect().await;
    let retention = Retention::new().max_events(4);
    let builder = Topics::builder().retention(retention);
    let topics = builder.open(broker.unwrap()).await.unwrap();
    let topic = topics.topic("t").unwrap();
    let publish = async |numbers: std::ops::RangeInclusive<u64>| {
        let events = numbers.map(|n| bellwether_topics::ServerSentEvent::text(n.to_string()));
        for published in events.map(|event| topic.publish(&event).unwrap()) {
            published.await.unwrap();
        }
    };
    publish(1..=10).await;
    let mut reader = topic.subscribe().from_start().open().unwrap();
    assert_eq!(take(&mut reader, 2).await, [1, 2]);
    publish(11..=100).await;
    let mut last = None;
    let mut before_end = 2;
    while let Some(delivery) = reader.next().await {
        last = Some(delivery.frame().expect("no gap").id().to_string());
        before_end += 1;
    }
    assert_eq!(reader.close_reason(), Some(CloseReason::TooSlow));
    assert!(
        before_end <= 10,
        "only what it had at hand before: {before_end}"
    );
    // When it comes back it gets a gap, and then the rest.
    let last = last.unwrap();
    let mut reader = topic.subscribe().after(last.as_str()).open().unwrap();
    assert_eq!(gap(&mut reader).await.reason(), GapReason::Trimmed);
    assert_eq!(take(&mut reader, 20).await, (81..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_tail_that_was_overtaken_by_trimming_fails() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let builder = RedisBroker::builder(server.url());
    let broker = builder
        .max_records(10)
        .exact_trimming()
        .connect()
        .await
        .unwrap();
    let (mut empty, first) = (
        broker.tail(Offset::ZERO).await.unwrap(),
        append(&broker, &[record(0)]).await,
    );
    let mut behind = broker.tail(first[0].cursor.offset).await.unwrap();
    assert_eq!(behind.next().await.unwrap().records.len(), 1);
    assert_eq!(
        empty.next().await.unwrap().records.len(),
        1,
        "from the beginning"
    );
    append(&broker, &(1..50).map(record).collect::<Vec<_>>()).await;
    assert!(behind.next().await.is_err());
    assert!(empty.next().await.is_err());

    run_command(&server, &["FLUSHALL"]).await;
    let mut empty = broker.tail(Offset::ZERO).await.unwrap();
    assert_eq!(empty.next().await.unwrap().records.len(), 0);
    append(&broker, &(1..50).map(record).collect::<Vec<_>>()).await;
    assert!(
        empty.next().await.is_err(),
        "what it never saw is missed too"
    );
}

#[tokio::test]
async fn a_repeated_publish_does_not_age_the_newest_record_out() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let builder = RedisBroker::builder(server.url());
    let builder = builder.max_age(Duration::from_millis(1)).exact_trimming();
    let broker = builder.connect().await.unwrap();
    let keyed = NewRecord {
        idempotency_key: Some(Arc::from("k")),
        ..record(1)
    };
    let stored = append(&broker, std::slice::from_ref(&keyed)).await[0];
    sleep(Duration::from_millis(5)).await;
    assert!(append(&broker, &[keyed]).await[0].is_duplicate);
    let page = read(&broker, stored.cursor.offset).await;
    assert_eq!(page.records.len(), 1);
}

/// The server has one form of the file that begins with a snapshot, and one that is commands throughout.
#[tokio::test]
async fn a_rewritten_file_is_the_same_log() {
    for preamble in ["yes", "no"] {
        let arguments = ["--aof-use-rdb-preamble", preamble];
        let Some(mut server) = or_skip(RedisServer::start(&arguments).await) else {
            return;
        };
        let url = server.url();
        let builder = || RedisBroker::builder(&url);
        let empty = builder().name("empty").connect().await.unwrap();
        let before = empty.bounds().await.unwrap();
        let full = builder().max_records(5).exact_trimming().connect().await;
        let full = full.unwrap();
        let stored = append(&full, &(0..20).map(record).collect::<Vec<_>>()).await;
        let page = read(&full, Offset::ZERO).await;
        let mut cli = CommandLine::new(&server).await;
        cli.run(&["BGREWRITEAOF"]).await;
        let done = async {
            while !cli
                .text(&["INFO", "persistence"])
                .await
                .contains("aof_rewrites:1")
            {}
            while !cli
                .text(&["INFO", "persistence"])
                .await
                .contains("aof_rewrite_in_progress:0")
            {}
        };
        within(TEST_TIMEOUT, done)
            .await
            .expect("the file is rewritten");
        server.kill().await;
        server.start_again().await;
        let full = builder().connect().await.unwrap();
        let empty = builder().name("empty").connect().await.unwrap();
        assert_eq!(read(&full, Offset::ZERO).await, page);
        assert_eq!(
            append(&full, &[record(20)]).await[0].cursor.epoch,
            stored[0].cursor.epoch
        );
        assert_eq!(empty.bounds().await.unwrap(), before);
        append(&empty, &[record(1)]).await;
        let after = empty.bounds().await.unwrap();
        assert_eq!((after.epoch, after.floor), (before.epoch, Offset::ZERO));
    }
}

#[tokio::test]
async fn records_are_trimmed_by_age_and_the_newest_stays() {
    let Some(server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let builder = RedisBroker::builder(server.url());
    let builder = builder.max_age(Duration::from_millis(1)).exact_trimming();
    let broker = builder.connect().await.unwrap();
    for number in 0..20 {
        append(&broker, &[record(number)]).await;
        sleep(Duration::from_millis(3)).await;
    }
    let bounds = broker.bounds().await.unwrap();
    let page = read(&broker, Offset::ZERO).await;
    assert!(page.records.len() <= 2, "{} records", page.records.len());
    assert_eq!(
        page.records.last().map(|record| record.offset),
        Some(bounds.head)
    );
    assert!(page.floor > Offset::ZERO && page.floor < bounds.head);
}
