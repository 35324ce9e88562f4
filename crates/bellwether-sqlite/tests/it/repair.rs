//! Damaged logs that are checked and mended: what can be read stays, readers are told of exactly the rest.

use bellwether_sqlite::{Problem, SqliteBroker, check, repair};
use bellwether_topics::broker::Broker;
use bellwether_topics::{Delivery, GapReason, Subscription, Topics};

use crate::damage::{edit, log, overwrite};
use crate::folder::Folder;

const RECORDS: u64 = 100;

/// What a reader of the whole log gets: numbers, and the reasons of gaps.
async fn read_all(folder: &Folder) -> Vec<Result<u64, GapReason>> {
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let topics = Topics::with(broker).await.unwrap();
    let topic = topics.topic("t").unwrap();
    let mut reader: Subscription = topic.subscribe().from_start().open().unwrap();
    let last = bellwether_topics::ServerSentEvent::text("last");
    topic.publish(&last).unwrap().await.unwrap();
    let mut got = Vec::new();
    loop {
        match reader.next().await.unwrap() {
            Delivery::Event(frame) => {
                let text = String::from_utf8(frame.as_bytes().to_vec()).unwrap();
                let data = text.lines().next().unwrap().strip_prefix("data: ").unwrap();
                match data.parse() {
                    Ok(number) => got.push(Ok(number)),
                    Err(_) => break,
                }
            }
            Delivery::Gap(gap) => got.push(Err(gap.reason())),
            _ => {}
        }
    }
    topics.close().await.unwrap();
    got
}

/// All numbers but one, in whose place there is a gap.
fn all_but(lost: u64) -> Vec<Result<u64, GapReason>> {
    let numbers = 0..RECORDS;
    let items = numbers.map(|number| match number == lost {
        true => Err(GapReason::Damaged),
        false => Ok(number),
    });
    items.collect()
}

#[tokio::test]
async fn a_sound_log_is_left_alone() {
    let folder = Folder::new();
    log(&folder, RECORDS).await;
    let before = std::fs::read(folder.log()).unwrap();
    let report = check(folder.log(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.topics), (RECORDS, 1));
    let repaired = repair(folder.log(), &mut |_, _| {}).unwrap();
    assert!(repaired.copy.is_none());
    assert_eq!(std::fs::read(folder.log()).unwrap(), before);
}

#[tokio::test]
async fn each_damage_is_found_and_mended_and_readers_are_told_of_exactly_what_is_lost() {
    let letter = |number: u64| {
        let at = format!("data: {number}\n").into_bytes();
        move |folder: &Folder| overwrite(&folder.log(), &at, false)
    };
    let sql = |sql: &'static str| move |folder: &Folder| edit(&folder.log(), sql);
    type Damage = Box<dyn Fn(&Folder)>;
    let cases: Vec<(&str, Damage, Option<u64>)> = vec![
        ("the middle", Box::new(letter(57)), Some(57)),
        ("the newest", Box::new(letter(99)), Some(99)),
        ("the oldest", Box::new(letter(0)), Some(0)),
        (
            "a missing one",
            Box::new(sql("DELETE FROM records WHERE offset = 50")),
            Some(49),
        ),
        (
            "the newest is missing",
            Box::new(sql("DELETE FROM records WHERE offset = 100")),
            Some(99),
        ),
        (
            "a topic's name",
            Box::new(sql("UPDATE records SET topic = 'x' WHERE offset = 50")),
            Some(49),
        ),
        (
            "the table of topics",
            Box::new(sql("UPDATE topics SET offset = 7")),
            None,
        ),
    ];
    for (name, damage, lost) in cases {
        let folder = Folder::new();
        let epoch = log(&folder, RECORDS).await;
        damage(&folder);
        let damaged = std::fs::read(folder.log()).unwrap();
        let report = check(folder.log(), &mut |_, _| {}).unwrap();
        assert!(!report.is_sound(), "{name}");

        let repaired = repair(folder.log(), &mut |_, _| {}).unwrap();
        assert_eq!(repaired.lost, u64::from(lost.is_some()), "{name}");
        assert!(!repaired.is_new_epoch, "{name}");
        assert_eq!(
            std::fs::read(repaired.copy.unwrap()).unwrap(),
            damaged,
            "{name}"
        );
        let again = check(folder.log(), &mut |_, _| {}).unwrap();
        assert!(again.is_sound(), "{name}: {:?}", again.problems);
        assert_eq!(again.lost, repaired.lost, "{name}");
        assert!(
            repair(folder.log(), &mut |_, _| {}).unwrap().copy.is_none(),
            "{name}"
        );

        let expected = all_but(lost.unwrap_or(RECORDS));
        assert_eq!(read_all(&folder).await, expected, "{name}");
        let broker = SqliteBroker::open(folder.log()).unwrap();
        let bounds = Broker::bounds(&broker).await.unwrap();
        assert_eq!(bounds.epoch, epoch, "{name}");
    }
}

