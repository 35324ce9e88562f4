//! The store alone, with the time passed in.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

const WINDOW: KeyWindow = KeyWindow {
    duration: Duration::from_secs(60),
    max_keys: 1000,
};
const ALL: Retention = Retention {
    max_records: u64::MAX,
    max_bytes: u64::MAX,
    max_age: None,
};

/// A folder of its own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwether-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn open(&self, known: Option<Known>) -> Opened {
        Store::open(&self.0.join("log.db"), true, known, Duration::from_secs(1)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn record(tag: u32, key: Option<&str>) -> NewRecord {
    NewRecord {
        topic: "t".into(),
        tag,
        event: "data: x\n\n".into(),
        idempotency_key: key.map(Into::into),
        conflation_key: None,
    }
}

fn append(store: &mut Store, count: u32, retention: &Retention, now: u64) -> Appended {
    let records: Vec<_> = (0..count).map(|tag| record(tag, None)).collect();
    let records: Vec<_> = records.iter().collect();
    store.append(&records, &WINDOW, retention, now).unwrap()
}

fn is_duplicate(store: &mut Store, key: &str, now: u64) -> bool {
    let record = record(7, Some(key));
    let appended = store.append(&[&record], &WINDOW, &ALL, now).unwrap();
    appended.answers[0].as_ref().unwrap().is_duplicate
}

#[test]
fn each_commit_is_synced() {
    let folder = Folder::new();
    let store = folder.open(None).store;
    let pragma = |name: &str| {
        let sql = format!("PRAGMA {name}");
        let value = store
            .connection
            .query_row(&sql, (), |row| row.get::<_, rusqlite::types::Value>(0));
        format!("{:?}", value.unwrap())
    };
    // FULL, in which SQLite syncs the write-ahead log before a commit returns or is visible.
    assert_eq!(pragma("synchronous"), "Integer(2)");
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("wal_autocheckpoint"), "Integer(0)");
}

#[test]
fn steps_of_removal_are_bounded_and_reach_the_bounds() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    append(&mut store, 2000, &ALL, 0);
    let few = Retention {
        max_records: 10,
        ..ALL
    };
    // Beside a batch.
    let beside = append(&mut store, 5, &few, 0);
    assert_eq!(beside.trimmed, Retention::step(5));
    let mut steps = 0;
    while store.extent().records() > 10 {
        assert!(store.trim(&few, 100, 0).unwrap() <= 100);
        steps += 1;
    }
    assert_eq!(steps, (2005 - 512 - 10_u32).div_ceil(100));
    assert_eq!(store.trim(&few, 100, 0).unwrap(), 0);
    assert_eq!(store.extent().bytes, 10 * record::size(1, 9, 0));
}

#[test]
fn a_log_that_is_busy_all_the_time_stays_within_its_bounds_and_a_sixteenth() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    let few = Retention {
        max_records: 1000,
        ..ALL
    };
    let window = KeyWindow {
        max_keys: 1000,
        ..WINDOW
    };
    for round in 0..50_u32 {
        let keyed: Vec<_> = (0..200)
            .map(|number| record(number, Some(&format!("{round} {number}"))))
            .collect();
        let keyed: Vec<_> = keyed.iter().collect();
        store.append(&keyed, &window, &few, 0).unwrap();
        assert!(store.extent().records() <= 1063 + 200);
        assert!(store.keys.count <= 1063 + 200, "{}", store.keys.count);
    }
}

#[test]
fn ages_survive_a_clock_that_jumps() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    let day = Retention {
        max_age: Some(Duration::from_secs(24 * 3600)),
        ..ALL
    };
    let noon = 1000 * HOUR;
    append(&mut store, 10, &day, noon);
    // Back by two days: nothing goes, and the new ones are no older than those before them.
    append(&mut store, 10, &day, noon - 48 * HOUR);
    assert_eq!(store.trim(&day, 100, noon - 48 * HOUR).unwrap(), 0);
    assert_eq!(store.extent().last_at, noon);
    // Right again, and half a day later.
    append(&mut store, 10, &day, noon + 12 * HOUR);
    assert_eq!(store.trim(&day, 100, noon + 24 * HOUR).unwrap(), 0);
    assert_eq!(store.trim(&day, 100, noon + 24 * HOUR + 1).unwrap(), 20);
    // Far ahead: all but the newest is old.
    assert_eq!(store.trim(&day, 100, noon + 999 * HOUR).unwrap(), 9);
    assert_eq!(store.extent().records(), 1);
}

