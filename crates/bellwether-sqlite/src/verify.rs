//! What is looked at before a file's word is taken: whether the log is whole, and still the one that we know.

use std::time::{Duration, Instant};

use bellwether_topics::Epoch;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::failure::Failure;
use crate::read;
use crate::rows::{self, State};
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
        && !is_there(connection, &log, known)?
    {
        return Ok(Some(Broken::Forked));
    }
    match beyond(connection, log.head)? {
        Beyond::Nothing => {
            let ends_there = match last {
                Some(last) => last == log.head,
                None => log.head == 0,
            };
            if !ends_there {
                return Ok(Some(Broken::End));
            }
        }
        // A row whose number changed. The next record needs its place, and its own place shows that it is missing.
        Beyond::Damaged => {
            let transaction = begin(connection)?;
            transaction.execute("DELETE FROM records WHERE offset > ?1", [log.head])?;
            commit(transaction)?;
        }
        Beyond::Whole => return Ok(Some(Broken::End)),
    }
    if first.is_some_and(|first| first != log.floor + 1) {
        return Ok(Some(Broken::Hole));
    }
    if patience > Duration::ZERO
        && let Some(count) = count(connection, patience)?
    {
        // A few that are missing are damaged records like others: their readers are told.
        if (log.head - log.floor).abs_diff(count) > MAX_MISSING {
            return Ok(Some(Broken::Hole));
        }
        let left = patience.saturating_sub(since.elapsed());
        if left > Duration::ZERO {
            schema::quick_check(connection, left)?;
        }
    }
    Ok(None)
}

/// The most records that may be missing in the middle of a log that is believed.
pub(crate) const MAX_MISSING: u64 = 1024;

/// What stands beyond the head.
enum Beyond {
    Nothing,
    /// Only what is not what was written.
    Damaged,
    Whole,
}

fn beyond(connection: &Connection, head: u64) -> Result<Beyond, Failure> {
    let sql = format!(
        "SELECT {} FROM records WHERE offset > ?1 ORDER BY offset LIMIT 100",
        rows::COLUMNS
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([head])?;
    let mut beyond = Beyond::Nothing;
    while let Some(row) = found.next()? {
        if rows::checked(row)?.state == State::Whole {
            return Ok(Beyond::Whole);
        }
        beyond = Beyond::Damaged;
    }
    Ok(beyond)
}

/// Gives the log a new epoch, with all that is left of it; if much is missing, with the unbroken run at its end.
///
/// What lies before that run is removed, so that everything after the floor exists again.
pub(crate) fn begin_anew(connection: &Connection) -> Result<(), Failure> {
    let log = log_row(connection)?;
    let transaction = begin(connection)?;
    if let Beyond::Damaged = beyond(connection, log.head)? {
        connection.execute("DELETE FROM records WHERE offset > ?1", [log.head])?;
    }
    let (first, last) = ends(connection)?;
    // Without a record the numbers go on where they were: none is used twice even so.
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

/// Whether nothing speaks against it that a known record is where it was: a damaged one proves nothing.
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
        State::Whole => found.record.tag == known.tag,
        State::Damaged | State::PutAside => true,
    };
    Ok(known.offset <= log.head && is_known)
}

/// The tag of the record with this number, if it can be read.
pub(crate) fn tag_at(connection: &Connection, offset: u64) -> Result<Option<u32>, Failure> {
    let found = rows::at(connection, offset)?;
    Ok((found.state == State::Whole).then_some(found.record.tag))
}

fn count(connection: &Connection, patience: Duration) -> Result<Option<u64>, Failure> {
    schema::bounded(connection, patience, || {
        connection.query_row("SELECT count(*) FROM records", (), |row| row.get(0))
    })
}
