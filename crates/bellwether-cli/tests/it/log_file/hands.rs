//! Other programs at the file of a running server: their commits, checkpoints and lasting reads change nothing for readers.

use std::fs;
use std::ops::RangeInclusive;

use bellwether_testkit::{Program, RawClient};
use rusqlite::Connection;

use super::door::{open, publish, serve, take};
use super::files::{Folder, whole_log};
use crate::support::run;

/// Publishes events with these numbers over one connection.
async fn publish_many(server: &Program, numbers: RangeInclusive<u64>) {
    let lines: String = numbers.map(|number| format!("event {number}.\n")).collect();
    let sent = run(&["send", server.url(), "-t", "t"], lines.as_bytes()).await;
    assert_eq!(sent.code, Some(0), "{}", sent.err);
}

/// Takes exactly these events, without a gap.
async fn takes(reader: &mut RawClient, numbers: RangeInclusive<u64>, what: &str) {
    let (events, gaps) = take(reader, numbers.clone().count()).await;
    assert_eq!((events, gaps), (numbers.collect(), Vec::new()), "{what}");
}

#[tokio::test]
async fn commits_of_another_program_change_nothing_for_readers() {
    let folder = Folder::new();
    let ids = whole_log(&folder, 20).await;
    let server = serve(&folder).await;
    let mut live = open(&server, &ids[19]).await;
    for (number, statement) in (21..).zip([
        "CREATE TABLE bookkeeping (a)",
        "INSERT INTO bookkeeping VALUES (1)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "UPDATE bookkeeping SET a = a + 1",
        "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
        "INSERT INTO _litestream_seq VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1",
        "BEGIN IMMEDIATE; ROLLBACK",
        "DROP TABLE bookkeeping",
        "PRAGMA optimize",
    ]) {
        let other = Connection::open(folder.log()).unwrap();
        other
            .busy_timeout(std::time::Duration::from_secs(5))
            .unwrap();
        other.execute_batch(statement).unwrap();
        publish(&server, &format!("event {number}.")).await;
        takes(&mut live, number..=number, statement).await;
        // One that comes back, and one that comes back while the other program has the file open.
        let mut back = open(&server, &ids[9]).await;
        takes(&mut back, 11..=number, statement).await;
        drop(other);
    }
    let lines = server.lines();
    assert!(
        !lines.iter().any(|line| line.contains("epoch")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_lasting_read_beside_the_server_costs_room_in_the_wal_and_nothing_else() {
    let folder = Folder::new();
    let ids = whole_log(&folder, 20).await;
    let server = serve(&folder).await;
    let mut live = open(&server, &ids[19]).await;
    let wal = || fs::metadata(format!("{}-wal", folder.name())).map_or(0, |wal| wal.len());
    // As Litestream does it: its own table, and a read that lasts until the next one has begun.
    let holders = [0, 1].map(|_| Connection::open(folder.log()).unwrap());
    let hold = "BEGIN; SELECT count(*) FROM _litestream_seq";
    holders[0]
        .execute_batch("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
        .unwrap();
    let mut sizes = Vec::new();
    for round in 0..4 {
        holders[round % 2].execute_batch(hold).unwrap();
        if round > 0 {
            holders[(round + 1) % 2]
                .execute_batch("COMMIT; PRAGMA wal_checkpoint(PASSIVE)")
                .unwrap();
        }
        let first = 21 + round as u64 * 500;
        publish_many(&server, first..=first + 499).await;
        takes(&mut live, first..=first + 499, "live").await;
        let mut back = open(&server, &ids[9]).await;
        takes(&mut back, 11..=first + 499, "back").await;
        sizes.push(wal());
    }
    assert!(sizes.is_sorted(), "it grows while it is held: {sizes:?}");
    holders[1].execute_batch("COMMIT").unwrap();
    drop(holders);
    // Nobody holds it now: it is moved into the file, and its room is used again.
    publish_many(&server, 2021..=4020).await;
    takes(&mut live, 2021..=4020, "after").await;
    assert!(wal() <= sizes[3] * 2, "{} after {sizes:?}", wal());
}
