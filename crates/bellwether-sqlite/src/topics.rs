//! The newest record of each topic, which outlives the record for a while. It shows the reader of a quiet topic that
//! nothing of its own was removed, and lets each new record name the one before it.

use bellwether_topics::Offset;
use bellwether_topics::broker::{NewRecord, Trimmed};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::record::Previous;
use crate::rows;
use crate::verify::LogRow;

/// The number of topics without a record left that are remembered: at most about 20 MB of the file.
const MAX_TOPICS: u64 = 65_536;

pub(crate) fn count(connection: &Connection) -> Result<u64, Failure> {
    Ok(connection.query_row("SELECT count(*) FROM topics", (), |row| row.get(0))?)
}

/// Writes a topic's new record, and returns the one before it.
pub(crate) fn replace(
    connection: &Connection,
    record: &NewRecord,
    offset: u64,
    forgotten_to: u64,
    count: &mut u64,
) -> Result<Previous, Failure> {
    let newest = newest(connection, &record.topic)?;
    let sql = match newest {
        Some(_) => "UPDATE topics SET offset = ?2, tag = ?3 WHERE topic = ?1",
        None => "INSERT INTO topics (topic, offset, tag) VALUES (?1, ?2, ?3)",
    };
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![&*record.topic, offset, record.tag])?;
    *count += u64::from(newest.is_none());
    Ok(newest.unwrap_or(Previous {
        offset: forgotten_to,
        tag: None,
    }))
}

/// Forgets the topics whose newest records are the oldest, once there are too many.
pub(crate) fn forget(
    connection: &Connection,
    log: &mut LogRow,
    count: &mut u64,
) -> Result<(), Failure> {
    // A sixteenth at a time, so that the table is sorted rarely.
    if *count <= MAX_TOPICS + MAX_TOPICS / 16 {
        return Ok(());
    }
    let sql = "SELECT max(offset) FROM (SELECT offset FROM topics WHERE offset <= ?1 ORDER BY offset LIMIT ?2)";
    let last: Option<u64> = connection
        .prepare_cached(sql)?
        .query_row(params![log.floor, *count - MAX_TOPICS], |row| row.get(0))?;
    if let Some(last) = last {
        let mut statement = connection.prepare_cached("DELETE FROM topics WHERE offset <= ?1")?;
        *count -= statement.execute([last])? as u64;
        log.forgotten_to = log.forgotten_to.max(last);
    }
    Ok(())
}

/// The newest record of a topic, kept or removed.
pub(crate) fn newest(connection: &Connection, topic: &str) -> Result<Option<Previous>, Failure> {
    let sql = "SELECT offset, tag FROM topics WHERE topic = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let newest = statement.query_row([topic], |row| {
        Ok(Previous {
            offset: row.get(0)?,
            tag: row.get(1)?,
        })
    });
    Ok(newest.optional()?)
}

/// The newest record of a topic, if the index over topics has the same.
pub(crate) fn certain(
    connection: &Connection,
    log: &LogRow,
    topic: &str,
) -> Result<Option<(Offset, u32)>, Failure> {
    let Some(Previous {
        offset,
        tag: Some(tag),
    }) = newest(connection, topic)?
    else {
        return Ok(None);
    };
    let sql = "SELECT max(offset) FROM records WHERE topic = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let indexed: Option<u64> = statement.query_row([topic], |row| row.get(0))?;
    let is_certain = match indexed {
        Some(indexed) => indexed == offset && offset <= log.head,
        None => offset <= log.floor,
    };
    Ok(is_certain.then_some((Offset::new(offset), tag)))
}

/// What a topic has lost.
pub(crate) fn lost(connection: &Connection, log: &LogRow, topic: &str) -> Result<Trimmed, Failure> {
    let previous = match newest(connection, topic)? {
        None => Previous {
            offset: log.forgotten_to,
            tag: None,
        },
        Some(newest) if newest.offset <= log.floor => newest,
        Some(_) => {
            let sql = "SELECT offset FROM records WHERE topic = ?1 AND offset > ?2 ORDER BY offset LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let first = statement.query_row(params![topic, log.floor], |row| row.get(0));
            let first = first.optional()?;
            // Only a whole record counts; otherwise the floor, which is always late enough.
            let whole = first
                .map(|first: u64| rows::at(connection, first))
                .transpose()?;
            let previous = whole
                .filter(|found| &*found.record.topic == topic)
                .and_then(|found| found.previous);
            previous
                .filter(|previous| previous.offset <= log.floor)
                .unwrap_or(Previous {
                    offset: log.floor,
                    tag: None,
                })
        }
    };
    Ok(Trimmed {
        to: Offset::new(previous.offset),
        tag: previous.tag,
    })
}
