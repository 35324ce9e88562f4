//! [`check`](fn@check): reads a log's whole file and says what is wrong with it. It changes nothing.

pub(crate) mod examine;
mod index;
mod problem;

use std::path::Path;
use std::sync::Arc;

use bellwether_topics::Epoch;
use rusqlite::Connection;

pub use self::problem::Problem;
use crate::error::{Kind, OpenError};
use crate::schema::{self, Found};

/// The most problems that a report lists; the others are counted.
pub(crate) const MAX_LISTED: usize = 10_000;

/// What a look through a log's whole file has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The log's epoch, zero if it cannot be read.
    pub epoch: Epoch,
    /// Every record up to here was removed by retention.
    pub floor: u64,
    /// The last record.
    pub head: u64,
    /// How many records are what was written.
    pub records: u64,
    /// How many topics they are of.
    pub topics: u64,
    /// Places of records that an earlier repair has put aside. Their readers are told a gap, so they are no problem.
    pub put_aside: u64,
    /// What is wrong, the first ten thousand.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub unlisted: u64,
}

impl Report {
    /// Whether nothing is wrong.
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

/// How far a look at a file, or a repair, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, for people: `reading records`.
    pub step: &'static str,
    /// How many records were dealt with in this step.
    pub done: u64,
    /// Of how many; zero if it is not known.
    pub of: u64,
}

/// Told about [`Progress`] every few thousand records.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Progress);

/// Reads the log in this file and says what is wrong: each record by its checksum, the index over topics against the
/// records, the numbers that the log keeps of itself.
///
/// It only reads, in one snapshot, so a server may have the file open. Meanwhile the file's `-wal` grows by what the server
/// writes. A gigabyte takes some seconds, and memory for each topic and each damaged record.
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
/// The file cannot be read as a log: it is not there or not ours ([`OpenError::is_not_ours`]), of another version, or SQLite
/// itself refuses it ([`OpenError::is_damaged`]).
pub fn check(path: impl AsRef<Path>, mut tell: impl FnMut(Progress)) -> Result<Report, OpenError> {
    let path = path.as_ref();
    let connection = open(path)?;
    let examined = examine::examine(&connection, &mut tell);
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
    let connection = schema::open_to_look(path).map_err(|error| schema::failed(path, error))?;
    let damaged = |found: &str| {
        let found = found.to_owned();
        OpenError::new(path, Kind::Damaged { found })
    };
    match schema::check_header(path, &connection)? {
        Found::Nothing => Err(OpenError::unusable(path, "the file is empty")),
        Found::First => Err(OpenError::unusable(
            path,
            "its schema has version 1, which a server brings up to date when it opens the file; start one, then ask again",
        )),
        Found::Present => {
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
