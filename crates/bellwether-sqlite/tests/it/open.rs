//! Opening: what is refused and with which message, who may read, and that a log has one writer.

use std::path::Path;
use std::process::Command;

use bellwether_sqlite::{SqliteBroker, schema};
use bellwether_testkit::or_skip;
use bellwether_topics::broker::Broker;
use rusqlite::{Connection, OpenFlags};

use crate::folder::Folder;
use crate::records::{all, append, fill, record};

fn message(path: &Path) -> String {
    let error = SqliteBroker::open(path).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    println!("{text}");
    text
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no database, but a text file; ".repeat(10)).unwrap();
    let before = std::fs::read(&text).unwrap();
    assert!(SqliteBroker::open(&text).unwrap_err().is_not_ours());
    assert!(message(&text).contains("is no SQLite file, and was left untouched"));
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let short = folder.path().join("short");
    std::fs::write(&short, "x").unwrap();
    assert!(message(&short).contains("is no SQLite file"));

    let foreign = folder.path().join("foreign.db");
    let connection = Connection::open(&foreign).unwrap();
    connection
        .execute_batch("CREATE TABLE people (name TEXT)")
        .unwrap();
    assert!(SqliteBroker::open(&foreign).unwrap_err().is_not_ours());
    connection
        .execute_batch("PRAGMA application_id = 7")
        .unwrap();
    drop(connection);
    assert!(SqliteBroker::open(&foreign).unwrap_err().is_not_ours());
    assert!(message(&foreign).contains("an SQLite file of the application 0x00000007"));
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    fill(&broker, 0..3).await;
    broker.shutdown().await.unwrap();
    let connection = Connection::open(folder.log()).unwrap();
    connection
        .execute_batch(&format!("PRAGMA user_version = {}", schema::VERSION + 1))
        .unwrap();
    drop(connection);
    assert!(SqliteBroker::open(folder.log()).unwrap_err().is_newer());
    assert!(message(&folder.log()).contains("run the version that wrote it"));
}

#[tokio::test]
async fn a_path_that_cannot_be_a_log_is_refused_with_what_to_do() {
    let folder = Folder::new();
    assert!(message(folder.path()).contains("it is a folder; name a file in it"));
    let nowhere = folder.path().join("no/such/folder/events.db");
    assert!(message(&nowhere).contains("make the folder first"));
    assert!(message(Path::new(":memory:")).contains("not durable"));
    assert!(message(Path::new("/")).contains("names no file"));

    SqliteBroker::open(folder.log())
        .unwrap()
        .shutdown()
        .await
        .unwrap();
    let mut permissions = std::fs::metadata(folder.log()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(folder.log(), permissions).unwrap();
    let error = SqliteBroker::open(folder.log()).unwrap_err();
    assert!(error.is_unusable());
    assert!(message(&folder.log()).contains("the file is read-only"));
}

#[tokio::test]
async fn an_empty_file_becomes_a_log() {
    let folder = Folder::new();
    std::fs::write(folder.log(), "").unwrap();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    fill(&broker, 0..3).await;
    assert_eq!(all(&broker).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_log_is_open_once_by_whatever_name() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let error = SqliteBroker::open(folder.log()).unwrap_err();
    assert!(error.is_in_use());
    assert!(error.to_string().contains("another broker of this process"));
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.log(), &link).unwrap();
    assert!(SqliteBroker::open(&link).unwrap_err().is_in_use());
    broker.shutdown().await.unwrap();
    // The old handle does not hold it.
    let again = SqliteBroker::open(&link).unwrap();
    assert_eq!(again.path(), broker.path());
}

#[tokio::test]
async fn another_process_is_refused_with_the_id_of_the_process_that_has_the_log() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let child = crate::kill::child(&folder.log(), 1);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    let holder = format!("process {} has it open", std::process::id());
    assert!(text.contains(&holder), "{text}");
    fill(&broker, 0..3).await;
    assert_eq!(all(&broker).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_dropped_broker_lets_go_of_the_file() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let clone = broker.clone();
    drop(broker);
    fill(&clone, 0..3).await;
    drop(clone);
    // Opening waits for the thread that is just ending.
    let again = SqliteBroker::open(folder.log()).unwrap();
    assert_eq!(all(&again).await, [0, 1, 2]);
    again.shutdown().await.unwrap();
    let wal = folder.path().join("events.db-wal");
    assert!(!wal.exists(), "the last connection has gone");
}

#[tokio::test]
async fn other_programs_read_the_file_while_it_is_written() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    fill(&broker, 0..3).await;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = Connection::open_with_flags(folder.log(), flags).unwrap();
    let look = || -> (u64, String) {
        let sql = "SELECT count(*), max(event) FROM events";
        reader
            .query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    assert_eq!(look(), (3, "data: 2\n\n".into()));
    fill(&broker, 3..5).await;
    assert_eq!(look(), (5, "data: 4\n\n".into()));

    let version = Command::new("sqlite3").arg("--version").output();
    if or_skip(version.map_err(|_| "no sqlite3 program")).is_some() {
        let output = Command::new("sqlite3")
            .arg(folder.log())
            .arg("PRAGMA application_id; SELECT topic, event FROM events WHERE offset = 5; PRAGMA integrity_check")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            text,
            format!("{}\nt|data: 4\n\n\nok\n", schema::APPLICATION_ID)
        );
    }
    // And what they did not write did not end the epoch.
    append(&broker, &[record("t", 5)]).await.unwrap();
    assert_eq!(all(&broker).await.len(), 6);
}
