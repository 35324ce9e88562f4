//! Disks and files that fail: publishes fail within a bound, readers stay, and the log works again without a restart.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::{eventually, or_skip, within};
use bellwether_topics::Offset;
use bellwether_topics::broker::{Broker, NewRecord};
use rusqlite::Connection;

use crate::folder::Folder;
use crate::records::{all, append, fill, read, record, three_and_a_tail};

/// A small disk of its own.
struct SmallDisk(Folder);

impl SmallDisk {
    fn mount(size: &str) -> Result<Self, String> {
        let folder = Folder::new();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .map_err(|error| format!("no mount program: {error}"))?;
        match output.status.success() {
            true => Ok(Self(folder)),
            false => Err("a small disk needs the right to mount one".into()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the thread that writes may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A file system that seems to have room, on a disk that has none: writes work, and syncing them fails.
struct FalseDisk {
    front: Folder,
    back: SmallDisk,
}

impl FalseDisk {
    fn mount(size: &str) -> Result<Self, String> {
        let back = SmallDisk::mount(size)?;
        let image = back.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(200 << 20).unwrap();
        let front = Folder::new();
        let image = image.to_str().unwrap();
        let made = Command::new("mkfs.ext2").args(["-q", "-F", image]).status();
        let is_made = made.is_ok_and(|status| status.success());
        let mounted = Command::new("mount")
            .args(["-o", "loop", image])
            .arg(front.path())
            .status();
        match is_made && mounted.is_ok_and(|status| status.success()) {
            true => Ok(Self { front, back }),
            false => Err("a disk in a file needs mkfs.ext2 and loop devices".into()),
        }
    }

    fn grow(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.back.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for FalseDisk {
    fn drop(&mut self) {
        let path = self.front.path();
        let _ = Command::new("umount").arg("-l").arg(path).status();
    }
}

fn large(number: u64) -> NewRecord {
    NewRecord {
        event: vec![b'x'; 50_000].into(),
        ..record("large", number)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_publishes_leaves_readers_alone_and_recovers_without_a_restart() {
    let Some(disk) = or_skip(SmallDisk::mount("8m")) else {
        return;
    };
    let broker = SqliteBroker::open(disk.0.log()).unwrap();
    let before = fill(&broker, 0..100).await;
    let mut tail = broker.tail(Offset::new(100)).await.unwrap();
    assert_eq!(tail.next().await.unwrap().records.len(), 1);
    // Another file takes the room.
    let other = disk.path().join("other");
    std::fs::write(&other, vec![0; 5 << 20]).unwrap();
    let mut confirmed = 0;
    let error = loop {
        match append(&broker, &[large(confirmed)]).await {
            Ok(_) => confirmed += 1,
            Err(error) => break error,
        }
        assert!(confirmed < 200, "the disk is never full");
    };
    println!("after {confirmed} large records: {error}");
    assert!(!error.is_refused(), "it can work later");
    assert!(error.to_string().contains("the disk is full"));
    for round in 0..20 {
        assert!(append(&broker, &[large(round)]).await.is_err());
    }

    // Readers are not affected: pages, bounds, and the tail's heartbeat.
    let page = read(&broker, before[49].cursor.offset, None).await.unwrap();
    assert_eq!(page.records.len() as u64, 51 + confirmed);
    assert_eq!(broker.bounds().await.unwrap().head.low(), 100 + confirmed);
    let mut followed = 0;
    while followed < confirmed {
        followed += tail.next().await.unwrap().records.len() as u64;
    }
    assert!(tail.next().await.unwrap().records.is_empty());

    std::fs::remove_file(&other).unwrap();
    let after = append(&broker, &[record("t", 100)]).await.unwrap();
    assert_eq!(
        after[0].cursor.offset.low(),
        101 + confirmed,
        "no offset is missing"
    );
    assert_eq!(
        after[0].cursor.epoch, before[0].cursor.epoch,
        "nothing was lost"
    );
    assert_eq!(tail.next().await.unwrap().records.len(), 1);
    broker.shutdown().await.unwrap();
    let broker = SqliteBroker::open(disk.0.log()).unwrap();
    assert_eq!(broker.bounds().await.unwrap().head, after[0].cursor.offset);
}

#[tokio::test]
async fn a_sync_that_fails_confirms_nothing_and_loses_nothing_that_was_confirmed() {
    let Some(disk) = or_skip(FalseDisk::mount("8m")) else {
        return;
    };
    let broker = SqliteBroker::open(disk.front.log()).unwrap();
    let before = fill(&broker, 0..100).await;
    let mut confirmed = 0;
    let error = loop {
        match append(&broker, &[large(confirmed)]).await {
            Ok(_) => confirmed += 1,
            Err(error) => break error,
        }
        assert!(confirmed < 400, "the disk never fails");
    };
    let source = std::error::Error::source(&error).unwrap();
    println!("after {confirmed} large records: {error}: {source:?}");
    assert!(format!("{source:?}").contains("1034"), "SQLITE_IOERR_FSYNC");
    for round in 0..5 {
        let again = append(&broker, &[large(round)]).await;
        assert!(again.is_err(), "no later sync confirms what failed");
    }
    disk.grow("100m");
    let since = Instant::now();
    let after = loop {
        match append(&broker, &[record("t", 100)]).await {
            Ok(after) => break after,
            Err(_) => assert!(since.elapsed() < Duration::from_secs(10)),
        }
    };
    assert_eq!(after[0].cursor.offset.low(), 101 + confirmed);
    assert_eq!(after[0].cursor.epoch, before[0].cursor.epoch);
    let page = read(&broker, Offset::ZERO, None).await.unwrap();
    assert_eq!(page.records.len() as u64, 101 + confirmed);
    broker.shutdown().await.unwrap();
    let broker = SqliteBroker::open(disk.front.log()).unwrap();
    assert_eq!(broker.bounds().await.unwrap().head, after[0].cursor.offset);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn retention_keeps_a_log_on_a_small_disk_going() {
    let Some(disk) = or_skip(SmallDisk::mount("48m")) else {
        return;
    };
    let builder = SqliteBroker::builder(disk.0.log()).max_bytes(4 << 20);
    let broker = builder.open().unwrap();
    // Forty times what it may hold, and several times the disk.
    for number in 0..3200 {
        append(&broker, &[large(number)]).await.unwrap();
    }
    let bounds = broker.bounds().await.unwrap();
    let left = bounds.head.low() - bounds.floor.low();
    assert!((60..=90).contains(&left), "{left} records are left");
}

#[tokio::test]
async fn a_program_that_holds_the_write_lock_makes_publishes_fail_in_time_and_nothing_else() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let before = fill(&broker, 0..3).await;
    let other = Connection::open(folder.log()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let since = Instant::now();
    let error = append(&broker, &[record("t", 3)]).await.unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(
        error.to_string().contains("another program is writing"),
        "{error}"
    );
    assert_eq!(all(&broker).await, [0, 1, 2]);
    other.execute_batch("ROLLBACK").unwrap();
    let after = append(&broker, &[record("t", 4)]).await.unwrap();
    assert_eq!(after[0].cursor.epoch, before[0].cursor.epoch);
    assert_eq!(all(&broker).await, [0, 1, 2, 4]);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_noticed_and_used_again_when_it_is_back() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let before = fill(&broker, 0..3).await;
    let away = folder.path().join("away.db");
    std::fs::rename(folder.log(), &away).unwrap();
    let error = append(&broker, &[record("t", 3)]).await.unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("moved, deleted or replaced"));
    assert!(broker.bounds().await.is_err(), "so that readiness fails");
    assert!(broker.tail(Offset::new(3)).await.is_err());
    let trim = within(Duration::from_secs(10), broker.trim_to(1)).await;
    assert!(trim.unwrap().is_err());
    // Another file at its path does not count.
    std::fs::write(folder.log(), "").unwrap();
    assert!(append(&broker, &[record("t", 3)]).await.is_err());
    std::fs::rename(&away, folder.log()).unwrap();
    let after = append(&broker, &[record("t", 3)]).await.unwrap();
    assert_eq!(after[0].cursor.offset, Offset::new(4));
    assert_eq!(after[0].cursor.epoch, before[0].cursor.epoch);
    assert_eq!(all(&broker).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_write_ahead_log_that_was_deleted_is_noticed_and_costs_nothing_that_was_confirmed() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let before = fill(&broker, 0..3).await;
    std::fs::remove_file(folder.path().join("events.db-wal")).unwrap();
    let error = append(&broker, &[record("t", 3)]).await.unwrap_err();
    assert!(error.to_string().contains("moved, deleted or replaced"));
    // From that moment on the file alone has everything, in case that the process is killed.
    let alone = folder.path().join("alone.db");
    std::fs::copy(folder.log(), &alone).unwrap();
    let copy = SqliteBroker::open(&alone).unwrap();
    assert_eq!(all(&copy).await, [0, 1, 2]);
    broker.shutdown().await.unwrap();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    assert_eq!(all(&broker).await, [0, 1, 2]);
    let after = append(&broker, &[record("t", 4)]).await.unwrap();
    assert_eq!(after[0].cursor.epoch, before[0].cursor.epoch);
}

#[tokio::test]
async fn a_quiet_log_notices_that_its_file_is_gone_and_that_it_is_back() {
    let folder = Folder::new();
    let broker = SqliteBroker::open(folder.log()).unwrap();
    let mut tail = three_and_a_tail(&broker).await;
    let away = folder.path().join("away.db");
    std::fs::rename(folder.log(), &away).unwrap();
    let failed = within(Duration::from_secs(10), async {
        while tail.next().await.is_ok() {}
    });
    assert!(
        failed.await.is_some(),
        "the tail of a log that has gone fails"
    );
    std::fs::rename(&away, folder.log()).unwrap();
    let works = || {
        let mut bounds = broker.bounds();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(bounds.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(_)))
    };
    eventually("the log", Duration::from_secs(10), works).await;
}
