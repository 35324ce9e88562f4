//! Pages: what readers take from the file, in one snapshot each.

use std::collections::BinaryHeap;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Page, Record};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::Failure;
use crate::record::checksum;
use crate::verify::{LogRow, log_row};

/// What a record counts for retention, as [`record::size`](crate::record::size) says, in SQL.
pub(crate) const SIZE: &str = "2 * length(CAST(topic AS BLOB)) + length(event) + coalesce(length(CAST(conflation_key AS BLOB)), 0) + 48";

const COLUMNS: &str = "offset, tag, topic, conflation_key, checksum, event";

/// The most records of a page, whatever is asked for.
const MAX_RECORDS: usize = 1 << 20;

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: u64,
    pub(crate) topics: Option<Vec<Arc<str>>>,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

/// Reads a page in one snapshot.
pub(crate) fn page(connection: &Connection, wanted: &Wanted) -> Result<Page, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let log = log_row(connection)?;
    let mut collected = Collected {
        wanted,
        log: &log,
        records: Vec::new(),
        bytes: 0,
    };
    match &wanted.topics {
        None => run(connection, &mut collected)?,
        Some(topics) => some_topics(connection, topics, &mut collected)?,
    }
    let records = collected.records;
    snapshot.finish()?;
    Ok(Page {
        epoch: log.epoch,
        floor: Offset::new(log.floor),
        head: Offset::new(log.head),
        records,
    })
}

/// One record, which must be there and whole.
pub(crate) fn record(connection: &Connection, offset: u64) -> Result<Record, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM records WHERE offset = ?1"))?;
    let found = statement.query_row([offset], |row| Ok(checked(row)));
    found.optional()?.ok_or_else(|| missing(offset))?
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
        let record = checked(row)?;
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

/// The record at `from`, and those of some topics after it, found by the index.
fn some_topics(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<(), Failure> {
    let from = page.wanted.from;
    if from > page.log.floor && from <= page.log.head {
        page.records.push(record(connection, from)?);
    }
    let room = page.limit() - page.records.len();
    // The smallest offsets of all topics: what is larger than so many found already is not looked for.
    let mut smallest: BinaryHeap<u64> = BinaryHeap::new();
    let mut statement = connection.prepare_cached(
        "SELECT offset FROM records WHERE topic = ?1 AND offset > ?2 AND offset < ?3 ORDER BY offset LIMIT ?4",
    )?;
    for (index, topic) in topics.iter().enumerate() {
        if topics[..index].contains(topic) {
            continue;
        }
        let below = match smallest.peek() {
            Some(largest) if smallest.len() >= room => *largest,
            _ => i64::MAX.cast_unsigned(),
        };
        let mut rows = statement.query(params![&**topic, from, below, room as u64])?;
        while let Some(row) = rows.next()? {
            smallest.push(row.get(0)?);
            if smallest.len() > room {
                smallest.pop();
            }
        }
    }
    for offset in smallest.into_sorted_vec() {
        if !page.take(record(connection, offset)?) {
            break;
        }
    }
    Ok(())
}

/// A row as a record, if it is what was written.
fn checked(row: &Row<'_>) -> Result<Record, Failure> {
    let offset: u64 = row.get(0)?;
    let tag: u32 = row.get(1)?;
    let topic: Arc<str> = row.get(2)?;
    let conflation_key: Option<Arc<str>> = row.get(3)?;
    let expected: u32 = row.get(4)?;
    let event = match row.get_ref(5)? {
        ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
        _ => return Err(Failure::damaged(format!("record {offset} has no event"))),
    };
    let found = checksum(offset, tag, &topic, &event, conflation_key.as_deref());
    if found != expected {
        return Err(Failure::damaged(format!(
            "the log's file is damaged: record {offset} is not what was written; restore a copy, or move the file \
             away and restart to begin with an empty log"
        )));
    }
    Ok(Record {
        offset: Offset::new(offset),
        tag,
        topic,
        event,
        conflation_key,
    })
}

fn missing(offset: u64) -> Failure {
    Failure::damaged(format!(
        "the log's file is damaged: record {offset} is missing; restart to go on with what follows it"
    ))
}
