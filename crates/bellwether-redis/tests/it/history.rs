//! Logs that lost something: each reader gets one gap, and then everything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::broker::{Broker, NewRecord};
use bellwether_topics::{CloseReason, GapReason, Offset, Retention, Topics};

use crate::proxy::TcpProxy;
use crate::support::{
    CommandLine, Node, append, connect, gap, read, record, run_command, sleep, take,
};

async fn copy(from: &Path, to: &Path) {
    let _ = tokio::fs::remove_dir_all(to).await;
    tokio::fs::create_dir_all(to).await.unwrap();
    let mut entries = tokio::fs::read_dir(from).await.unwrap();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        let target = to.join(entry.file_name());
        if entry.file_type().await.unwrap().is_dir() {
            Box::pin(copy(&entry.path(), &target)).await;
        } else {
            tokio::fs::copy(entry.path(), target).await.unwrap();
        }
    }
}

/// After the loss: one gap for the reader that was there all the time and for one that comes back, then each new event.
async fn one_gap_and_then_everything(node: &mut Node, last_id: &str, reason: GapReason) {
    let first = node.published_so_far() + 1;
    node.publish(3).await;
    let expected: Vec<_> = (first..first + 3).collect();
    assert_eq!(node.gap().await.reason(), reason);
    let mut back = node.resume(last_id);
    assert_eq!(gap(&mut back).await.reason(), reason);
    assert_eq!(ending(&mut node.reader, &expected).await, expected);
    assert_eq!(ending(&mut back, &expected).await, expected);
    // And there is no further gap.
    node.publish(1).await;
    assert_eq!(node.take(1).await, [first + 3]);
    assert_eq!(take(&mut back, 1).await, [first + 3]);
}

/// What comes up to the last expected number, without what is left from before the loss.
async fn ending(reader: &mut bellwether_topics::Subscription, expected: &[u64]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != expected.last() {
        let number = take(reader, 1).await[0];
        if number >= expected[0] {
            numbers.push(number);
        }
    }
    numbers
}

#[tokio::test]
async fn a_restart_without_persistence_is_one_gap() {
    let started = RedisServer::start(&["--appendonly", "no"]).await;
    let Some(mut server) = or_skip(started) else {
        return;
    };
    let mut node = Node::open(connect(&server).await).await;
    let ids = node.publish(5).await;
    assert_eq!(node.take(5).await, [1, 2, 3, 4, 5]);
    server.kill().await;
    server.start_again().await;
    one_gap_and_then_everything(&mut node, &ids[4], GapReason::Epoch).await;
}

#[tokio::test]
async fn a_flushed_server_is_one_gap() {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    let ids = node.publish(5).await;
    assert_eq!(node.take(5).await, [1, 2, 3, 4, 5]);
    run_command(&server, &["FLUSHALL"]).await;
    one_gap_and_then_everything(&mut node, &ids[4], GapReason::Epoch).await;
}

#[tokio::test]
async fn a_flushed_server_is_noticed_without_a_publish() {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    node.publish(2).await;
    assert_eq!(node.take(2).await, [1, 2]);
    run_command(&server, &["FLUSHALL"]).await;
    assert_eq!(node.gap().await.reason(), GapReason::Epoch);
    assert!(node.topics.is_ready());
}

#[tokio::test]
async fn a_restored_older_copy_of_the_data_is_one_gap() {
    let Some((mut server, mut node)) = Node::start().await else {
        return;
    };
    let ids = node.publish(3).await;
    let older = server.folder().with_file_name("older");
    copy(server.folder(), &older).await;
    let later = node.publish(4).await;
    assert_eq!(node.take(7).await, [1, 2, 3, 4, 5, 6, 7]);
    server.kill().await;
    copy(&older, server.folder()).await;
    server.start_again().await;
    one_gap_and_then_everything(&mut node, &later[3], GapReason::Epoch).await;
    // What the copy has is still good: 1 to 3, then the four numbers after the loss.
    let mut old = node.resume(&ids[0]);
    assert_eq!(gap(&mut old).await.reason(), GapReason::Epoch);
    assert_eq!(take(&mut old, 6).await, [2, 3, 8, 9, 10, 11]);
}

