//! The index over topics, compared with the records.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::examine::{Examination, salvage, tolerated};
use super::{OnProgress, Problem, Progress};
use crate::failure::Failure;
use crate::rows::{self, RowState};

const ENTRIES: &str =
    "SELECT topic, offset FROM records INDEXED BY records_by_topic ORDER BY topic, offset";

/// A hash of a topic and an offset; the sum of all is the same in any order.
pub(super) fn mark(topic: &str, offset: u64) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(topic.as_bytes());
    let bits = u64::from(hasher.finalize()) << 32 ^ offset.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The value as text, whatever type the column has.
pub(super) fn text(value: ValueRef<'_>) -> Arc<str> {
    match value {
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            String::from_utf8_lossy(text).as_ref().into()
        }
        _ => "".into(),
    }
}

/// Compares index and records, and looks for single entries only if there is a difference. Damaged records that nothing
/// else has claimed belong to the topic that the index has them under.
pub(super) fn compare(
    connection: &Connection,
    examination: &mut Examination,
    on_progress: OnProgress<'_>,
) -> Result<(), Failure> {
    let mut sum: u64 = 0;
    let mut done = 0;
    let read = entries(connection, |topic, offset| {
        done += 1;
        if done % 16_384 == 0 {
            on_progress(Progress {
                step: "reading the index",
                done,
                of: examination.report.head - examination.report.floor,
            });
        }
        match examination.damaged.get_mut(&offset) {
            Some(damaged) => {
                damaged.topic.get_or_insert(topic);
            }
            None => sum = sum.wrapping_add(mark(&topic, offset)),
        }
        Ok(())
    });
    if let Err(failure) = read {
        let found = tolerated(failure)?;
        examination.report.add(Problem::Index { found });
        return Ok(());
    }
    match sum == examination.sum {
        true => Ok(()),
        false => differences(connection, examination),
    }
}

fn differences(connection: &Connection, examination: &mut Examination) -> Result<(), Failure> {
    let mut before = None;
    let mut doubles = Vec::new();
    entries(connection, |topic, offset| {
        let found = rows::at(connection, offset)?;
        let is_right = match found.state {
            RowState::Damaged => examination.damaged.contains_key(&offset),
            RowState::Whole | RowState::PutAside => found.record.topic == topic,
        };
        let entry = Some((topic, offset));
        if !is_right || entry == before {
            doubles.extend(entry.clone());
        }
        before = entry;
        Ok(())
    })?;
    for (topic, offset) in doubles {
        examination
            .report
            .add(Problem::IndexDoubles { offset, topic });
    }
    let sql = "SELECT 1 FROM records INDEXED BY records_by_topic WHERE topic = ?1 AND offset = ?2";
    let mut statement = connection.prepare(sql)?;
    let (first, last) = (examination.report.floor + 1, examination.report.head);
    let mut lacking = Vec::new();
    salvage(connection, first, last, |found| {
        if found.state != RowState::Damaged {
            let (topic, offset) = (found.record.topic.clone(), found.offset());
            let entry = statement.query_row(params![&*topic, offset], |_| Ok(()));
            if !matches!(entry.optional(), Ok(Some(()))) {
                lacking.push((topic, offset));
            }
        }
    })?;
    for (topic, offset) in lacking {
        examination
            .report
            .add(Problem::IndexLacks { offset, topic });
    }
    Ok(())
}

fn entries(
    connection: &Connection,
    mut show: impl FnMut(Arc<str>, u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(ENTRIES)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let offset: i64 = row.get(1)?;
        show(text(row.get_ref(0)?), offset.cast_unsigned())?;
    }
    Ok(())
}