#[test]
fn a_key_is_known_for_its_window_whatever_the_clock_does() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    assert!(!is_duplicate(&mut store, "k", HOUR));
    assert!(is_duplicate(&mut store, "k", HOUR + 59 * SECOND));
    assert!(is_duplicate(&mut store, "k", 0), "an hour back");
    drop(store);
    let mut store = folder.open(None).store;
    assert!(
        is_duplicate(&mut store, "k", HOUR + 59 * SECOND),
        "reopened"
    );
    assert!(!is_duplicate(&mut store, "k", HOUR + 60 * SECOND));
    assert!(
        is_duplicate(&mut store, "k", HOUR + 61 * SECOND),
        "and anew"
    );
    assert_eq!(store.keys.count, 1);
    let later = HOUR + 200 * SECOND;
    assert!(store.has_old_keys(&WINDOW, later));
    assert_eq!(store.forget_keys(&WINDOW, 100, later).unwrap(), 1);
    assert!(!store.has_old_keys(&WINDOW, later));
}

#[test]
fn a_log_that_still_has_what_was_known_keeps_its_epoch() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    append(&mut store, 20, &ALL, 0);
    let known = store.newest().unwrap().unwrap();
    // What came after it was not confirmed, but may have happened.
    append(&mut store, 1, &ALL, 0);
    drop(store);
    let opened = folder.open(Some(known));
    assert_eq!(opened.broken, None);
    assert_eq!(opened.store.log.epoch, known.epoch);
    assert_eq!(opened.store.log.head, 21);
}

#[test]
fn a_log_that_lost_or_replaced_a_known_record_takes_a_new_epoch() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    append(&mut store, 20, &ALL, 0);
    let truth = store.newest().unwrap().unwrap();
    drop(store);
    let other_record = Known {
        tag: truth.tag ^ 1,
        ..truth
    };
    let opened = folder.open(Some(other_record));
    assert_eq!(opened.broken, Some(EpochEnd::Forked));
    assert_ne!(opened.store.log.epoch, truth.epoch);
    assert_eq!(opened.store.extent().records(), 20, "all records stay");
    let epoch = opened.store.log.epoch;
    drop(opened);
    let beyond_the_end = Known {
        epoch,
        offset: 21,
        tag: 0,
    };
    assert_eq!(
        folder.open(Some(beyond_the_end)).broken,
        Some(EpochEnd::Forked)
    );
    // A different log has a different epoch.
    assert_eq!(folder.open(Some(truth)).broken, None);
}

#[test]
fn keys_of_records_that_were_lost_are_forgotten_with_them() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    append(&mut store, 5, &ALL, 0);
    assert!(!is_duplicate(&mut store, "k", 0));
    store
        .connection
        .execute("DELETE FROM records WHERE offset = 6", ())
        .unwrap();
    drop(store);
    let opened = folder.open(None);
    assert_eq!(opened.broken, Some(EpochEnd::End));
    let mut store = opened.store;
    assert!(!is_duplicate(&mut store, "k", 0));
    assert!(is_duplicate(&mut store, "k", 0));
}

#[test]
fn what_can_never_be_stored_is_refused_alone() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    let good = record(1, None);
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let named = NewRecord {
        topic: long.as_str().into(),
        ..good.clone()
    };
    let large = NewRecord {
        event: vec![b'x'; MAX_EVENT_BYTES + 1].into(),
        ..good.clone()
    };
    let batch = [&good, &named, &large, &record(2, Some(&long)), &good];
    let appended = store.append(&batch, &WINDOW, &ALL, 0).unwrap();
    let refused: Vec<_> = appended
        .answers
        .iter()
        .map(|answer| answer.as_ref().is_err_and(BrokerError::is_refused))
        .collect();
    assert_eq!(refused, [false, true, true, true, false]);
    assert_eq!(store.extent().records(), 2);
}

#[test]
fn what_sql_counts_is_what_retention_counts() {
    let folder = Folder::new();
    let mut store = folder.open(None).store;
    let odd = NewRecord {
        topic: "tä\0b".into(),
        conflation_key: Some("ü".into()),
        event: b"\xff\0x".to_vec().into(),
        ..record(0, None)
    };
    store.append(&[&odd], &WINDOW, &ALL, 0).unwrap();
    let sql = format!("SELECT {SIZE} FROM records");
    let counted: u64 = store
        .connection
        .query_row(&sql, (), |row| row.get(0))
        .unwrap();
    assert_eq!(counted, record::size_of(&odd));
    assert_eq!(store.extent().bytes, counted);
}