#[tokio::test]
async fn a_page_that_makes_no_sense_costs_the_records_on_it_and_no_others() {
    let folder = Folder::new();
    log(&folder, 3000).await;
    overwrite(&folder.log(), b"data: 1500\n", true);
    assert!(SqliteBroker::open(folder.log()).is_err());
    let repaired = repair(folder.log(), &mut |_, _| {}).unwrap();
    assert!(
        repaired.lost > 0 && repaired.lost < 200,
        "{}",
        repaired.lost
    );
    let got = read_all(&folder).await;
    let numbers: Vec<u64> = got.iter().filter_map(|item| item.ok()).collect();
    assert_eq!(numbers.len() as u64, 3000 - repaired.lost);
    assert!(numbers.is_sorted());
    let gaps: Vec<_> = got.iter().filter_map(|item| item.err()).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|reason| *reason == GapReason::Damaged));
}

#[tokio::test]
async fn a_wrong_index_is_found_and_mended() {
    let folder = Folder::new();
    log(&folder, RECORDS).await;
    // The entry of record 50 is taken out of the index, as damage might: the table keeps it.
    edit(
        &folder.log(),
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX records_by_topic ON records (topic) WHERE offset <> 50'
         WHERE name = 'records_by_topic';",
    );
    edit(&folder.log(), "REINDEX records_by_topic");
    edit(
        &folder.log(),
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX records_by_topic ON records (topic)'
         WHERE name = 'records_by_topic';",
    );
    let report = check(folder.log(), &mut |_, _| {}).unwrap();
    assert!(
        matches!(report.problems[..], [Problem::File(_), ..]),
        "{:?}",
        report.problems
    );
    assert_eq!(repair(folder.log(), &mut |_, _| {}).unwrap().lost, 0);
    assert!(check(folder.log(), &mut |_, _| {}).unwrap().is_sound());
    assert_eq!(read_all(&folder).await, all_but(RECORDS));
}

#[tokio::test]
async fn no_changed_bit_of_a_record_is_ever_delivered_untold() {
    // The text of the event, and what stands before it in its row: topic, tag, times, checksum.
    let needle = b"data: 57\n\n";
    let folder = Folder::new();
    log(&folder, RECORDS).await;
    let sound = std::fs::read(folder.log()).unwrap();
    let at = sound
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    for place in at - 12..at + needle.len() {
        for bit in [0, 7] {
            let mut bytes = sound.clone();
            bytes[place] ^= 1 << bit;
            std::fs::write(folder.log(), &bytes).unwrap();
            match SqliteBroker::open(folder.log()) {
                Ok(broker) => Broker::shutdown(&broker).await.unwrap(),
                // What SQLite itself notices is mended first.
                Err(error) => {
                    assert!(error.is_damaged(), "{error}");
                    repair(folder.log(), &mut |_, _| {}).unwrap();
                }
            }
            let got = read_all(&folder).await;
            let told = got == all_but(57);
            // A time that changed is no part of what is delivered.
            assert!(
                told || got == all_but(RECORDS),
                "byte {place}, bit {bit}: {got:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_log_that_is_open_is_checked_and_not_mended() {
    let folder = Folder::new();
    log(&folder, RECORDS).await;
    let broker = SqliteBroker::open(folder.log()).unwrap();
    assert!(check(folder.log(), &mut |_, _| {}).unwrap().is_sound());
    let error = repair(folder.log(), &mut |_, _| {}).unwrap_err();
    assert!(error.is_in_use(), "{error}");
    Broker::shutdown(&broker).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_log_is_refused_and_left_alone() {
    let folder = Folder::new();
    let error = check(folder.log(), &mut |_, _| {}).unwrap_err();
    assert!(
        error.is_unusable() && error.to_string().contains("no such file"),
        "{error}"
    );
    std::fs::write(folder.log(), "a text").unwrap();
    for error in [
        check(folder.log(), &mut |_, _| {}).unwrap_err(),
        repair(folder.log(), &mut |_, _| {}).unwrap_err(),
    ] {
        assert!(error.is_not_ours(), "{error}");
    }
    assert_eq!(std::fs::read(folder.log()).unwrap(), b"a text");
}