#[tokio::test]
async fn a_lost_end_whose_ids_were_given_again_is_a_gap() {
    let Some(mut server) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let broker = connect(&server).await;
    let kept = append(&broker, &[record(1)]).await[0].cursor;
    let older = server.folder().with_file_name("older");
    copy(server.folder(), &older).await;
    let lost = append(&broker, &[record(2)]).await[0].cursor;
    broker.shutdown().await.unwrap();
    server.kill().await;
    copy(&older, server.folder()).await;
    server.start_again().await;
    // A clock that was set back gives the same id to another record, as the append script would write it.
    let id = lost.offset.to_string();
    let mut cli = CommandLine::new(&server).await;
    let epoch = cli.text(&["HGET", "{bellwether}:about", "epoch"]).await;
    let add = [
        "XADD",
        "{bellwether}:log",
        &id,
        "epoch",
        &epoch,
        "tag",
        "77",
        "topic",
        "t",
    ];
    cli.run(&[&add[..], &["event", "data: 9\n\n"]].concat())
        .await;
    cli.run(&["HSET", "{bellwether}:about", "last", &id]).await;

    let topics = Topics::with(connect(&server).await).await.unwrap();
    let topic = topics.topic("t").unwrap();
    let mut reader = topic
        .subscribe()
        .after(lost.to_string().as_str())
        .open()
        .unwrap();
    assert_eq!(gap(&mut reader).await.reason(), GapReason::Regressed);
    let mut reader = topic
        .subscribe()
        .after(kept.to_string().as_str())
        .open()
        .unwrap();
    assert_eq!(take(&mut reader, 1).await, [9]);
}

#[tokio::test]
async fn a_failover_that_lost_confirmed_records_is_one_gap() {
    let Some(mut primary) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let Some(replica) = or_skip(RedisServer::start(&[]).await) else {
        return;
    };
    let proxy = TcpProxy::to(primary.port()).await;
    let mut node = Node::open(RedisBroker::connect(proxy.url()).await.unwrap()).await;
    let kept = node.publish(3).await;
    let port = primary.port().to_string();
    run_command(&replica, &["REPLICAOF", "127.0.0.1", &port]).await;
    let mut cli = CommandLine::new(&replica).await;
    let synced = async {
        while cli
            .text(&["INFO", "replication"])
            .await
            .contains("link_status:down")
        {}
    };
    within(TEST_TIMEOUT, synced)
        .await
        .expect("the replica has everything");
    cli.run(&["REPLICAOF", "NO", "ONE"]).await;
    let lost = node.publish(2).await;
    assert_eq!(node.take(5).await, [1, 2, 3, 4, 5]);

    proxy.redirect_to(replica.port());
    primary.kill().await;
    one_gap_and_then_everything(&mut node, &lost[1], GapReason::Epoch).await;
    let mut back = node.resume(&kept[2]);
    assert_eq!(gap(&mut back).await.reason(), GapReason::Epoch);
    assert_eq!(
        take(&mut back, 4).await,
        [6, 7, 8, 9],
        "nothing that it had comes again"
    );
}

/// Others append after the loss and before the one node that can know of it calls: the end of the log then hides the
/// loss.
#[tokio::test]
async fn a_lost_record_is_a_gap_also_where_others_have_appended_since() {
    let started = RedisServer::start(&["--appendonly", "no"]).await;
    let Some(mut server) = or_skip(started) else {
        return;
    };
    let broker = connect(&server).await;
    let [first] = append(&broker, &[record(1)]).await[..] else {
        panic!("one record, one answer");
    };
    run_command(&server, &["SAVE"]).await;
    append(&broker, &[record(2)]).await;
    server.kill().await;
    server.start_again().await;

    let other = connect(&server).await;
    let [third] = append(&other, &[record(3)]).await[..] else {
        panic!("one record, one answer");
    };
    assert_eq!(
        third.cursor.epoch, first.cursor.epoch,
        "this node cannot know"
    );
    // The connection of before is broken, and the first append finds that out.
    assert!(broker.append(&[record(4)]).await.is_err());
    let [fourth] = append(&broker, &[record(5)]).await[..] else {
        panic!("one record, one answer");
    };
    assert_ne!(
        fourth.cursor.epoch, first.cursor.epoch,
        "the second is gone"
    );
    let page = read(&other, fourth.cursor.offset).await;
    assert_eq!(page.epoch, fourth.cursor.epoch, "also for the others");
}

