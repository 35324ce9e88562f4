//! Damage at the HTTP door: a server on a damaged file, and what its readers and its log are told.

use std::time::Duration;

use bellwether_testkit::{Program, RawClient};

use super::files::{Folder, change, damaged_at, entry, sql, whole_log};
use crate::support::{command, run, run_with};

pub(super) async fn serve(folder: &Folder) -> Program {
    let broker = format!("sqlite:{}", folder.name());
    let mut command = command(&["serve", "--broker", &broker]);
    command.env_remove("HOST");
    Program::start_command(command).await
}

/// One reader over a plain socket, from the start: this number of events and gaps, as numbers and the data of the gaps.
async fn read(server: &Program, count: usize) -> (Vec<u64>, Vec<String>) {
    // An id of no history is answered with a gap, and then all that is left.
    let mut reader = open(server, "earliest").await;
    let gap = reader.next_event().await.unwrap();
    assert!(gap.data.contains("\"unknown\""), "{}", gap.data);
    take(&mut reader, count).await
}

pub(super) async fn open(server: &Program, id: &str) -> RawClient {
    let mut reader = RawClient::connect(server.addr()).await;
    reader
        .get("/events?topic=t", &[("last-event-id", id)])
        .await;
    assert_eq!(reader.read_head().await.status, 200);
    reader
}

pub(super) async fn take(reader: &mut RawClient, count: usize) -> (Vec<u64>, Vec<String>) {
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let message = reader.next_event().await.unwrap();
        match message.data.strip_prefix("event ") {
            Some(number) => events.push(number.trim_end_matches('.').parse().unwrap()),
            None => {
                assert_eq!(message.event.as_str(), "bellwether.gap");
                gaps.push(message.data.to_string());
            }
        }
    }
    (events, gaps)
}

fn lines_with(server: &Program, text: &str) -> Vec<String> {
    let mut lines = server.lines();
    lines.retain(|line| line.contains(text));
    lines
}

pub(super) async fn publish(server: &Program, text: &str) {
    let sent = run(&["send", server.url(), "-t", "t", "-d", text], b"").await;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
}

#[tokio::test]
async fn readers_get_49_events_a_gap_over_one_and_50_events_and_the_log_says_it_once() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    change(&folder.log(), b"event 50.", b"Event");
    let server = serve(&folder).await;
    for _ in 0..5 {
        let (events, gaps) = read(&server, 100).await;
        assert_eq!(events, (1..50).chain(51..=100).collect::<Vec<_>>());
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(
            gaps[0].contains("\"damaged\"") && gaps[0].contains("\"lost\":1"),
            "{gaps:?}"
        );
    }
    let lines = lines_with(&server, "is not what was written");
    assert_eq!(lines.len(), 1, "once per record, not per reader: {lines:?}");
    assert!(
        lines[0].contains(&folder.name()) && lines[0].contains("record=50"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_damaged_newest_record_keeps_no_server_from_starting_and_publishing() {
    let folder = Folder::new();
    let ids = whole_log(&folder, 100).await;
    change(&folder.log(), b"event 100.", b"Event");
    let server = serve(&folder).await;
    publish(&server, "event 101.").await;
    let mut reader = open(&server, &ids[97]).await;
    let (events, gaps) = take(&mut reader, 3).await;
    assert_eq!((events, gaps.len()), (vec![99, 101], 1), "{gaps:?}");
    // Who has seen it while it was whole has lost nothing.
    let mut reader = open(&server, &ids[99]).await;
    assert_eq!(take(&mut reader, 1).await, (vec![101], Vec::new()));
}

#[tokio::test]
async fn a_damaged_index_is_told_in_the_log_and_readers_get_everything() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    change(&folder.log(), &entry(50), &entry(51));
    let server = serve(&folder).await;
    for _ in 0..3 {
        let (events, gaps) = read(&server, 100).await;
        assert_eq!((events, gaps), ((1..=100).collect(), Vec::new()));
    }
    let lines = lines_with(&server, "the index over topics is wrong");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("bellwether repair"), "{lines:?}");
}

#[tokio::test]
async fn a_repair_waits_for_no_server_and_a_check_does_not_mind_one() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    change(&folder.log(), b"event 50.", b"Event");
    let server = serve(&folder).await;
    publish(&server, "event 101.").await;
    let checked = run(&["check", &folder.name()], b"").await;
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.text().contains("100 records of 1 topic"),
        "{}",
        checked.text()
    );
    let pid = server.id().unwrap();
    let done = run(&["repair", &folder.name()], b"").await;
    assert_eq!(done.code, Some(1));
    assert!(
        done.err.contains(&format!("process {pid} has it open")),
        "{}",
        done.err
    );
    assert!(done.err.contains("stop that one"), "{}", done.err);
    assert_eq!(folder.copies().len(), 0);
    publish(&server, "event 102.").await;

    // A process that is killed leaves what it has written in the write-ahead log.
    let mut server = server;
    server.signal("KILL").await;
    server.wait_exit(Duration::from_secs(10)).await;
    let done = run(&["repair", &folder.name()], b"").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let server = serve(&folder).await;
    let (events, gaps) = read(&server, 102).await;
    assert_eq!(events, (1..50).chain(51..=102).collect::<Vec<_>>());
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        lines_with(&server, "is not what was written"),
        Vec::<String>::new(),
        "it was dealt with"
    );
}

#[tokio::test]
async fn a_file_that_makes_no_sense_says_what_to_run() {
    let folder = Folder::new();
    whole_log(&folder, 3000).await;
    damaged_at(&folder.log(), b"event 1500.");
    let broker = format!("sqlite:{}", folder.name());
    let done = run_with(&["serve", "--broker", &broker], &[("PORT", "0")]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("bellwether repair"), "{}", done.err);
}

#[tokio::test]
async fn another_program_that_has_the_file_open_is_named_as_the_reason() {
    let folder = Folder::new();
    whole_log(&folder, 100).await;
    change(&folder.log(), b"event 50.", b"Event");
    let before = std::fs::read(folder.log()).unwrap();
    let other = rusqlite::Connection::open(folder.log()).unwrap();
    other
        .execute_batch("BEGIN; SELECT count(*) FROM records;")
        .unwrap();
    let done = run(&["repair", &folder.name()], b"").await;
    assert_eq!(done.code, Some(1), "{}", done.text());
    assert!(
        done.err.contains("another program has the file open"),
        "{}",
        done.err
    );
    assert_eq!(std::fs::read(folder.log()).unwrap(), before);
    assert_eq!(folder.copies().len(), 0);
    drop(other);
    sql(&folder.log(), "SELECT 1");
    assert_eq!(run(&["repair", &folder.name()], b"").await.code, Some(0));
}
