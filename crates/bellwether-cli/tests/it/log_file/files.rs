//! Logs in files, ways to damage them, and readers that tell what they got.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_testkit::within;
use bellwether_topics::{Delivery, GapReason, ServerSentEvent, Subscription, Topics};

const TEST_TIMEOUT: Duration = Duration::from_secs(20);
const PAGE: usize = 4096;
/// SQLite, file format, section 1.3.
const HEADER_BYTES: usize = 100;

/// A folder of its own, removed with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwether-log-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("events.sqlite")
    }

    pub(super) fn name(&self) -> String {
        self.log().display().to_string()
    }

    /// What repairs have kept.
    pub(super) fn copies(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let is_copy = |path: &PathBuf| {
            let name = path.display().to_string();
            name.contains("before-repair") && !name.ends_with("-wal")
        };
        let mut copies: Vec<_> = files.filter(is_copy).collect();
        copies.sort();
        copies
    }

    /// Removes the copies, which are of this file or its beginning; tells how many there were.
    pub(super) fn forget_copies(&self, of: &[u8]) -> usize {
        let copies = self.copies();
        for copy in &copies {
            let bytes = fs::read(copy).unwrap();
            // The header holds the journal's mode and counters, which a repair changes just before it swaps the files: one
            // that is killed there leaves the old file with another header.
            let header = bytes.len().min(HEADER_BYTES);
            let is_same = of.get(header..bytes.len()) == Some(&bytes[header..]);
            assert!(
                is_same,
                "{} is not the file that it is a copy of",
                copy.display()
            );
            fs::remove_file(copy).unwrap();
            let _ = fs::remove_file(format!("{}-wal", copy.display()));
        }
        copies.len()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) async fn node(folder: &Folder) -> Topics {
    let broker = SqliteBroker::open(folder.log()).unwrap();
    Topics::with(broker).await.unwrap()
}

/// Publishes events that say their number to the topic `t`; their ids.
pub(super) async fn publish(topics: &Topics, numbers: RangeInclusive<u64>) -> Vec<String> {
    let topic = topics.topic("t").unwrap();
    let mut published = Vec::new();
    for number in numbers {
        let event = ServerSentEvent::text(format!("event {number}."));
        published.push(topic.publish(&event).unwrap());
    }
    let mut ids = Vec::new();
    for publish in published {
        ids.push(publish.await.unwrap().to_string());
    }
    ids
}

/// Makes a log of this number of events and closes it. Returns their ids.
pub(super) async fn whole_log(folder: &Folder, count: u64) -> Vec<String> {
    let topics = node(folder).await;
    let ids = publish(&topics, 1..=count).await;
    topics.close().await.unwrap();
    ids
}

/// Changes these bytes, also in what the file no longer uses.
pub(super) fn change(path: &Path, found: &[u8], new: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let windows = bytes.windows(found.len()).enumerate();
    let places = windows.filter(|(_, window)| *window == found);
    let places: Vec<_> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "{found:?} is there");
    for place in places {
        bytes[place..place + new.len()].copy_from_slice(new);
    }
    fs::write(path, bytes).unwrap();
}

/// Overwrites the page on which these bytes stand.
pub(super) fn damaged_at(path: &Path, found: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes
        .windows(found.len())
        .position(|window| window == found);
    let page = place.unwrap() / PAGE * PAGE;
    bytes[page..page + PAGE].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

/// What stands in the index over topics for a record of `t` with a number below 128: header, name, number.
pub(super) fn entry(number: u8) -> Vec<u8> {
    let kind = if number == 1 { 9 } else { 1 };
    let mut entry = vec![3, 15, kind, b't'];
    entry.extend((number != 1).then_some(number));
    entry
}

/// Writes to the tables as nothing but damage would: uncounted by the triggers.
pub(super) fn sql(path: &Path, statement: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let guarded =
        format!("UPDATE guard SET is_ours = 1; {statement}; UPDATE guard SET is_ours = 0");
    connection.execute_batch(&guarded).unwrap();
}

/// The number of an event, or a gap with what is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Event(u64),
    Damaged(Option<u64>),
}

pub(super) fn events(numbers: RangeInclusive<u64>) -> impl Iterator<Item = Got> {
    numbers.map(Got::Event)
}

/// The next event or gap.
pub(super) async fn next(reader: &mut Subscription) -> Got {
    let next = within(TEST_TIMEOUT, reader.next()).await;
    match next.expect("something comes").unwrap() {
        Delivery::Event(frame) => {
            let text = String::from_utf8(frame.bytes().to_vec()).unwrap();
            let number = text.split_once("event ").unwrap().1;
            Got::Event(number.split_once('.').unwrap().0.parse().unwrap())
        }
        Delivery::Gap(gap) => {
            assert_eq!(gap.reason(), GapReason::Damaged);
            Got::Damaged(gap.lost())
        }
        other => panic!("{other:?}"),
    }
}

pub(super) async fn got(reader: &mut Subscription, count: usize) -> Vec<Got> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(next(reader).await);
    }
    all
}

/// The first events and gaps from the start, this number of them.
pub(super) async fn read_all(folder: &Folder, count: usize) -> Vec<Got> {
    let topics = node(folder).await;
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().from_start().open().unwrap();
    let got = got(&mut reader, count).await;
    topics.close().await.unwrap();
    got
}

/// Everything from the start up to this event.
pub(super) async fn read_to(folder: &Folder, last: u64) -> Vec<Got> {
    let topics = node(folder).await;
    let topic = topics.topic("t").unwrap();
    let mut reader = topic.subscribe().from_start().open().unwrap();
    let mut all = Vec::new();
    while all.last() != Some(&Got::Event(last)) {
        all.push(next(&mut reader).await);
    }
    topics.close().await.unwrap();
    all
}
