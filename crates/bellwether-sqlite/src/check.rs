//! [`check`](fn@check): reads a log's whole file and reports what is wrong with it. It changes nothing.

pub(crate) mod examine;
mod index;
mod problem;

use std::path::Path;
use std::sync::Arc;

use bellwether_topics::Epoch;
use rusqlite::Connection;

pub use self::problem::Problem;
use crate::error::{Kind, OpenError};
use crate::schema::{self, FileContent};

/// The most problems that a report lists; the others are counted.
pub(crate) const MAX_LISTED: usize = 10_000;

/// What a check of a log's whole file has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The log's epoch, zero if it cannot be read.
    pub epoch: Epoch,
    /// Every record up to here was removed by retention.
    pub floor: u64,
    /// The last record.
    pub head: u64,
    /// The number of records that are what was written.
    pub records: u64,
    /// The number of topics of these records.
    pub topics: u64,
    /// The number of records that an earlier repair has put aside. Their readers get a gap, so they are no problem.
    pub put_aside: u64,
    /// The first 10,000 problems.
    pub problems: Vec<Problem>,
    /// The number of further problems.
    pub unlisted: u64,
}

impl Report {
    /// Whether there is no problem.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        match self.problems.len() < MAX_LISTED {
            true => self.problems.push(problem),
            false => self.unlisted += 1,
        }
    }
}

/// How far a check or a repair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The step under way, in words: `reading records`.
    pub step: &'static str,
    /// The number of records that this step has read.
    pub done: u64,
    /// The number of records that this step must read; zero if it is not known.
    pub of: u64,
}

/// Called with the [`Progress`] every few thousand records.
pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// Reads the log in this file and reports what is wrong. It checks each record by its checksum, the index over topics
/// against the records, and the log's own counters.
///
/// The check only reads, in one snapshot, so a server may have the file open. Meanwhile the file's `-wal` grows by what
/// the server writes. A gigabyte takes some seconds. Each topic and each damaged record takes memory.
///
/// ```
/// use bellwether_sqlite::{SqliteBroker, check};
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// # let path = std::env::temp_dir().join(format!("bellwether-check-{}.db", std::process::id()));
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let topics = Topics::with(SqliteBroker::open(&path)?).await?;
/// topics.topic("news")?.publish(&ServerSentEvent::text("hello"))?.await?;
/// let report = check(&path, |_| ())?;
/// assert!(report.is_sound());
/// assert_eq!((report.records, report.topics), (1, 1));
/// # topics.close().await?;
/// # for end in ["", "-wal", "-shm", "-lock"] {
/// #     let mut name = path.clone().into_os_string();
/// #     name.push(end);
/// #     let _ = std::fs::remove_file(name);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The file cannot be read as a log: it is missing or has another version ([`OpenError::is_unusable`],
/// [`is_newer`](OpenError::is_newer)), belongs to another program ([`is_not_ours`](OpenError::is_not_ours)), or SQLite
/// itself refuses it ([`is_damaged`](OpenError::is_damaged)).
pub fn check(
    path: impl AsRef<Path>,
    mut on_progress: impl FnMut(Progress),
) -> Result<Report, OpenError> {
    let path = path.as_ref();
    let connection = open(path)?;
    let examined = examine::examine(&connection, &mut on_progress);
    Ok(examined
        .map_err(|error| schema::failed(path, error))?
        .report)
}

/// Opens a file that holds a log of this version, for reading.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(OpenError::unusable(path, "it is a folder; name a file"));
        }
        Ok(_) => {}
        Err(error) => {
            let found = "the file cannot be read, or is not there";
            return Err(OpenError::unusable(path, found).with_source(error));
        }
    }
    schema::check_first_bytes(path)?;
    let connection = schema::open_for_check(path).map_err(|error| schema::failed(path, error))?;
    let damaged = |found: &str| {
        let found = found.to_owned();
        OpenError::new(path, Kind::Damaged { found })
    };
    match schema::check_header(path, &connection)? {
        FileContent::Nothing => Err(OpenError::unusable(path, "the file is empty")),
        FileContent::First => Err(OpenError::unusable(
            path,
            "its schema has version 1, which a server brings up to date when it opens the file; start one, then ask again",
        )),
        FileContent::Present => {
            let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('log', 'records', 'keys', 'topics', 'guard')";
            match connection.query_row(tables, (), |row| row.get(0)) {
                Ok(5_i64) => Ok(connection),
                Ok(_) => Err(damaged("tables are missing")),
                Err(error) => Err(schema::failed(path, error.into())),
            }
        }
    }
}

/// The name of a topic, as far as it is known.
pub(crate) type Name = Option<Arc<str>>;
