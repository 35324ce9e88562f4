//! Logs that somebody changed by hand: what ends the epoch, and what does not.

use bellwether_topics::GapReason;

use crate::support::{CommandLine, Node, ending, run_command};

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
