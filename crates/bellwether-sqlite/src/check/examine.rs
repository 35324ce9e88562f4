//! One pass through a log's file, in one snapshot: which records are whole, which are damaged, and of which topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bellwether_topics::Epoch;
use rusqlite::{Connection, OptionalExtension};

use super::{Name, OnProgress, Problem, Progress, Report, index};
use crate::failure::{Failure, Reason};
use crate::read::SIZE;
use crate::record::Previous;
use crate::rows::{self, CheckedRow, RowState};
use crate::schema;
use crate::verify::MAX_MISSING;

/// The number of records between two reports of progress.
const PROGRESS_INTERVAL: u64 = 4096;

/// What was found, for a report and for a repair.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) report: Report,
    pub(crate) stored: StoredCounters,
    /// The damaged records by their offset.
    pub(crate) damaged: BTreeMap<u64, DamagedRecord>,
    /// Whether the table of topics is right about what was removed.
    pub(crate) topics_are_right: bool,
    /// Whether the log's counters are consistent with its records; if not, it needs a new epoch.
    pub(crate) is_placed: bool,
}

/// A damaged record.
#[derive(Clone, Debug)]
pub(crate) struct DamagedRecord {
    pub(crate) topic: Name,
    pub(crate) tag: u32,
    is_missing: bool,
}

/// The row of the table `log`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoredCounters {
    pub(crate) epoch: Option<i64>,
    pub(crate) head: Option<u64>,
    pub(crate) floor: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) at: Option<u64>,
    pub(crate) forgotten_to: Option<u64>,
}

/// Reads the whole file. Fails only for a reason other than the file's content.
pub(crate) fn examine(
    connection: &Connection,
    on_progress: OnProgress<'_>,
) -> Result<Examined, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let stored = stored(connection)?;
    let mut pages = Vec::new();
    on_progress(Progress {
        step: "reading pages",
        done: 0,
        of: 0,
    });
    match schema::structure(connection) {
        Ok(found) => pages = found,
        Err(error) => pages.push(tolerated(error.into())?),
    }
    let mut examination = Examination::new(stored);
    for found in pages {
        examination.report.add(Problem::Pages { found });
    }
    examination.bounds(connection)?;
    examination.records(connection, on_progress)?;
    let topics_are_right = examination.topics(connection)?;
    index::compare(connection, &mut examination, on_progress)?;
    examination.damage();
    examination.counters(connection)?;
    examination.keys(connection)?;
    snapshot.finish()?;
    examination.report.topics = examination.newest.len() as u64;
    Ok(Examined {
        report: examination.report,
        stored,
        damaged: examination.damaged,
        topics_are_right,
        is_placed: examination.is_placed,
    })
}

/// The text of an error that comes from the file's content. Other errors are returned.
pub(super) fn tolerated(failure: Failure) -> Result<String, Failure> {
    match failure.reason {
        Reason::Damaged => Ok(failure.to_text()),
        _ => Err(failure),
    }
}

fn stored(connection: &Connection) -> Result<StoredCounters, Failure> {
    let sql = "SELECT epoch, head, floor, bytes, at, forgotten_to FROM log LIMIT 1";
    let row = connection.query_row(sql, (), |row| {
        Ok(StoredCounters {
            epoch: row.get(0).ok(),
            head: row.get(1).ok(),
            floor: row.get(2).ok(),
            bytes: row.get(3).ok(),
            at: row.get(4).ok(),
            forgotten_to: row.get(5).ok(),
        })
    });
    match row.optional().map_err(Failure::from) {
        Ok(stored) => Ok(stored.unwrap_or_default()),
        Err(failure) => tolerated(failure).map(|_| StoredCounters::default()),
    }
}

/// The state of a pass.
pub(super) struct Examination {
    pub(super) report: Report,
    stored: StoredCounters,
    pub(super) damaged: BTreeMap<u64, DamagedRecord>,
    /// The newest record of each topic, and its tag.
    newest: HashMap<Arc<str>, (u64, u32)>,
    /// The sum of the marks of all whole records, which does not depend on their order.
    pub(super) sum: u64,
    is_placed: bool,
}

impl Examination {
    fn new(stored: StoredCounters) -> Self {
        let epoch = Epoch(stored.epoch.unwrap_or_default().cast_unsigned());
        Self {
            report: Report {
                epoch,
                floor: stored.floor.unwrap_or_default(),
                head: stored.head.unwrap_or_default(),
                records: 0,
                topics: 0,
                put_aside: 0,
                problems: Vec::new(),
                unlisted: 0,
            },
            stored,
            damaged: BTreeMap::new(),
            newest: HashMap::new(),
            sum: 0,
            is_placed: true,
        }
    }

