//! Pages: what readers take from the file, in one snapshot each.

use std::collections::BinaryHeap;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::{Newest, Page, Record};
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::record::Previous;
use crate::rows::{self, CheckedRow, RowState};
use crate::topics;
use crate::verify::{LogRow, log_row};

mod scan;

/// What a record counts for retention, as [`record::size`](crate::record::size) says, in SQL.
pub(crate) const SIZE: &str = "2 * length(CAST(topic AS BLOB)) + length(event) + coalesce(length(CAST(conflation_key AS BLOB)), 0) + 48";

/// The most records of a page, whatever the request allows.
const MAX_RECORDS: usize = 1 << 20;

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: u64,
    pub(crate) topics: Option<Vec<Arc<str>>>,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

/// What the page found about the index over topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Right,
    /// The page was read without it.
    Wrong,
}

/// A page, and the damage that reading it has met.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) page: Page,
    pub(crate) index: Index,
    /// The records that are not what was written, except those that a repair has put aside.
    pub(crate) damaged: Vec<u64>,
}

/// Reads a page in one snapshot.
pub(crate) fn page(connection: &Connection, wanted: &Wanted) -> Result<Read, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let log = log_row(connection)?;
    let mut collected = Collected {
        wanted,
        log: &log,
        records: Vec::new(),
        damaged: Vec::new(),
        bytes: 0,
    };
    let index = match &wanted.topics {
        None => run(connection, &mut collected).map(|()| Index::Right)?,
        Some(topics) => some_topics(connection, topics, &mut collected)?,
    };
    let Collected {
        records, damaged, ..
    } = collected;
    let trimmed = match &wanted.topics {
        // Otherwise the anchor exists, and so does everything after it.
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
    Ok(Read {
        page,
        index,
        damaged,
    })
}

/// Finds the newest record of each topic in one snapshot.
pub(crate) fn newest(connection: &Connection, topics: &[Arc<str>]) -> Result<Newest, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let log = log_row(connection)?;
    let records = topics
        .iter()
        .map(|topic| topics::certain(connection, &log, topic))
        .collect::<Result<_, _>>()?;
    snapshot.finish()?;
    Ok(Newest {
        epoch: log.epoch,
        head: Offset::new(log.head),
        records,
    })
}

/// The page that is being read.
struct Collected<'a> {
    wanted: &'a Wanted,
    log: &'a LogRow,
    records: Vec<Record>,
    damaged: Vec<u64>,
    bytes: usize,
}

impl Collected<'_> {
    /// Takes the next record; false if the page is full without it.
    fn take(&mut self, found: CheckedRow) -> bool {
        let CheckedRow { record, state, .. } = found;
        if record.offset.low() > self.wanted.from {
            let is_first = self.bytes == 0;
            self.bytes += record.event.len().max(1);
            if !is_first && self.bytes > self.wanted.max_bytes {
                return false;
            }
        }
        if state == RowState::Damaged {
            self.damaged.push(record.offset.low());
        }
        self.records.push(record);
        true
    }

    fn limit(&self) -> usize {
        self.wanted.max_records.clamp(2, MAX_RECORDS)
    }
}

/// Every record from `from` on.
fn run(connection: &Connection, page: &mut Collected<'_>) -> Result<(), Failure> {
    let first = page.wanted.from.max(page.log.floor + 1);
    let limit = page.limit();
    rows::visit(connection, first, page.log.head, limit as u64, |found| {
        page.take(found)
    })?;
    Ok(())
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
    page.damaged.clear();
    page.bytes = 0;
    scan::by_scan(connection, topics, page)
}

/// Reads by the index; false if the index is wrong. Each record names the one before it in its topic, which shows that
/// none is left out.
fn by_index(
    connection: &Connection,
    topics: &[Arc<str>],
    page: &mut Collected<'_>,
) -> Result<bool, Failure> {
    let from = page.wanted.from;
    if from > page.log.floor && from <= page.log.head {
        page.take(rows::at(connection, from)?);
    }
    let room = page.limit() - page.records.len();
    // The smallest offsets of all topics. Offsets beyond the limit that were found so far are not searched for.
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
        if offset > page.log.head || last[index] == Some(offset) {
            return Ok(false);
        }
        let mut found = rows::at(connection, offset)?;
        if found.record.is_damaged {
            // The index has the topic of the damaged record.
            found.record.topic = topics[index].clone();
        } else if found.record.topic != topics[index] {
            return Ok(false);
        } else if let Some(Previous {
            offset: previous, ..
        }) = found.previous
        {
            let follows = match last[index] {
                Some(last) => previous == last,
                None => previous <= gone,
            };
            if !follows {
                return Ok(false);
            }
        }
        if !page.take(found) {
            is_full = true;
            break;
        }
        last[index] = Some(offset);
    }
    if !is_full {
        for (topic, last) in topics.iter().zip(last) {
            let newest = topics::newest(connection, topic)?;
            let is_there = newest.filter(|newest| newest.offset > gone);
            // A topic that is named twice was read once.
            if let (Some(newest), true) = (is_there, is_first(topics, topic, last))
                && last != Some(newest.offset)
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether this may be the entry under which a topic was read.
fn is_first(topics: &[Arc<str>], topic: &Arc<str>, last: Option<u64>) -> bool {
    last.is_some() || topics.iter().filter(|other| *other == topic).count() == 1
}
