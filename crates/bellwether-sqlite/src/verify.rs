//! What is looked at before a file's word is taken: whether the log is whole, and still the one that we know.

use std::time::{Duration, Instant};

use bellwether_topics::Epoch;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::failure::Failure;
use crate::read;
use crate::schema;

/// The row of the table `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) epoch: Epoch,
    pub(crate) head: u64,
    pub(crate) floor: u64,
    pub(crate) bytes: u64,
    pub(crate) at: u64,
    /// Up to where topics without an entry may have lost records.
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
pub(crate) enum Broken {
    /// The records end elsewhere than the log says.
    End,
    /// A record in the middle is missing.
    Hole,
    /// A record that was known is gone or another one.
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

/// Looks at both ends of the log, and through all of it as far as `patience` lasts.
pub(crate) fn verify(
    connection: &Connection,
    known: Option<Known>,
    patience: Duration,
) -> Result<Option<Broken>, Failure> {
    let since = Instant::now();
    let log = log_row(connection)?;
    let (first, last) = ends(connection)?;
    if let Some(known) = known
        && known.epoch == log.epoch
        && known.offset > log.floor
        && tag_at(connection, known.offset)? != Some(known.tag)
    {
        return Ok(Some(Broken::Forked));
    }
    let ends_there = match last {
        Some(last) => last == log.head,
        None => log.head == 0,
    };
    if !ends_there {
        return Ok(Some(Broken::End));
    }
    if first.is_some_and(|first| first != log.floor + 1) {
        return Ok(Some(Broken::Hole));
    }
    if patience > Duration::ZERO
        && let Some(count) = count(connection, patience)?
    {
        if count != log.head - log.floor {
            return Ok(Some(Broken::Hole));
        }
        let left = patience.saturating_sub(since.elapsed());
        if left > Duration::ZERO {
            schema::quick_check(connection, left)?;
        }
    }
    Ok(None)
}

/// Gives the log a new epoch, with the unbroken run of records at its end.
///
/// What lies before that run is removed, so that everything after the floor exists again.
pub(crate) fn begin_anew(connection: &Connection) -> Result<(), Failure> {
    let log = log_row(connection)?;
    let (_, last) = ends(connection)?;
    // Without a record the numbers go on where they were: none is used twice even so.
    let head = last.unwrap_or(log.head);
    let broken_at: Option<u64> = connection
        .query_row(
            "SELECT max(offset) FROM records AS record
             WHERE NOT EXISTS (SELECT 1 FROM records WHERE offset = record.offset - 1)",
            (),
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let floor = broken_at.map_or(head, |first| first - 1);
    let transaction = begin(connection)?;
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

/// Begins a transaction of ours, which the triggers do not count.
pub(crate) fn begin(connection: &Connection) -> Result<Transaction<'_>, Failure> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    guard(connection, true)?;
    Ok(transaction)
}

/// Makes such a transaction safe.
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

pub(crate) fn tag_at(connection: &Connection, offset: u64) -> Result<Option<u32>, Failure> {
    let sql = "SELECT tag FROM records WHERE offset = ?1";
    Ok(connection
        .query_row(sql, [offset], |row| row.get(0))
        .optional()?)
}

fn count(connection: &Connection, patience: Duration) -> Result<Option<u64>, Failure> {
    schema::bounded(connection, patience, || {
        connection.query_row("SELECT count(*) FROM records", (), |row| row.get(0))
    })
}