    /// Compares the log's ends with the rows of the table.
    fn bounds(&mut self, connection: &Connection) -> Result<(), Failure> {
        let whole = |sql: &str, from: u64| -> Result<Option<u64>, Failure> {
            let sql = format!("SELECT {} FROM records {sql}", rows::COLUMNS);
            let mut statement = connection.prepare(&sql)?;
            let mut found = statement.query([from])?;
            while let Some(row) = found.next()? {
                let found = rows::checked(row)?;
                if found.state != RowState::Damaged {
                    return Ok(Some(found.offset()));
                }
            }
            Ok(None)
        };
        let whole = |sql: &str, from: u64| match whole(sql, from) {
            Ok(found) => Ok(found),
            Err(failure) => tolerated(failure).map(|_| None),
        };
        let last = whole("WHERE offset >= ?1 ORDER BY offset DESC", 0)?;
        let first = whole("WHERE offset >= ?1 ORDER BY offset", 0)?;
        let head = self.stored.head.filter(|head| match last {
            Some(last) => last <= *head && head - last <= MAX_MISSING,
            None => *head <= MAX_MISSING || self.stored.floor == Some(*head),
        });
        let floor = self.stored.floor.filter(|floor| match first {
            Some(first) => *floor < first && first - floor <= MAX_MISSING + 1,
            None => head.is_some_and(|head| *floor <= head),
        });
        self.report.head = head.or(last).unwrap_or_default();
        self.report.floor = floor
            .or(first.map(|first| first - 1))
            .unwrap_or(self.report.head);
        self.is_placed = head.is_some() && floor.is_some() && self.stored.epoch.is_some();
        for (name, stored, expected, is_right) in [
            ("head", self.stored.head, self.report.head, head.is_some()),
            (
                "floor",
                self.stored.floor,
                self.report.floor,
                floor.is_some(),
            ),
        ] {
            if !is_right {
                self.counter(name, stored, expected);
            }
        }
        if self.stored.epoch.is_none() {
            self.counter("epoch", None::<u64>, "a number");
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &'static str,
        stored: Option<u64>,
        expected: impl std::fmt::Display,
    ) {
        self.report.add(Problem::Counter {
            name,
            noted: stored.map_or("nothing".into(), |stored| stored.to_string()),
            expected: expected.to_string(),
        });
    }

    fn records(
        &mut self,
        connection: &Connection,
        on_progress: OnProgress<'_>,
    ) -> Result<(), Failure> {
        let (floor, head) = (self.report.floor, self.report.head);
        salvage(connection, floor + 1, head, |found| {
            if found.offset() % PROGRESS_INTERVAL == 0 {
                on_progress(Progress {
                    step: "reading records",
                    done: found.offset() - floor,
                    of: head - floor,
                });
            }
            self.record(&found);
        })?;
        let sql = "SELECT offset FROM records WHERE offset <= ?1 OR offset > ?2";
        let strays = connection.prepare(sql).and_then(|mut statement| {
            let offsets = statement.query_map([floor, head], |row| row.get::<_, i64>(0))?;
            offsets.collect::<Result<Vec<_>, _>>()
        });
        match strays.map_err(Failure::from) {
            Ok(strays) => strays.into_iter().for_each(|offset| {
                let offset = offset.cast_unsigned();
                self.report.add(Problem::Stray { offset });
            }),
            Err(failure) => {
                tolerated(failure)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, found: &CheckedRow) {
        let (offset, record) = (found.offset(), &found.record);
        match found.state {
            RowState::PutAside => {
                self.report.put_aside += 1;
                self.sum = self.sum.wrapping_add(index::mark(&record.topic, offset));
            }
            RowState::Damaged => {
                let bad = DamagedRecord {
                    topic: None,
                    tag: record.tag,
                    is_missing: found.is_missing,
                };
                self.damaged.insert(offset, bad);
                return;
            }
            RowState::Whole => {
                self.report.records += 1;
                self.sum = self.sum.wrapping_add(index::mark(&record.topic, offset));
                if let Some(previous) = found.previous {
                    self.chain(found, previous);
                }
            }
        }
        self.newest
            .insert(record.topic.clone(), (offset, record.tag));
    }

    fn chain(&mut self, found: &CheckedRow, previous: Previous) {
        let topic = &found.record.topic;
        let last = self.newest.get(topic).map(|(offset, _)| *offset);
        if self.claim(previous.offset, previous.tag, topic, last) {
            return;
        }
        let is_right = match last {
            Some(last) => previous.offset == last,
            None => previous.offset <= self.report.floor,
        };
        if !is_right {
            let (offset, topic) = (found.offset(), topic.clone());
            self.report.add(Problem::Chain { offset, topic });
        }
    }

    /// Assigns a damaged record to the topic that names it, if there is such a record after the topic's `last`.
    fn claim(&mut self, at: u64, tag: Option<u32>, topic: &Arc<str>, last: Option<u64>) -> bool {
        if last.is_some_and(|last| at <= last) {
            return false;
        }
        let Some(bad) = self.damaged.get_mut(&at) else {
            return false;
        };
        bad.topic.get_or_insert_with(|| topic.clone());
        bad.tag = tag.unwrap_or(bad.tag);
        true
    }

    /// Compares the table of topics with the records. Returns whether the table is right.
    fn topics(&mut self, connection: &Connection) -> Result<bool, Failure> {
        let read = connection
            .prepare("SELECT topic, offset, tag FROM topics")
            .and_then(|mut statement| {
                let rows = statement.query_map((), |row| {
                    let (offset, tag) = (row.get(1).ok(), row.get(2).ok());
                    Ok((index::text(row.get_ref(0)?), offset, tag))
                })?;
                rows.collect::<Result<Vec<(Arc<str>, Option<u64>, Option<u32>)>, _>>()
            });
        let listed = match read.map_err(Failure::from) {
            Ok(listed) => listed,
            Err(failure) => {
                tolerated(failure)?;
                return Ok(false);
            }
        };
        let mut is_right = true;
        let mut unlisted = self.newest.clone();
        for (topic, offset, tag) in listed {
            let newest = unlisted.remove(&topic);
            let last = newest.map(|(offset, _)| offset);
            let stored = offset.zip(tag);
            let claims = offset.is_some_and(|at| self.claim(at, tag, &topic, last));
            let fits = match (stored, newest) {
                (Some(stored), Some(newest)) => stored == newest,
                (Some((offset, _)), None) => offset <= self.report.floor,
                (None, _) => false,
            };
            if !claims && !fits {
                is_right = false;
                self.report.add(Problem::Newest { topic });
            }
        }
        for (topic, _) in unlisted {
            is_right = false;
            self.report.add(Problem::Newest { topic });
        }
        Ok(is_right)
    }

    /// Reports the damaged records, after all other tables were read for their topics.
    fn damage(&mut self) {
        for (offset, bad) in &self.damaged {
            let problem = Problem::Record {
                offset: *offset,
                topic: bad.topic.clone(),
                is_missing: bad.is_missing,
            };
            self.report.add(problem);
        }
    }

    fn counters(&mut self, connection: &Connection) -> Result<(), Failure> {
        let floor = self.report.floor;
        if self.stored.forgotten_to.is_none_or(|to| to > floor) && self.is_placed {
            self.counter(
                "forgotten_to",
                self.stored.forgotten_to,
                format!("at most {floor}"),
            );
        }
        // A damaged record may have counted any number of bytes.
        if !self.report.is_sound() {
            return Ok(());
        }
        let sql = format!("SELECT coalesce(sum({SIZE}), 0), coalesce(max(at), 0) FROM records");
        let (bytes, at): (u64, u64) =
            connection.query_row(&sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if self.stored.bytes != Some(bytes) {
            self.counter("bytes", self.stored.bytes, bytes);
        }
        if self.stored.at.is_none_or(|stored| stored < at) {
            self.counter("at", self.stored.at, format!("at least {at}"));
        }
        Ok(())
    }

    fn keys(&mut self, connection: &Connection) -> Result<(), Failure> {
        let read = connection
            .prepare("SELECT topic, offset, tag FROM keys")
            .and_then(|mut statement| {
                let rows = statement.query_map((), |row| {
                    let offset = row.get(1).unwrap_or(u64::MAX);
                    Ok((index::text(row.get_ref(0)?), offset, row.get(2).ok()))
                })?;
                rows.collect::<Result<Vec<(Arc<str>, u64, Option<u32>)>, _>>()
            });
        let keys = match read.map_err(Failure::from) {
            Ok(keys) => keys,
            Err(failure) => return tolerated(failure).map(|_| ()),
        };
        for (topic, offset, tag) in keys {
            let is_gone = offset <= self.report.floor || self.damaged.contains_key(&offset);
            if is_gone || (offset <= self.report.head && is_of(connection, offset, &topic, tag)?) {
                continue;
            }
            self.report.add(Problem::Key { topic, offset });
        }
        Ok(())
    }
}

pub(crate) fn is_of(
    connection: &Connection,
    offset: u64,
    topic: &Arc<str>,
    tag: Option<u32>,
) -> Result<bool, Failure> {
    let found = rows::at(connection, offset)?;
    Ok(found.record.topic == *topic && Some(found.record.tag) == tag)
}

/// Calls back with one record for each number, also where pages cannot be read.
pub(crate) fn salvage(
    connection: &Connection,
    first: u64,
    last: u64,
    mut show: impl FnMut(CheckedRow),
) -> Result<(), Failure> {
    let mut next = first;
    while next <= last {
        let walked = rows::visit(connection, next, last, u64::MAX, |found| {
            next = found.offset() + 1;
            show(found);
            true
        });
        if let Err(failure) = walked {
            tolerated(failure)?;
            if next > last {
                break;
            }
            show(rows::at(connection, next).unwrap_or_else(|_| CheckedRow::missing(next)));
            next += 1;
        }
    }
    Ok(())
}
