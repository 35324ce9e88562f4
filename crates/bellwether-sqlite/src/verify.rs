//! What is checked before a file is trusted: whether the log is whole, and still the same log.

use std::time::{Duration, Instant};

use bellwether_topics::Epoch;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::failure::Failure;
use crate::read;
use crate::rows::{self, RowState};
use crate::schema;

/// The row of the table `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) epoch: Epoch,
    pub(crate) head: u64,
    pub(crate) floor: u64,
    pub(crate) bytes: u64,
    pub(crate) at: u64,
    /// The offset up to which topics without an entry may have lost records.
    pub(crate) forgotten_to: u64,
}

/// A record that was acknowledged or read, which the log must still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    pub(crate) tag: u32,
}

/// Why a log takes a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochEnd {
    /// The records do not end where the log's counters say.
    End,
    /// A record in the middle is missing.
    Hole,
    /// A record that was known is gone or was replaced.
    Forked,
    /// Another program wrote to the file.
    Foreign,
}

pub(crate) fn log_row(connection: &Connection) -> Result<LogRow, Failure> {
    let sql = "SELECT epoch, head, floor, bytes, at, forgotten_to FROM log";
    let row = connection.prepare_cached(sql)?.query_row((), |row| {
        Ok(LogRow {
            epoch: Epoch(row.get::<_, i64>(0)?.cast_unsigned()),
            head: row.get(1)?,
            floor: row.get(2)?,
            bytes: row.get(3)?,
            at: row.get(4)?,
            forgotten_to: row.get(5)?,
        })
    })?;
    match row.floor <= row.head {
        true => Ok(row),
        false => Err(Failure::damaged("its floor lies above its head")),
    }
}

/// Checks both ends of the log, and all of it as far as it gets within `time_limit`.
pub(crate) fn verify(
    connection: &Connection,
    known: Option<Known>,
    time_limit: Duration,
) -> Result<Option<EpochEnd>, Failure> {
    let since = Instant::now();
    let log = log_row(connection)?;
    let (first, last) = ends(connection)?;
    if let Some(known) = known
        && known.epoch == log.epoch
        && known.offset > log.floor
        && !is_there(connection, &log, known)?
    {
        return Ok(Some(EpochEnd::Forked));
    }
    match beyond(connection, log.head)? {
        BeyondHead::Nothing => {
            let ends_there = match last {
                Some(last) => last == log.head,
                None => log.head == 0,
            };
            if !ends_there {
                return Ok(Some(EpochEnd::End));
            }
        }
        // A row whose number changed. The next record needs the number, and the row's own number shows that the record
        // is missing.
        BeyondHead::Damaged => {
            let transaction = begin(connection)?;
            transaction.execute("DELETE FROM records WHERE offset > ?1", [log.head])?;
            commit(transaction)?;
        }
        BeyondHead::Whole => return Ok(Some(EpochEnd::End)),
    }
    if first.is_some_and(|first| first != log.floor + 1) {
        return Ok(Some(EpochEnd::Hole));
    }
    if time_limit > Duration::ZERO
        && let Some(count) = count(connection, time_limit)?
    {
        // Some missing records are damaged records like others: their readers get a gap.
        if (log.head - log.floor).abs_diff(count) > MAX_MISSING {
            return Ok(Some(EpochEnd::Hole));
        }
        let left = time_limit.saturating_sub(since.elapsed());
        if left > Duration::ZERO {
            schema::quick_check(connection, left)?;
        }
    }
    Ok(None)
}

/// The most records that may be missing in the middle of a log that keeps its epoch.
pub(crate) const MAX_MISSING: u64 = 1024;

/// What the table has beyond the head.
enum BeyondHead {
    Nothing,
    /// Only rows that are not what was written.
    Damaged,
    Whole,
}

