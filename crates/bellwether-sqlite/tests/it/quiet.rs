//! What does not concern a reader does not reach it: other topics that are trimmed, other programs' tables.

use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::broker::Broker;
use bellwether_topics::{GapReason, Offset, ServerSentEvent, Subscription, Topics};
use rusqlite::Connection;

use crate::folder::Folder;
use crate::records::{append, fill, read, record};

async fn nothing_comes(reader: &mut Subscription) {
    let next = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test]
async fn a_quiet_topic_beside_a_loud_one_has_no_gap_that_is_not_its_own() {
    for quiet_events in [1, 2] {
        let folder = Folder::new();
        let builder = || SqliteBroker::builder(folder.log()).max_records(50);
        let broker = builder().open().unwrap();
        let topics = Topics::with(broker.clone()).await.unwrap();
        let quiet = topics.topic("quiet").unwrap();
        let event = ServerSentEvent::text("x");
        let first = quiet.publish(&event).unwrap().await.unwrap().to_string();
        for _ in 1..quiet_events {
            quiet.publish(&event).unwrap().await.unwrap();
        }
        for batch in (0..2000).collect::<Vec<_>>().chunks(100) {
            let records: Vec<_> = batch.iter().map(|n| record("loud", *n)).collect();
            append(&broker, &records).await.unwrap();
        }
        broker.trim_to(50).await.unwrap();
        topics.close().await.unwrap();

        let topics = Topics::with(builder().open().unwrap()).await.unwrap();
        let quiet = topics.topic("quiet").unwrap();
        let mut reader = quiet.subscribe().after(first.as_str()).open().unwrap();
        if quiet_events == 2 {
            let delivery = reader.next().await.unwrap();
            assert_eq!(delivery.gap().unwrap().reason(), GapReason::Trimmed);
        }
        nothing_comes(&mut reader).await;
        quiet.publish(&event).unwrap().await.unwrap();
        assert!(reader.next().await.unwrap().frame().is_some());
        topics.close().await.unwrap();
    }
}

#[tokio::test]
async fn another_programs_own_tables_and_its_checkpoints_change_nothing() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let before = fill(&broker, 0..20).await;
    let topics = Topics::with(broker.clone()).await.unwrap();
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().open().unwrap();
    nothing_comes(&mut reader).await;
    for (number, sql) in (20..).zip([
        "CREATE TABLE bookkeeping (a)",
        "INSERT INTO bookkeeping VALUES (1)",
        "PRAGMA wal_checkpoint(FULL)",
        "CREATE INDEX by_a ON bookkeeping (a)",
        "PRAGMA user_version = 2",
        "UPDATE bookkeeping SET a = a + 1",
        "DROP TABLE bookkeeping",
    ]) {
        Connection::open(folder.log())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let after = fill(&broker, number..number + 1).await;
        assert_eq!(after[0].cursor.epoch, before[0].cursor.epoch, "{sql}");
        assert!(reader.next().await.unwrap().frame().is_some(), "{sql}");
    }
    topics.close().await.unwrap();
}

#[tokio::test]
async fn any_write_of_another_program_to_the_logs_own_tables_ends_the_epoch() {
    for sql in [
        "UPDATE records SET event = CAST('data: 7' AS BLOB) WHERE offset = 5",
        "DELETE FROM records WHERE offset = 5",
        "DELETE FROM records WHERE offset = 1",
        "UPDATE log SET head = 30",
        "INSERT INTO records SELECT 21, topic, tag, at, null, checksum, event, null, null FROM records LIMIT 1",
        "UPDATE topics SET offset = 3",
        "INSERT INTO keys VALUES ('t', 'k', 3, 4, 5)",
        "DROP TRIGGER foreign_delete_records; DELETE FROM records WHERE offset = 5",
    ] {
        let folder = Folder::new();
        let broker = SqliteBroker::open(folder.log()).unwrap();
        let before = fill(&broker, 0..20).await;
        Connection::open(folder.log())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let after = fill(&broker, 20..21).await;
        assert_ne!(after[0].cursor.epoch, before[0].cursor.epoch, "{sql}");
        let page = read(&broker, Offset::ZERO, None).await.unwrap();
        assert!(!page.records.is_empty());
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn after_a_new_epoch_no_reader_gets_what_it_has_had() {
    let folder = Folder::new();
    let topics = Topics::with(SqliteBroker::open(folder.log()).unwrap())
        .await
        .unwrap();
    let topic = topics.topic("t").unwrap();
    let publish = async |number: u64| {
        let event = ServerSentEvent::text(number.to_string());
        topic.publish(&event).unwrap().await.unwrap().to_string()
    };
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(publish(number).await);
    }
    let mut live = topic.subscribe().after(ids[3].as_str()).open().unwrap();
    assert!(live.next().await.unwrap().frame().is_some());

    let hand = Connection::open(folder.log()).unwrap();
    hand.execute_batch("DELETE FROM records WHERE offset = 1")
        .unwrap();
    let sixth = publish(6).await;
    let mut away = topic.subscribe().after(ids[2].as_str()).open().unwrap();
    for (reader, expected) in [(&mut live, 1), (&mut away, 3)] {
        let gap = reader.next().await.unwrap();
        assert_eq!(gap.gap().unwrap().reason(), GapReason::Epoch);
        let mut got = Vec::new();
        while got.last().is_none_or(|id| *id != sixth) {
            let next = reader.next().await.unwrap();
            got.push(next.frame().unwrap().id().as_str().to_owned());
        }
        assert_eq!(got.len(), expected, "{got:?}");
    }
    topics.close().await.unwrap();
}

/// The id of the first gap is what the reader comes back with after the second.
#[tokio::test]
async fn after_two_epochs_that_ended_one_after_the_other_no_reader_gets_what_it_has_had() {
    let folder = Folder::new();
    let topics = Topics::with(SqliteBroker::open(folder.log()).unwrap())
        .await
        .unwrap();
    let topic = topics.topic("t").unwrap();
    let other = topics.topic("other").unwrap();
    let event = ServerSentEvent::text("x");
    let mut id = String::new();
    for _ in 0..30 {
        id = topic.publish(&event).unwrap().await.unwrap().to_string();
    }
    for round in 1..=2 {
        let hand = Connection::open(folder.log()).unwrap();
        hand.execute_batch("UPDATE log SET floor = 0").unwrap();
        other.publish(&event).unwrap().await.unwrap();
        let mut back = topic.subscribe().after(id.as_str()).open().unwrap();
        let delivery = back.next().await.unwrap();
        let gap = delivery.gap().expect("a gap");
        assert_eq!(gap.reason(), GapReason::Epoch, "{round}");
        id = gap.cursor().to_string();
        nothing_comes(&mut back).await;
    }
    topics.close().await.unwrap();
}
