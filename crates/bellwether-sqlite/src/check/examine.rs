//! One pass through a log's file, in one snapshot: what is whole, what is damaged and whose that was.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bellwether_topics::Epoch;
use rusqlite::{Connection, OptionalExtension};

use super::{Name, Problem, Progress, Report, Tell, index};
use crate::failure::{Failure, Reason};
use crate::read::SIZE;
use crate::record::Previous;
use crate::rows::{self, Found, State};
use crate::schema;
use crate::verify::MAX_MISSING;

/// How often progress is told.
const EVERY: u64 = 4096;

/// What was found, for a report and for a repair.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) report: Report,
    pub(crate) noted: Noted,
    /// The damaged records by their place.
    pub(crate) bad: BTreeMap<u64, Bad>,
    /// Whether the table of topics can be believed about what is gone.
    pub(crate) topics_are_right: bool,
    /// Whether the numbers of the log give its records their places: else it needs a new epoch.
    pub(crate) is_placed: bool,
}

/// A damaged record.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    pub(crate) topic: Name,
    pub(crate) tag: u32,
    is_missing: bool,
}

/// What the row of the table `log` says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noted {
    pub(crate) epoch: Option<i64>,
    pub(crate) head: Option<u64>,
    pub(crate) floor: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) at: Option<u64>,
    pub(crate) forgotten_to: Option<u64>,
}

/// Reads everything. Only what has nothing to do with the file's content fails.
pub(crate) fn examine(connection: &Connection, tell: Tell<'_>) -> Result<Examined, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let noted = noted(connection)?;
    let mut pages = Vec::new();
    tell(Progress {
        step: "reading pages",
        done: 0,
        of: 0,
    });
    match schema::structure(connection) {
        Ok(found) => pages = found,
        Err(error) => pages.push(tolerated(error.into())?),
    }
    let mut walk = Walk::new(noted);
    for found in pages {
        walk.report.add(Problem::Pages { found });
    }
    walk.bounds(connection)?;
    walk.records(connection, tell)?;
    let topics_are_right = walk.topics(connection)?;
    index::compare(connection, &mut walk, tell)?;
    walk.damage();
    walk.counters(connection)?;
    walk.keys(connection)?;
    snapshot.finish()?;
    walk.report.topics = walk.newest.len() as u64;
    Ok(Examined {
        report: walk.report,
        noted,
        bad: walk.bad,
        topics_are_right,
        is_placed: walk.is_placed,
    })
}

/// The words of an error that the file's content is to blame for; others are passed on.
pub(super) fn tolerated(failure: Failure) -> Result<String, Failure> {
    match failure.reason {
        Reason::Damaged => Ok(failure.in_words()),
        _ => Err(failure),
    }
}

fn noted(connection: &Connection) -> Result<Noted, Failure> {
    let sql = "SELECT epoch, head, floor, bytes, at, forgotten_to FROM log LIMIT 1";
    let row = connection.query_row(sql, (), |row| {
        Ok(Noted {
            epoch: row.get(0).ok(),
            head: row.get(1).ok(),
            floor: row.get(2).ok(),
            bytes: row.get(3).ok(),
            at: row.get(4).ok(),
            forgotten_to: row.get(5).ok(),
        })
    });
    match row.optional().map_err(Failure::from) {
        Ok(noted) => Ok(noted.unwrap_or_default()),
        Err(failure) => tolerated(failure).map(|_| Noted::default()),
    }
}

/// The pass under way.
pub(super) struct Walk {
    pub(super) report: Report,
    noted: Noted,
    pub(super) bad: BTreeMap<u64, Bad>,
    /// The newest record of each topic, and its tag.
    newest: HashMap<Arc<str>, (u64, u32)>,
    /// Of all whole records: topic and place, in a form that forgets their order.
    pub(super) sum: u64,
    is_placed: bool,
}

impl Walk {
    fn new(noted: Noted) -> Self {
        let epoch = Epoch(noted.epoch.unwrap_or_default().cast_unsigned());
        Self {
            report: Report {
                epoch,
                floor: noted.floor.unwrap_or_default(),
                head: noted.head.unwrap_or_default(),
                records: 0,
                topics: 0,
                put_aside: 0,
                problems: Vec::new(),
                unlisted: 0,
            },
            noted,
            bad: BTreeMap::new(),
            newest: HashMap::new(),
            sum: 0,
            is_placed: true,
        }
    }

