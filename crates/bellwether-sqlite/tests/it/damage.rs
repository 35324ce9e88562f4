//! Files that lost or changed something: an error or a gap for the readers of it, and never a silent hole.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::broker::{Broker, Page};
use bellwether_topics::{GapReason, Offset, ServerSentEvent, Subscription, Topics};
use rusqlite::Connection;

use crate::folder::Folder;
use crate::records::{all, append, fill, read, record, three_and_a_tail};

const PAGE: u64 = 4096;

/// A log of this number of records, closed.
async fn log(folder: &Folder, records: u64) -> bellwether_topics::Epoch {
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let stored = fill(&broker, 0..records).await;
    broker.shutdown().await.unwrap();
    stored[0].cursor.epoch
}

/// A node on the log, which holds nothing in memory.
async fn node(folder: &Folder) -> Topics {
    let broker = SqliteBroker::open(folder.log()).unwrap();
    Topics::with(broker).await.unwrap()
}

fn edit(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Overwrites the pages that have these bytes, or the bytes alone.
fn overwrite(path: &Path, at: &[u8], whole_page: bool) {
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    // Also in what the file no longer uses.
    let windows = bytes.windows(at.len()).enumerate();
    let places: Vec<_> = windows.filter(|(_, window)| *window == at).collect();
    assert!(!places.is_empty());
    for (place, _) in places {
        let place = place as u64;
        let (place, new) = match whole_page {
            true => (place / PAGE * PAGE, vec![0xa5; PAGE as usize]),
            false => (place, at.iter().map(|byte| byte ^ 1).collect()),
        };
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(&new).unwrap();
    }
}

#[tokio::test]
async fn a_page_that_is_not_valid_is_found_at_open() {
    let folder = Folder::new();
    log(&folder, 3000).await;
    overwrite(&folder.log(), b"data: 1500\n", true);
    let error = SqliteBroker::open(folder.log()).unwrap_err();
    println!("{error}");
    assert!(error.is_damaged());
    assert!(error.to_string().contains("restore a copy"));
}

#[tokio::test]
async fn a_page_that_open_had_no_time_for_is_found_when_it_is_read_and_not_skipped() {
    let folder = Folder::new();
    log(&folder, 3000).await;
    overwrite(&folder.log(), b"data: 1500\n", true);
    let builder = SqliteBroker::builder(folder.log()).open_check(Duration::ZERO);
    let broker = builder.open().unwrap();
    let error = read(&broker, Offset::ZERO, None).await.unwrap_err();
    println!("{error}");
    assert!(!error.is_refused() && error.to_string().contains("damaged"));
    // What lies elsewhere is still there, and so is the end.
    let page = read(&broker, Offset::new(2900), None).await.unwrap();
    assert_eq!(page.records.len(), 101);
    let stored = fill(&broker, 3000..3001).await;
    assert_eq!(stored[0].cursor.offset, Offset::new(3001));
}

#[tokio::test]
async fn a_byte_that_changed_is_found_when_it_is_read() {
    let folder = Folder::new();
    log(&folder, 100).await;
    overwrite(&folder.log(), b"data: 57\n", false);
    let broker = SqliteBroker::open(folder.log()).unwrap();
    for topics in [None, Some(["t".into()])] {
        let topics = topics.as_ref().map(|topics| &topics[..]);
        let page = read(&broker, Offset::ZERO, topics).await.unwrap();
        assert_eq!((damaged(&page), page.records.len()), (vec![58], 100));
    }
}

#[tokio::test]
async fn a_missing_record_is_a_damaged_one_whether_open_had_time_to_check_or_not() {
    for patience in [Duration::ZERO, Duration::from_secs(1)] {
        let folder = Folder::new();
        let epoch = log(&folder, 100).await;
        edit(&folder.log(), "DELETE FROM records WHERE offset = 50");
        let builder = SqliteBroker::builder(folder.log()).open_check(patience);
        let broker = builder.open().unwrap();
        for topics in [None, Some(["t".into()])] {
            let topics = topics.as_ref().map(|topics| &topics[..]);
            let page = read(&broker, Offset::ZERO, topics).await.unwrap();
            assert_eq!((page.epoch, page.records.len()), (epoch, 100));
            assert_eq!(damaged(&page), [50]);
        }
    }
}

fn damaged(page: &Page) -> Vec<u64> {
    let damaged = page.records.iter().filter(|record| record.is_damaged);
    damaged.map(|record| record.offset.low()).collect()
}

#[tokio::test]
async fn a_newest_record_whose_number_changed_costs_itself_alone() {
    let folder = Folder::new();
    let epoch = log(&folder, 100).await;
    // As a flipped bit does it: the checksum is of the number, too.
    edit(
        &folder.log(),
        "UPDATE records SET offset = 101 WHERE offset = 100",
    );
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let stored = fill(&broker, 100..101).await;
    assert_eq!(stored[0].cursor.offset, Offset::new(101));
    let page = read(&broker, Offset::ZERO, Some(&["t".into()]))
        .await
        .unwrap();
    assert_eq!((page.epoch, damaged(&page)), (epoch, vec![100]));
    assert_eq!(page.records.len(), 101);
}

#[tokio::test]
async fn a_row_of_the_log_that_is_not_valid_is_damage() {
    for sql in [
        "DELETE FROM log",
        "UPDATE log SET floor = head + 1",
        "UPDATE log SET head = -1",
        "DROP TABLE records",
    ] {
        let folder = Folder::new();
        log(&folder, 10).await;
        edit(&folder.log(), sql);
        let error = SqliteBroker::open(folder.log()).unwrap_err();
        println!("{error}");
        assert!(error.is_damaged() || error.is_unusable(), "{sql}: {error}");
    }
}

#[tokio::test]
async fn records_removed_by_hand_lead_to_a_new_epoch_with_what_is_whole() {
    for (sql, left) in [
        ("DELETE FROM records WHERE offset > 90", 0..90),
        ("DELETE FROM records WHERE offset <= 20", 20..100),
        ("DELETE FROM records", 0..0),
    ] {
        let folder = Folder::new();
        let epoch = log(&folder, 100).await;
        edit(&folder.log(), sql);
        let broker = SqliteBroker::open(folder.log()).unwrap();
        let bounds = broker.bounds().await.unwrap();
        assert_ne!(bounds.epoch, epoch, "{sql}");
        assert_eq!(
            all(&broker).await,
            left.clone().collect::<Vec<_>>(),
            "{sql}"
        );
        let stored = fill(&broker, 100..101).await;
        assert_eq!(stored[0].cursor.offset.low(), bounds.head.low() + 1);
        assert_eq!(all(&broker).await.len(), left.count() + 1);
    }
}

#[tokio::test]
async fn another_program_that_writes_to_the_log_ends_the_epoch() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let before = fill(&broker, 0..20).await;
    edit(&folder.log(), "DELETE FROM records WHERE offset = 10");
    let after = fill(&broker, 20..21).await;
    assert_ne!(after[0].cursor.epoch, before[0].cursor.epoch);
    let page = read(&broker, Offset::ZERO, None).await.unwrap();
    assert_eq!((damaged(&page), page.records.len()), (vec![10], 21));
}

