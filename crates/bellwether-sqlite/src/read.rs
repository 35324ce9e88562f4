//! Pages: what readers take from the file, in one snapshot each.

use std::collections::BinaryHeap;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Page, Record};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::Failure;
use crate::record::{Previous, checksum};
use crate::topics;
use crate::verify::{LogRow, log_row};

/// What a record counts for retention, as [`record::size`](crate::record::size) says, in SQL.
pub(crate) const SIZE: &str = "2 * length(CAST(topic AS BLOB)) + length(event) + coalesce(length(CAST(conflation_key AS BLOB)), 0) + 48";

const COLUMNS: &str = "offset, tag, topic, conflation_key, checksum, event, previous, previous_tag";

/// The most records of a page, whatever is asked for.
const MAX_RECORDS: usize = 1 << 20;
/// The most records that a page is looked for in without the index.
const MAX_SCANNED: u64 = 16_384;

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: u64,
    pub(crate) topics: Option<Vec<Arc<str>>>,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

/// What was noticed of the index over topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Right,
    /// The page was read without it.
    Wrong,
}

/// Reads a page in one snapshot.
pub(crate) fn page(connection: &Connection, wanted: &Wanted) -> Result<(Page, Index), Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let log = log_row(connection)?;
    let mut collected = Collected {
        wanted,
        log: &log,
        records: Vec::new(),
        bytes: 0,
    };
    let index = match &wanted.topics {
        None => run(connection, &mut collected).map(|()| Index::Right)?,
        Some(topics) => some_topics(connection, topics, &mut collected)?,
    };
    let records = collected.records;
    let trimmed = match &wanted.topics {
        // Otherwise the anchor is there, and so is all that follows it.
        Some(topics) if wanted.from <= log.floor => {
            let lost = topics
                .iter()
                .map(|topic| topics::lost(connection, &log, topic));
            let lost: Vec<_> = lost.collect::<Result<_, _>>()?;
            lost.into_iter().max_by_key(|lost| lost.to)
        }
        _ => None,
    };
    snapshot.finish()?;
    let page = Page {
        epoch: log.epoch,
        floor: Offset::new(log.floor),
        head: Offset::new(log.head),
        records,
        trimmed,
    };
    Ok((page, index))
}

/// One record, which must be there.
fn record(connection: &Connection, offset: u64) -> Result<Found, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM records WHERE offset = ?1"))?;
    let found = statement.query_row([offset], |row| Ok(checked(row)));
    found.optional()?.ok_or_else(|| missing(offset))?
}

/// A record, and the one that it says came before it in its topic.
struct Found {
    record: Record,
    previous: Option<u64>,
}

/// A page under way.
struct Collected<'a> {
    wanted: &'a Wanted,
    log: &'a LogRow,
    records: Vec<Record>,
    bytes: usize,
}

impl Collected<'_> {
    /// Takes the next record; false if the page is full without it.
    fn take(&mut self, record: Record) -> bool {
        if record.offset.low() > self.wanted.from {
            let is_first = self.bytes == 0;
            self.bytes += record.event.len().max(1);
            if !is_first && self.bytes > self.wanted.max_bytes {
                return false;
            }
        }
        self.records.push(record);
        true
    }

    fn limit(&self) -> usize {
        self.wanted.max_records.clamp(2, MAX_RECORDS)
    }
}

/// Every record from `from` on. They are numbered without holes, so a missing one is noticed.
fn run(connection: &Connection, page: &mut Collected<'_>) -> Result<(), Failure> {
    let first = page.wanted.from.max(page.log.floor + 1);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM records WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![first, page.limit() as u64])?;
    let mut expected = first;
    while let Some(row) = rows.next()? {
        let record = checked(row)?.record;
        if record.offset.low() != expected {
            return Err(missing(expected));
        }
        expected += 1;
        if !page.take(record) {
            return Ok(());
        }
    }
    let is_complete = expected > page.log.head || page.records.len() >= page.limit();
    match is_complete {
        true => Ok(()),
        false => Err(missing(expected)),
    }
}