    /// Holds the log's ends against the rows that are there.
    fn bounds(&mut self, connection: &Connection) -> Result<(), Failure> {
        let whole = |sql: &str, from: u64| -> Result<Option<u64>, Failure> {
            let sql = format!("SELECT {} FROM records {sql}", rows::COLUMNS);
            let mut statement = connection.prepare(&sql)?;
            let mut found = statement.query([from])?;
            while let Some(row) = found.next()? {
                let found = rows::checked(row)?;
                if found.state != State::Damaged {
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
        let head = self.noted.head.filter(|head| match last {
            Some(last) => last <= *head && head - last <= MAX_MISSING,
            None => *head <= MAX_MISSING || self.noted.floor == Some(*head),
        });
        let floor = self.noted.floor.filter(|floor| match first {
            Some(first) => *floor < first && first - floor <= MAX_MISSING + 1,
            None => head.is_some_and(|head| *floor <= head),
        });
        self.report.head = head.or(last).unwrap_or_default();
        self.report.floor = floor
            .or(first.map(|first| first - 1))
            .unwrap_or(self.report.head);
        self.is_placed = head.is_some() && floor.is_some() && self.noted.epoch.is_some();
        for (name, noted, expected, is_right) in [
            ("head", self.noted.head, self.report.head, head.is_some()),
            (
                "floor",
                self.noted.floor,
                self.report.floor,
                floor.is_some(),
            ),
        ] {
            if !is_right {
                self.counter(name, noted, expected);
            }
        }
        if self.noted.epoch.is_none() {
            self.counter("epoch", None::<u64>, "a number");
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &'static str,
        noted: Option<u64>,
        expected: impl std::fmt::Display,
    ) {
        self.report.add(Problem::Counter {
            name,
            noted: noted.map_or("nothing".into(), |noted| noted.to_string()),
            expected: expected.to_string(),
        });
    }

    fn records(&mut self, connection: &Connection, tell: Tell<'_>) -> Result<(), Failure> {
        let (floor, head) = (self.report.floor, self.report.head);
        salvage(connection, floor + 1, head, |found| {
            if found.offset() % EVERY == 0 {
                tell(Progress {
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

    fn record(&mut self, found: &Found) {
        let (offset, record) = (found.offset(), &found.record);
        match found.state {
            State::PutAside => {
                self.report.put_aside += 1;
                self.sum = self.sum.wrapping_add(index::mark(&record.topic, offset));
            }
            State::Damaged => {
                let bad = Bad {
                    topic: None,
                    tag: record.tag,
                    is_missing: found.is_missing,
                };
                self.bad.insert(offset, bad);
                return;
            }
            State::Whole => {
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

    fn chain(&mut self, found: &Found, previous: Previous) {
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

    /// Gives a damaged record to the topic that names it, if there is such a record after the topic's `last`.
    fn claim(&mut self, at: u64, tag: Option<u32>, topic: &Arc<str>, last: Option<u64>) -> bool {
        if last.is_some_and(|last| at <= last) {
            return false;
        }
        let Some(bad) = self.bad.get_mut(&at) else {
            return false;
        };
        bad.topic.get_or_insert_with(|| topic.clone());
        bad.tag = tag.unwrap_or(bad.tag);
        true
    }

    /// Holds the table of topics against the records; tells whether it is right.
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
            let noted = offset.zip(tag);
            let claims = offset.is_some_and(|at| self.claim(at, tag, &topic, last));
            let fits = match (noted, newest) {
                (Some(noted), Some(newest)) => noted == newest,
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

    /// Tells the damaged records, now that everything was heard about them.
    fn damage(&mut self) {
        for (offset, bad) in &self.bad {
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
        if self.noted.forgotten_to.is_none_or(|to| to > floor) && self.is_placed {
            self.counter(
                "forgotten_to",
                self.noted.forgotten_to,
                format!("at most {floor}"),
            );
        }
        // What is damaged may have counted anything.
        if !self.report.is_sound() {
            return Ok(());
        }
        let sql = format!("SELECT coalesce(sum({SIZE}), 0), coalesce(max(at), 0) FROM records");
        let (bytes, at): (u64, u64) =
            connection.query_row(&sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if self.noted.bytes != Some(bytes) {
            self.counter("bytes", self.noted.bytes, bytes);
        }
        if self.noted.at.is_none_or(|noted| noted < at) {
            self.counter("at", self.noted.at, format!("at least {at}"));
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
            let is_gone = offset <= self.report.floor || self.bad.contains_key(&offset);
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

/// Shows one record for each number, also where pages cannot be read.
pub(crate) fn salvage(
    connection: &Connection,
    first: u64,
    last: u64,
    mut show: impl FnMut(Found),
) -> Result<(), Failure> {
    let mut next = first;
    while next <= last {
        let walked = rows::walk(connection, next, last, u64::MAX, |found| {
            next = found.offset() + 1;
            show(found);
            true
        });
        if let Err(failure) = walked {
            tolerated(failure)?;
            if next > last {
                break;
            }
            show(rows::at(connection, next).unwrap_or_else(|_| Found::missing(next)));
            next += 1;
        }
    }
    Ok(())
}