async fn publish(topics: &Topics, numbers: std::ops::Range<u64>) -> Vec<String> {
    let topic = topics.topic("t").unwrap();
    let mut ids = Vec::new();
    for number in numbers {
        let event = ServerSentEvent::text(number.to_string());
        let id = topic.publish(&event).unwrap().await.unwrap();
        ids.push(id.to_string());
    }
    ids
}

async fn resume(topics: &Topics, id: &str) -> Subscription {
    let topic = topics.topic("t").unwrap();
    topic.subscribe().after(id).open().unwrap()
}

async fn texts(reader: &mut Subscription, count: usize) -> Vec<u64> {
    let mut got = Vec::new();
    for _ in 0..count {
        let frame = reader.next().await.unwrap().into_frame().unwrap();
        let bytes = frame.bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let text = text.split_once("data: ").unwrap().1.lines().next();
        got.push(text.unwrap().parse().unwrap());
    }
    got
}

#[tokio::test]
async fn an_older_copy_of_the_file_gives_readers_of_what_it_lacks_one_gap_each() {
    let folder = Folder::new();
    let topics = node(&folder).await;
    let ids = publish(&topics, 0..30).await;
    topics.close().await.unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(folder.log(), &copy).unwrap();
    let topics = node(&folder).await;
    let lost = publish(&topics, 30..40).await;
    topics.close().await.unwrap();

    std::fs::copy(&copy, folder.log()).unwrap();
    let topics = node(&folder).await;
    let again = publish(&topics, 100..120).await;
    assert_eq!(
        again[4].split('.').nth(2),
        lost[4].split('.').nth(2),
        "the offsets are given out again"
    );
    // Who has seen nothing that was lost misses nothing.
    let mut reader = resume(&topics, &ids[27]).await;
    assert_eq!(texts(&mut reader, 4).await, [28, 29, 100, 101]);
    // Who has, is told so, once.
    let mut reader = resume(&topics, &lost[4]).await;
    let delivery = reader.next().await.unwrap();
    let gap = delivery.gap().unwrap();
    assert_eq!(gap.reason(), GapReason::Regressed);
    let after_gap = gap.cursor().to_string();
    assert_eq!(
        texts(&mut reader, 50).await.len(),
        50,
        "then all that is left"
    );
    let mut reader = resume(&topics, &after_gap).await;
    assert_eq!(texts(&mut reader, 2).await, [0, 1], "and no second gap");
    topics.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_retention_overtook_gets_a_gap_and_then_the_rest() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let topics = Topics::with(broker.clone()).await.unwrap();
    let ids = publish(&topics, 0..60).await;
    broker.trim_to(20).await.unwrap();
    let mut reader = resume(&topics, &ids[10]).await;
    // Another node.
    topics.close().await.unwrap();
    let topics = node(&folder).await;
    drop(reader);
    reader = resume(&topics, &ids[10]).await;
    let delivery = reader.next().await.unwrap();
    assert_eq!(delivery.gap().unwrap().reason(), GapReason::Trimmed);
    assert_eq!(texts(&mut reader, 20).await, (40..60).collect::<Vec<_>>());
    let mut reader = resume(&topics, &ids[50]).await;
    assert_eq!(texts(&mut reader, 9).await, (51..60).collect::<Vec<_>>());
    topics.close().await.unwrap();
}

