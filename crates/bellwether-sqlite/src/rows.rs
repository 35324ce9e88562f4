//! Rows of the table `records`, each compared with its checksum: the record, or that the row is not what was written.
//!
//! Records are numbered without holes, so a row that is missing was damaged as much as one that changed.

use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::Record;
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::Failure;
use crate::record::{Previous, checksum};

/// What [`checked`] reads.
pub(crate) const COLUMNS: &str =
    "offset, tag, topic, conflation_key, checksum, event, previous, previous_tag";

/// In place of a checksum: a repair has put the record aside. No checksum is negative.
pub(crate) const PUT_ASIDE: i64 = -1;

/// What the row of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    /// What was written.
    Whole,
    /// Something else, or nothing.
    Damaged,
    /// A damaged record that a repair has put aside.
    PutAside,
}

/// A row as a record, and the record that it names as the one before it in its topic.
#[derive(Clone, Debug)]
pub(crate) struct CheckedRow {
    pub(crate) record: Record,
    pub(crate) previous: Option<Previous>,
    pub(crate) state: RowState,
    /// Whether there is no row.
    pub(crate) is_missing: bool,
}

impl CheckedRow {
    /// The record of a row that is missing.
    pub(crate) fn missing(offset: u64) -> Self {
        Self {
            is_missing: true,
            ..Self::bad(offset, 0, "".into(), RowState::Damaged)
        }
    }

    fn bad(offset: u64, tag: u32, topic: Arc<str>, state: RowState) -> Self {
        Self {
            record: Record {
                offset: Offset::new(offset),
                tag,
                topic,
                event: Bytes::new(),
                conflation_key: None,
                is_damaged: true,
            },
            previous: None,
            state,
            is_missing: false,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.record.offset.low()
    }
}

/// The record with this number.
pub(crate) fn at(connection: &Connection, offset: u64) -> Result<CheckedRow, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM records WHERE offset = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([offset], |row| Ok(checked(row)));
    let found = found.optional()?.transpose()?;
    Ok(found.unwrap_or_else(|| CheckedRow::missing(offset)))
}

/// Calls `show` with at most `limit` records from `first` to `last`, one for each number, until it returns false.
/// Returns the number after the last one shown.
pub(crate) fn visit(
    connection: &Connection,
    first: u64,
    last: u64,
    limit: u64,
    mut show: impl FnMut(CheckedRow) -> bool,
) -> Result<u64, Failure> {
    let end = last.min(first.saturating_add(limit).saturating_sub(1));
    let mut expected = first;
    let sql =
        format!("SELECT {COLUMNS} FROM records WHERE offset BETWEEN ?1 AND ?2 ORDER BY offset");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![first, end])?;
    while let Some(row) = rows.next()? {
        let found = checked(row)?;
        let is_lost = found.state == RowState::Damaged && found.offset() != expected;
        // The number of a row may be what changed, so only a whole row's number counts.
        if is_lost || found.offset() < expected {
            continue;
        }
        while expected < found.offset() {
            if !show(CheckedRow::missing(expected)) {
                return Ok(expected);
            }
            expected += 1;
        }
        if !show(found) {
            return Ok(expected);
        }
        expected += 1;
    }
    while expected <= end {
        if !show(CheckedRow::missing(expected)) {
            return Ok(expected);
        }
        expected += 1;
    }
    Ok(expected)
}

/// A row as a record; a damaged one if it is not what was written.
pub(crate) fn checked(row: &Row<'_>) -> Result<CheckedRow, Failure> {
    let offset: u64 = row.get(0)?;
    if let Some(found) = whole(row, offset) {
        return Ok(found);
    }
    let topic = match row.get_ref(2)? {
        ValueRef::Text(text) => String::from_utf8_lossy(text).as_ref().into(),
        _ => Arc::from(""),
    };
    let state = match row.get_ref(4)? {
        ValueRef::Integer(PUT_ASIDE) => RowState::PutAside,
        _ => RowState::Damaged,
    };
    let tag = row.get(1).unwrap_or_default();
    Ok(CheckedRow::bad(offset, tag, topic, state))
}

/// A row as a record, if it is what was written.
fn whole(row: &Row<'_>, offset: u64) -> Option<CheckedRow> {
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
    Some(CheckedRow {
        record: Record {
            offset: Offset::new(offset),
            tag,
            topic,
            event,
            conflation_key,
            is_damaged: false,
        },
        previous,
        state: RowState::Whole,
        is_missing: false,
    })
}