/// Each command is run on a log of five records by hand.
async fn is_a_new_epoch(commands: &[&[&str]]) {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    let ids = node.publish(5).await;
    assert_eq!(node.take(5).await, [1, 2, 3, 4, 5]);
    let ids: Vec<_> = ids.iter().map(|id| id.split('.').nth(2).unwrap()).collect();
    let mut cli = CommandLine::new(&server).await;
    for words in commands {
        let words = words.iter().map(|word| match *word {
            "third" => ids[2],
            "newest" => ids[4],
            word => word,
        });
        cli.run(&words.collect::<Vec<_>>()).await;
    }
    assert_eq!(node.gap().await.reason(), GapReason::Epoch);
    let first = node.published_so_far() + 1;
    node.publish(2).await;
    assert_eq!(
        ending(&mut node.reader, &[first, first + 1]).await,
        [first, first + 1]
    );
}

const LOG: &str = "{bellwether}:log";

#[tokio::test]
async fn a_deleted_stream_is_a_new_epoch() {
    is_a_new_epoch(&[&["DEL", LOG]]).await;
}

#[tokio::test]
async fn a_log_whose_description_is_gone_takes_a_new_epoch() {
    is_a_new_epoch(&[&["DEL", "{bellwether}:about"]]).await;
}

#[tokio::test]
async fn an_emptied_stream_is_a_new_epoch() {
    is_a_new_epoch(&[&["XTRIM", LOG, "MAXLEN", "0"]]).await;
}

#[tokio::test]
async fn a_record_deleted_in_the_middle_is_a_new_epoch() {
    is_a_new_epoch(&[&["XDEL", LOG, "third"]]).await;
}

#[tokio::test]
async fn a_deleted_newest_record_is_a_new_epoch() {
    is_a_new_epoch(&[&["XDEL", LOG, "newest"]]).await;
}

#[tokio::test]
async fn another_stream_in_the_place_of_the_log_is_a_new_epoch() {
    let other = [
        "XADD",
        "other",
        "9999999999999-0",
        "epoch",
        "0",
        "tag",
        "1",
        "topic",
        "t",
    ];
    let other = [&other[..], &["event", "data: 0\n\n"]].concat();
    is_a_new_epoch(&[&other, &["RENAME", "other", LOG]]).await;
}

#[tokio::test]
async fn an_older_copy_of_the_stream_alone_is_a_new_epoch() {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    node.publish(2).await;
    let mut cli = CommandLine::new(&server).await;
    cli.run(&["COPY", LOG, "older"]).await;
    node.publish(3).await;
    assert_eq!(node.take(5).await, [1, 2, 3, 4, 5]);
    cli.run(&["RENAME", "older", LOG]).await;
    assert_eq!(node.gap().await.reason(), GapReason::Epoch);
    assert_eq!(
        node.take(2).await,
        [1, 2],
        "what the copy has is read again"
    );
}

#[tokio::test]
async fn trimming_by_hand_at_the_front_is_no_new_epoch() {
    let Some((server, mut node)) = Node::start().await else {
        return;
    };
    let ids = node.publish(10).await;
    let oldest = ids[0].split('.').nth(2).unwrap();
    run_command(&server, &["XDEL", LOG, oldest]).await;
    run_command(&server, &["XTRIM", LOG, "MAXLEN", "6"]).await;
    node.publish(1).await;
    assert_eq!(node.take(11).await, (1..=11).collect::<Vec<_>>());
}

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
