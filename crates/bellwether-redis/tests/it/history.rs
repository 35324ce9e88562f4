//! Logs that lost something: each reader gets one gap, and then everything.

use std::path::Path;

use bellwether_redis::RedisBroker;
use bellwether_testkit::{RedisServer, TEST_TIMEOUT, or_skip, within};
use bellwether_topics::broker::Broker;
use bellwether_topics::{GapReason, Topics};

use crate::proxy::TcpProxy;
use crate::support::{
    CommandLine, Node, append, connect, ending, gap, read, record, run_command, take,
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