fn beyond(connection: &Connection, head: u64) -> Result<BeyondHead, Failure> {
    let sql = format!(
        "SELECT {} FROM records WHERE offset > ?1 ORDER BY offset LIMIT 100",
        rows::COLUMNS
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([head])?;
    let mut beyond = BeyondHead::Nothing;
    while let Some(row) = found.next()? {
        if rows::checked(row)?.state == RowState::Whole {
            return Ok(BeyondHead::Whole);
        }
        beyond = BeyondHead::Damaged;
    }
    Ok(beyond)
}

/// Gives the log a new epoch, with all its records; if many are missing, with the unbroken run at its end.
///
/// The records before that run are removed, so that everything after the floor exists again.
pub(crate) fn start_epoch(connection: &Connection) -> Result<(), Failure> {
    let log = log_row(connection)?;
    let transaction = begin(connection)?;
    if let BeyondHead::Damaged = beyond(connection, log.head)? {
        connection.execute("DELETE FROM records WHERE offset > ?1", [log.head])?;
    }
    let (first, last) = ends(connection)?;
    // Without any record, numbers go on where they were, so that none is used twice.
    let head = last.unwrap_or(log.head);
    let rows: u64 = connection.query_row("SELECT count(*) FROM records", (), |row| row.get(0))?;
    let first = match first {
        Some(first) if (head - first).saturating_sub(rows) > MAX_MISSING => connection.query_row(
            "SELECT max(offset) FROM records AS record
             WHERE NOT EXISTS (SELECT 1 FROM records WHERE offset = record.offset - 1)",
            (),
            |row| row.get(0),
        )?,
        first => first,
    };
    let floor = first.map_or(head, |first| first - 1);
    connection.execute("DELETE FROM records WHERE offset <= ?1", [floor])?;
    connection.execute("DELETE FROM keys WHERE offset > ?1", [head])?;
    let bytes: u64 = connection.query_row(
        &format!("SELECT coalesce(sum({}), 0) FROM records", read::SIZE),
        (),
        |row| row.get(0),
    )?;
    connection.execute(
        "UPDATE log SET epoch = ?1, head = ?2, floor = ?3, bytes = ?4",
        params![Epoch::random().0.cast_signed(), head, floor, bytes],
    )?;
    connection.execute_batch(schema::FILL_TOPICS)?;
    commit(transaction)?;
    Ok(())
}

/// Starts a transaction of ours, which the triggers do not count.
pub(crate) fn begin(connection: &Connection) -> Result<Transaction<'_>, Failure> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    guard(connection, true)?;
    Ok(transaction)
}

/// Commits such a transaction.
pub(crate) fn commit(transaction: Transaction<'_>) -> Result<(), Failure> {
    guard(&transaction, false)?;
    Ok(transaction.commit()?)
}

fn guard(connection: &Connection, is_ours: bool) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("UPDATE guard SET is_ours = ?1")?;
    statement.execute([is_ours])?;
    Ok(())
}

fn ends(connection: &Connection) -> Result<(Option<u64>, Option<u64>), Failure> {
    // Two queries: SQLite answers each from one end of the table, but both at once by a scan.
    let end = |sql| connection.query_row(sql, (), |row| row.get(0));
    Ok((
        end("SELECT min(offset) FROM records")?,
        end("SELECT max(offset) FROM records")?,
    ))
}

/// Whether a known record may still be where it was: a damaged one proves nothing.
pub(crate) fn is_there(
    connection: &Connection,
    log: &LogRow,
    known: Known,
) -> Result<bool, Failure> {
    if known.offset <= log.floor {
        return Ok(true);
    }
    let found = rows::at(connection, known.offset)?;
    let is_known = match found.state {
        RowState::Whole => found.record.tag == known.tag,
        RowState::Damaged | RowState::PutAside => true,
    };
    Ok(known.offset <= log.head && is_known)
}

/// The tag of the record with this number, if it can be read.
pub(crate) fn tag_at(connection: &Connection, offset: u64) -> Result<Option<u32>, Failure> {
    let found = rows::at(connection, offset)?;
    Ok((found.state == RowState::Whole).then_some(found.record.tag))
}

fn count(connection: &Connection, time_limit: Duration) -> Result<Option<u64>, Failure> {
    schema::bounded(connection, time_limit, || {
        connection.query_row("SELECT count(*) FROM records", (), |row| row.get(0))
    })
}