/// The record at `from`, and those of some topics after it.
fn some_topics(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<Index, Failure> {
    if by_index(connection, topics, page)? {
        return Ok(Index::Right);
    }
    page.records.clear();
    page.bytes = 0;
    by_scan(connection, topics, page)?;
    Ok(Index::Wrong)
}

/// By the index; false if it is wrong. Each record names the one before it in its topic, which shows that none is left out.
fn by_index(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<bool, Failure> {
    let from = page.wanted.from;
    if from > page.log.floor && from <= page.log.head {
        page.records.push(record(connection, from)?.record);
    }
    let room = page.limit() - page.records.len();
    // The smallest offsets of all topics: what is larger than so many found already is not looked for.
    let mut smallest: BinaryHeap<(u64, usize)> = BinaryHeap::new();
    let mut is_full = false;
    let mut statement = connection.prepare_cached(
        "SELECT offset FROM records WHERE topic = ?1 AND offset > ?2 AND offset < ?3 ORDER BY offset LIMIT ?4",
    )?;
    for (index, topic) in topics.iter().enumerate() {
        if topics[..index].contains(topic) {
            continue;
        }
        let below = match smallest.peek() {
            Some((largest, _)) if smallest.len() >= room => *largest,
            _ => i64::MAX.cast_unsigned(),
        };
        let mut rows = statement.query(params![&**topic, from, below, room as u64])?;
        while let Some(row) = rows.next()? {
            smallest.push((row.get(0)?, index));
            if smallest.len() > room {
                smallest.pop();
            }
        }
        is_full |= smallest.len() >= room;
    }
    let gone = from.max(page.log.floor);
    let mut last: Vec<Option<u64>> = vec![None; topics.len()];
    for (offset, index) in smallest.into_sorted_vec() {
        let Ok(Found {
            mut record,
            previous,
        }) = record(connection, offset)
        else {
            return Ok(false);
        };
        if record.is_damaged {
            // The index knows whose it was.
            record.topic = topics[index].clone();
        } else if record.topic != topics[index] {
            return Ok(false);
        } else if let Some(previous) = previous {
            let follows = match last[index] {
                Some(last) => previous == last,
                None => previous <= gone,
            };
            if !follows {
                return Ok(false);
            }
        }
        if !page.take(record) {
            is_full = true;
            break;
        }
        last[index] = Some(offset);
    }
    if !is_full {
        for (topic, last) in topics.iter().zip(last) {
            let newest = topics::newest(connection, topic)?;
            let is_there = newest.filter(|newest| newest.offset > gone);
            // A topic that is named twice was looked for once.
            if let (Some(newest), true) = (is_there, is_first(topics, topic, last))
                && last != Some(newest.offset)
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether nothing speaks against it that this is where a topic was looked for.
fn is_first(topics: &[Arc<str>], topic: &Arc<str>, last: Option<u64>) -> bool {
    last.is_some() || topics.iter().filter(|other| *other == topic).count() == 1
}

/// From the table alone, as far as a page may look.
fn by_scan(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<(), Failure> {
    let from = page.wanted.from;
    let first = from.max(page.log.floor + 1);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM records WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![first, MAX_SCANNED])?;
    let (mut scanned, mut passed) = (0, None);
    while let Some(row) = rows.next()? {
        scanned += 1;
        let mut record = checked(row)?.record;
        let is_anchor = record.offset.low() == from;
        if record.is_damaged && !is_anchor {
            // Nothing says whose it was.
            record.topic = topics.first().cloned().unwrap_or(record.topic);
        } else if !is_anchor && !topics.contains(&record.topic) {
            passed = Some(record);
            continue;
        }
        passed = None;
        if !page.take(record) || page.records.len() >= page.limit() {
            return Ok(());
        }
    }
    // So that the next page goes on from there.
    if scanned >= MAX_SCANNED
        && let Some(record) = passed
    {
        page.records.push(record);
    }
    Ok(())
}

/// A row as a record; a damaged one if it is not what was written.
fn checked(row: &Row<'_>) -> Result<Found, Failure> {
    let offset: u64 = row.get(0)?;
    if let Some(found) = whole(row, offset) {
        return Ok(found);
    }
    let topic = match row.get_ref(2)? {
        ValueRef::Text(text) => String::from_utf8_lossy(text).as_ref().into(),
        _ => Arc::from(""),
    };
    let record = Record {
        offset: Offset::new(offset),
        tag: row.get(1).unwrap_or_default(),
        topic,
        event: Bytes::new(),
        conflation_key: None,
        is_damaged: true,
    };
    Ok(Found {
        record,
        previous: None,
    })
}

/// A row as a record, if it is what was written.
fn whole(row: &Row<'_>, offset: u64) -> Option<Found> {
    let tag: u32 = row.get(1).ok()?;
    let topic: Arc<str> = row.get(2).ok()?;
    let conflation_key: Option<Arc<str>> = row.get(3).ok()?;
    let expected: u32 = row.get(4).ok()?;
    let event = match row.get_ref(5).ok()? {
        ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
        _ => return None,
    };
    let previous = row.get::<_, Option<u64>>(6).ok()?;
    let previous = match previous {
        Some(offset) => Some(Previous {
            offset,
            tag: row.get(7).ok()?,
        }),
        None => None,
    };
    let key = conflation_key.as_deref();
    if checksum(offset, tag, &topic, &event, key, previous) != expected {
        return None;
    }
    Some(Found {
        record: Record {
            offset: Offset::new(offset),
            tag,
            topic,
            event,
            conflation_key,
            is_damaged: false,
        },
        previous: previous.map(|previous| previous.offset),
    })
}

fn missing(offset: u64) -> Failure {
    Failure::damaged(format!(
        "the log's file is damaged: record {offset} is missing; restart to go on with what follows it"
    ))
}
