//! [`check`]: reads a whole log and tells what is wrong with it. It writes nothing, and a server may have the log open.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::error::OpenError;
use crate::failure::Failure;
use crate::salvage::{self, Row};
use crate::schema;
use crate::verify::{LogRow, log_row};

/// Problems that are listed; those beyond are counted.
const MAX_PROBLEMS: usize = 100;
/// After so many records the caller is told how far it is.
const RECORDS_PER_STEP: u64 = 10_000;
/// Records that may be missing at the end before the log's own number is no longer believed.
const MAX_MISSING_AT_END: u64 = 1_000_000;

/// What [`check`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Records that are whole.
    pub records: u64,
    /// Topics that have a record.
    pub topics: u64,
    /// Records that an earlier repair found lost. Readers are told a gap over each.
    pub lost: u64,
    /// What is wrong, in the order of the log; at most 100 of them.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// One thing that is wrong with a log. Its `Display` says it for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file's pages or indexes make no sense; the text is SQLite's.
    File(String),
    /// The log's own row, which says where it begins and ends.
    Log(String),
    /// A record is not what was written.
    Damaged {
        /// Where it stands.
        offset: u64,
        /// Whose it was, as far as the record itself says.
        topic: Option<Arc<str>>,
    },
    /// A record is not there, though those around it are.
    Missing {
        /// Where it stood.
        offset: u64,
    },
    /// The table of topics does not name a topic's newest record.
    Topic {
        /// The topic.
        topic: Arc<str>,
        /// Its newest record.
        offset: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(text) => write!(f, "the file: {text}"),
            Self::Log(text) => write!(f, "the log's own row: {text}"),
            Self::Damaged {
                offset,
                topic: Some(topic),
            } => write!(f, "record {offset} of topic {topic:?} is damaged"),
            Self::Damaged {
                offset,
                topic: None,
            } => write!(f, "record {offset} is damaged"),
            Self::Missing { offset } => write!(f, "record {offset} is missing"),
            Self::Topic { topic, offset } => write!(
                f,
                "the table of topics does not know record {offset} as the newest of topic {topic:?}"
            ),
        }
    }
}

/// Reads the whole log at `path` and tells what is wrong with it. `progress` is told how many records of how many were
/// read, now and then.
///
/// ```no_run
/// let report = bellwether_sqlite::check("events.db", &mut |_, _| {})?;
/// for problem in &report.problems {
///     println!("{problem}");
/// }
/// # Ok::<(), bellwether_sqlite::OpenError>(())
/// ```
///
/// # Errors
///
/// There is no such file, it is no log, or it cannot be read at all.
pub fn check(
    path: impl AsRef<Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, OpenError> {
    let path = path.as_ref();
    let connection = schema::open_for_check(path)?;
    Ok(look_through(&connection, progress))
}

pub(crate) fn look_through(connection: &Connection, progress: &mut dyn FnMut(u64, u64)) -> Report {
    let mut report = Report::default();
    if let Err(failure) = look_at_pages(connection, &mut report) {
        report.add(Problem::File(failure.message));
    }
    let bounds = bounds(connection);
    if let Err(failure) = &bounds.log {
        report.add(Problem::Log(failure.message.clone()));
    }
    let mut newest: HashMap<Arc<str>, u64> = HashMap::new();
    let mut not_whole = HashSet::new();
    for offset in bounds.first..=bounds.last {
        match salvage::row(connection, offset) {
            Row::Whole { record, .. } => {
                report.records += 1;
                newest.insert(record.topic, offset);
                continue;
            }
            Row::Lost(_) => report.lost += 1,
            Row::Damaged(remains) => report.add(Problem::Damaged {
                offset,
                topic: remains.topic,
            }),
            Row::Unreadable => report.add(Problem::Damaged {
                offset,
                topic: None,
            }),
            Row::Missing => report.add(Problem::Missing { offset }),
        }
        not_whole.insert(offset);
        if offset.is_multiple_of(RECORDS_PER_STEP) {
            progress(offset - bounds.first, bounds.last - bounds.first + 1);
        }
    }
    report.topics = newest.len() as u64;
    look_at_topics(connection, &newest, &not_whole, &mut report);
    report
}

/// The offsets that a log has.
pub(crate) struct Bounds {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) log: Result<LogRow, Failure>,
}

/// From where to where records are to be looked for: as the log's row says, and as far as the table goes.
pub(crate) fn bounds(connection: &Connection) -> Bounds {
    let log = log_row(connection);
    let first = connection.query_row("SELECT min(offset) FROM records", (), |row| row.get(0));
    let first: Option<u64> = first.ok().flatten();
    let last = salvage::last(connection);
    let (floor, head) = match &log {
        Ok(log) => (Some(log.floor), Some(log.head)),
        Err(_) => (None, None),
    };
    let last = match (last, head) {
        (Some(last), Some(head)) if head.saturating_sub(last) > MAX_MISSING_AT_END => last,
        (last, head) => last.max(head).unwrap_or(0),
    };
    let first = floor.map(|floor| floor + 1).into_iter().chain(first).min();
    Bounds {
        first: first.unwrap_or(1),
        last,
        log,
    }
}

fn look_at_pages(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            report.add(Problem::File(text));
        }
    }
    Ok(())
}

fn look_at_topics(
    connection: &Connection,
    newest: &HashMap<Arc<str>, u64>,
    not_whole: &HashSet<u64>,
    report: &mut Report,
) {
    let (topics, failure) = salvage::topics(connection);
    if let Some(failure) = failure {
        report.add(Problem::File(failure.message));
    }
    for (topic, offset) in newest {
        // A newer one may be known, and damaged.
        let is_known = topics.get(topic).is_some_and(|(known, _)| {
            known == offset || known > offset && not_whole.contains(known)
        });
        if !is_known {
            report.add(Problem::Topic {
                topic: topic.clone(),
                offset: *offset,
            });
        }
    }
}
