//! `bellwether check` and `bellwether repair`, on real files that were damaged byte by byte.

mod bits;
mod door;
mod files;
mod hands;
mod kills;

use std::fs;

use self::files::{
    Folder, Got, change, damaged_at, entry, events, node, publish, read_all, sql, whole_log,
};
use crate::support::run;

#[tokio::test]
async fn a_sound_log_is_called_sound_and_a_repair_has_nothing_to_do() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    let before = fs::read(folder.log()).unwrap();
    let done = run(&["check", &folder.name()], b"").await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(
        done.text().contains("is sound: 100 records of 1 topic."),
        "{}",
        done.text()
    );
    let done = run(&["repair", &format!("sqlite:{}", folder.name())], b"").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.text().contains("Nothing to do."), "{}", done.text());
    assert_eq!(fs::read(folder.log()).unwrap(), before);
    assert_eq!(folder.copies(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn check_names_the_record_and_repair_puts_exactly_it_aside() {
    for number in [1, 50, 100] {
        let folder = Folder::new();
        whole_log(&folder, 100).await;
        let text = format!("event {number}.");
        change(&folder.log(), text.as_bytes(), b"Event");
        let before = fs::read(folder.log()).unwrap();

        let done = run(&["check", &folder.name()], b"").await;
        assert_eq!(done.code, Some(1));
        let line = format!("record {number} of topic \"t\" is not what was written\n");
        assert!(done.text().starts_with(&line), "{}", done.text());
        assert!(
            done.text()
                .contains("1 problem; 99 records of 1 topic are what was written")
        );
        assert!(
            !done.text().contains("vent 5"),
            "what events say is not shown"
        );
        assert_eq!(
            fs::read(folder.log()).unwrap(),
            before,
            "a look changes nothing"
        );

        let done = run(&["repair", &folder.name()], b"").await;
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
        assert!(
            done.text().contains("1 damaged record was put aside"),
            "{}",
            done.text()
        );
        assert!(done.text().contains("Ids stay valid."));
        assert_eq!(
            fs::read(&folder.copies()[0]).unwrap(),
            before,
            "the copy is the file as it was"
        );

        for (command, said) in [("check", "aside"), ("repair", "Nothing to do.")] {
            let done = run(&[command, &folder.name()], b"").await;
            assert_eq!(done.code, Some(0), "{}", done.text());
            assert!(done.text().contains(said), "{}", done.text());
        }
        assert_eq!(folder.copies().len(), 1, "a sound file is not copied");
        let expected = events(1..=number - 1)
            .chain([Got::Damaged(Some(1))])
            .chain(events(number + 1..=100));
        assert_eq!(read_all(&folder, 100).await, expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_id_from_before_the_repair_goes_on_where_it_was() {
    let folder = Folder::new();
    let ids = whole_log(&folder, 100).await;
    for number in [50, 51, 80] {
        change(
            &folder.log(),
            format!("event {number}.").as_bytes(),
            b"Event",
        );
    }
    let done = run(&["repair", &folder.name()], b"").await;
    assert!(
        done.text().contains("3 damaged records were put aside"),
        "{}",
        done.text()
    );
    let topics = node(&folder).await;
    let topic = topics.topic("t").unwrap();
    for (after, expected) in [
        // A reader that has seen the record before it was damaged misses nothing.
        (50, vec![Got::Damaged(Some(1)), Got::Event(52)]),
        (51, vec![Got::Event(52), Got::Event(53)]),
        (49, vec![Got::Damaged(Some(2)), Got::Event(52)]),
        (79, vec![Got::Damaged(Some(1)), Got::Event(81)]),
        (90, vec![Got::Event(91), Got::Event(92)]),
    ] {
        let mut reader = topic
            .subscribe()
            .after(ids[after - 1].as_str())
            .open()
            .unwrap();
        assert_eq!(files::got(&mut reader, 2).await, expected, "after {after}");
    }
    publish(&topics, 101..=101).await;
    topics.close().await.unwrap();
    assert_eq!(run(&["check", &folder.name()], b"").await.code, Some(0));
}

#[tokio::test]
async fn the_index_is_built_anew_and_loses_nothing() {
    for (found, new, said) in [
        // A hole and a double at once: the entry of 50 names 51.
        (
            entry(50),
            entry(51),
            vec![
                "lacks record 50 of topic \"t\"",
                "too many: record 51 under topic \"t\"",
            ],
        ),
        // Under another topic.
        (
            entry(50),
            b"\x03\x0f\x01s\x32".to_vec(),
            vec!["lacks record 50", "record 50 under topic \"s\""],
        ),
        // Of no record.
        (
            entry(100),
            entry(0x7f),
            vec!["lacks record 100", "record 127 under topic \"t\""],
        ),
    ] {
        let folder = Folder::new();
        whole_log(&folder, 100).await;
        change(&folder.log(), &found, &new);
        let done = run(&["check", &folder.name()], b"").await;
        assert_eq!(done.code, Some(1), "{}", done.text());
        for said in said {
            assert!(done.text().contains(said), "{said}: {}", done.text());
        }
        let done = run(&["repair", &folder.name()], b"").await;
        assert!(
            done.text().contains("No record was lost"),
            "{}",
            done.text()
        );
        assert_eq!(run(&["check", &folder.name()], b"").await.code, Some(0));
        assert_eq!(
            read_all(&folder, 100).await,
            events(1..=100).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_words_and_repaired() {
    for (statement, said) in [
        (
            "DELETE FROM records WHERE offset = 50",
            "record 50 of topic \"t\" is missing",
        ),
        (
            "UPDATE records SET offset = 101 WHERE offset = 100",
            "record 100 of topic \"t\" is missing",
        ),
        (
            "UPDATE records SET topic = 's' WHERE offset = 7",
            "record 7 of topic \"t\" is not what was written",
        ),
        (
            "UPDATE topics SET offset = 90",
            "the newest record of topic \"t\" is noted wrongly",
        ),
        (
            "DELETE FROM topics",
            "the newest record of topic \"t\" is noted wrongly",
        ),
        (
            "UPDATE log SET head = 4",
            "notes head as 4, and it should be 100",
        ),
        (
            "UPDATE log SET floor = 40",
            "notes floor as 40, and it should be 0",
        ),
        (
            "UPDATE log SET bytes = 3",
            "notes bytes as 3, and it should be",
        ),
        (
            "DELETE FROM log",
            "notes head as nothing, and it should be 100",
        ),
        (
            "INSERT INTO keys VALUES ('t', 'k', 3, 4, 5)",
            "names record 3, which was not published with it",
        ),
    ] {
        let folder = Folder::new();
        whole_log(&folder, 100).await;
        sql(&folder.log(), statement);
        let done = run(&["check", &folder.name()], b"").await;
        assert_eq!(done.code, Some(1), "{statement}: {}", done.text());
        assert!(done.text().contains(said), "{statement}: {}", done.text());
        let done = run(&["repair", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "{statement}: {}", done.err);
        let done = run(&["check", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "{statement}: {}", done.text());
        let got = read_all(&folder, 100).await;
        let lost = got
            .iter()
            .filter(|got| !matches!(got, Got::Event(_)))
            .count();
        assert!(
            lost <= 1 && got.last() == Some(&Got::Event(100)) || lost == 1,
            "{statement}: {got:?}"
        );
    }
}

#[tokio::test]
async fn pages_that_make_no_sense_cost_what_stood_on_them() {
    let folder = Folder::new();
    whole_log(&folder, 3000).await;
    damaged_at(&folder.log(), b"event 1500.");
    let done = run(&["check", &folder.name()], b"").await;
    assert_eq!(done.code, Some(1));
    assert!(
        done.text().contains("pages of the file make no sense"),
        "{}",
        done.text()
    );
    assert!(
        done.text()
            .contains("record 1500 of topic \"t\" is missing"),
        "{}",
        done.text()
    );
    let done = run(&["repair", &folder.name()], b"").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let mut lost = 0;
    let mut next = 1;
    while next + lost <= 3000 {
        let got = read_all(&folder, 1).await;
        assert_eq!(got, [Got::Event(1)]);
        let all = files::read_to(&folder, 3000).await;
        for got in all {
            match got {
                Got::Event(number) => assert_eq!(number, std::mem::replace(&mut next, number + 1)),
                Got::Damaged(count) => {
                    lost = count.unwrap();
                    next += lost;
                }
            }
        }
    }
    assert!((10..200).contains(&lost), "a page's worth: {lost}");
}

#[tokio::test]
async fn what_is_no_log_is_refused_and_left_alone() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    let log = fs::read(folder.log()).unwrap();
    let mut without_header = log.clone();
    without_header[..100].fill(0xa5);
    let mut without_schema = log.clone();
    without_schema[100..4096].fill(0xa5);
    for (content, said) in [
        (b"a letter to a friend, longer than the head of a file of SQLite has to be, so that it is read".to_vec(), "no SQLite file"),
        (without_header, "its first page is damaged: restore a copy"),
        (without_schema, "SQLite cannot read"),
        (log[..4096].to_vec(), ""),
        (Vec::new(), "the file is empty"),
    ] {
        fs::write(folder.log(), &content).unwrap();
        for command in ["check", "repair"] {
            let done = run(&[command, &folder.name()], b"").await;
            assert!(matches!(done.code, Some(1 | 2)), "{command}: {}", done.text());
            assert!(done.err.contains(said), "{command}: {}", done.err);
            if !said.is_empty() {
                assert_eq!(fs::read(folder.log()).unwrap(), content, "{command}");
                assert_eq!(folder.copies().len(), 0);
            }
        }
    }
    let done = run(
        &[
            "check",
            &folder.path().join("nothing").display().to_string(),
        ],
        b"",
    )
    .await;
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("not there"), "{}", done.err);
    assert!(!folder.path().join("nothing-lock").exists());
}

#[tokio::test]
async fn copies_are_never_written_over_and_other_programs_tables_stay() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    sql(
        &folder.log(),
        "CREATE TABLE bookkeeping (a INTEGER PRIMARY KEY, b BLOB); CREATE INDEX by_b ON bookkeeping (b);
         INSERT INTO bookkeeping VALUES (7, x'00ff'), (8, NULL)",
    );
    for number in [20, 30, 40] {
        change(
            &folder.log(),
            format!("event {number}.").as_bytes(),
            b"Event",
        );
        let done = run(&["repair", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "{}", done.err);
    }
    assert_eq!(folder.copies().len(), 3);
    let connection = rusqlite::Connection::open(folder.log()).unwrap();
    let count: i64 = connection
        .query_row(
            "SELECT sum(a) FROM bookkeeping INDEXED BY by_b WHERE b = x'00ff' OR b IS NULL",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(count, 15);
    drop(connection);
    assert_eq!(run(&["check", &folder.name()], b"").await.code, Some(0));
}