#[tokio::test]
async fn a_tail_that_retention_overtook_fails_instead_of_leaving_a_hole() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let mut tail = three_and_a_tail(&broker).await;
    // More than stays in memory.
    fill(&broker, 3..5000).await;
    broker.trim_to(10).await.unwrap();
    let error = tail.next().await.unwrap_err();
    assert!(error.to_string().contains("removed before"), "{error}");
}

/// Changes rows as damage does it: no trigger counts it.
fn damage(path: &Path, sql: &str) {
    let guarded = format!("UPDATE guard SET is_ours = 1; {sql}; UPDATE guard SET is_ours = 0");
    edit(path, &guarded);
}

#[tokio::test]
async fn a_damaged_record_is_not_believed_about_what_was_removed_before_it() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let topics = Topics::with(broker.clone()).await.unwrap();
    publish(&topics, 0..60).await;
    broker.trim_to(20).await.unwrap();
    topics.close().await.unwrap();
    // It would say that nothing was removed.
    damage(
        &folder.log(),
        "UPDATE records SET previous = 0, previous_tag = NULL WHERE offset = 41",
    );
    let topics = node(&folder).await;
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().from_start().open().unwrap();
    let delivery = reader.next().await.unwrap();
    assert_eq!(delivery.gap().unwrap().reason(), GapReason::Trimmed);
    topics.close().await.unwrap();
}

#[tokio::test]
async fn damage_of_another_topic_is_no_gap_for_a_reader_whose_index_is_wrong() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    for number in 0..40 {
        let topic = if number % 2 == 0 { "even" } else { "odd" };
        append(&broker, &[record(topic, number)]).await.unwrap();
    }
    broker.shutdown().await.unwrap();
    // Of `odd`: its content, its topic, the whole row. Of `even`: an entry of the index.
    damage(
        &folder.log(),
        "UPDATE records SET event = x'00' WHERE offset = 10; UPDATE records SET topic = 'even' WHERE offset = 20;
         DELETE FROM records WHERE offset = 30; UPDATE records SET topic = 'gone' WHERE offset = 15",
    );
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let of = async |topic: &str| {
        let page = read(&broker, Offset::ZERO, Some(&[topic.into()]))
            .await
            .unwrap();
        let wanted = page.records.iter().filter(|record| &*record.topic == topic);
        let wanted: Vec<_> = wanted.collect();
        let is_damaged = |record: &&&bellwether_topics::broker::Record| record.is_damaged;
        let damaged = wanted.iter().filter(is_damaged).map(|r| r.offset.low());
        (wanted.len(), damaged.collect::<Vec<_>>())
    };
    assert_eq!(of("odd").await, (20, vec![10, 20, 30]));
    assert_eq!(of("even").await, (20, vec![15]));
}
