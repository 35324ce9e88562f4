//! [`Store`]: the connection that writes, and what it writes: batches of records, and the removal of old ones.
//!
//! Each call is one transaction, which either happens or does not; the numbers kept here change only when it did.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use bellwether_topics::broker::{Bounds, BrokerError, NewRecord, Stored};
use bellwether_topics::{Cursor, Offset};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::OpenError;
use crate::failure::Failure;
use crate::keys::{self, KeyWindow, KeyedRecord, Keys};
use crate::read::SIZE;
use crate::record;
use crate::retention::{Extent, Front, Retention};
use crate::schema::{self, WriteMark};
use crate::topics;
use crate::verify::{self, EpochEnd, Known, LogRow};

/// The largest event. SQLite takes up to a gigabyte, but one event must not take the memory of all.
pub(crate) const MAX_EVENT_BYTES: usize = 64 << 20;
/// The longest topic's name and the longest key.
pub(crate) const MAX_NAME_BYTES: usize = 255;

thread_local! {
    /// The pages in the write-ahead log after the last commit of this thread. SQLite tells it to a plain function only,
    /// and all commits after the opening are made by the one thread that writes.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// The log in the file, open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    log: LogRow,
    first_at: u64,
    keys: Keys,
    /// How many topics have an entry.
    topics: u64,
    /// The marks of our tables when they were last read.
    mark: WriteMark,
    /// Changes when another connection has written, which is then another program's.
    data_version: i64,
}

/// What opening found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) broken: Option<EpochEnd>,
}

/// The outcome of a batch.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) answers: Vec<Result<Stored, BrokerError>>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) trimmed: u64,
}

impl Store {
    /// Opens the log and checks whether it is whole. If `known` records are gone, it takes a new epoch.
    pub(crate) fn open(
        path: &Path,
        create: bool,
        known: Option<Known>,
        time_limit: Duration,
    ) -> Result<Opened, OpenError> {
        let connection = schema::open_writer(path, create)?;
        connection.wal_hook(Some(|_, pages| {
            WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        Self::verified(connection, known, time_limit).map_err(|error| schema::failed(path, error))
    }

    fn verified(
        connection: Connection,
        known: Option<Known>,
        time_limit: Duration,
    ) -> Result<Opened, Failure> {
        let broken = verify::verify(&connection, known, time_limit)?;
        if broken.is_some() {
            verify::start_epoch(&connection)?;
        }
        let mut store = Self {
            log: verify::log_row(&connection)?,
            first_at: 0,
            keys: Keys::default(),
            topics: 0,
            mark: WriteMark::default(),
            data_version: 0,
            connection,
        };
        // What a process that was killed had written and not synced is in the write-ahead log, and readers would see
        // it. If a sync failed before, another sync alone may not make it safe; writing it once more to the file does.
        store.checkpoint(Checkpoint::Truncate)?;
        store.reload()?;
        Ok(Opened { store, broken })
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            epoch: self.log.epoch,
            floor: Offset::new(self.log.floor),
            head: Offset::new(self.log.head),
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        extent(&self.log, self.first_at)
    }

    pub(crate) fn wal_pages(&self) -> u32 {
        WAL_PAGES.get()
    }

    /// Whether keys wait for removal.
    pub(crate) fn has_old_keys(&self, window: &KeyWindow, now: u64) -> bool {
        self.keys.are_old(window, self.log.at.max(now))
    }

    /// Notices that another program wrote to the tables of the log, which ends the epoch: it may have removed anything.
    /// Its other changes, such as tables of its own or a checkpoint, do not matter.
    pub(crate) fn notice_foreign_writes(
        &mut self,
        known: Option<Known>,
    ) -> Result<Option<EpochEnd>, Failure> {
        let data_version = data_version(&self.connection)?;
        if data_version == self.data_version {
            return Ok(None);
        }
        let is_same = WriteMark::of(&self.connection)? == self.mark
            && verify::log_row(&self.connection)? == self.log
            && known.is_none_or(|known| {
                // The whole file may have been replaced.
                matches!(
                    verify::is_there(&self.connection, &self.log, known),
                    Ok(true)
                )
            });
        if is_same {
            self.data_version = data_version;
            return Ok(None);
        }
        verify::start_epoch(&self.connection)?;
        self.reload()?;
        Ok(Some(EpochEnd::Foreign))
    }

    /// Appends a batch, and removes old records beside it if that is due.
    pub(crate) fn append(
        &mut self,
        records: &[&NewRecord],
        window: &KeyWindow,
        retention: &Retention,
        now: u64,
    ) -> Result<Appended, Failure> {
        let mut log = self.log;
        let mut keys = self.keys;
        let mut topics = self.topics;
        log.at = log.at.max(now);
        let mut appended = Appended {
            answers: Vec::with_capacity(records.len()),
            records: 0,
            bytes: 0,
            duplicates: 0,
            trimmed: 0,
        };
        let transaction = verify::begin(&self.connection)?;
        for record in records {
            let answer = match insert(
                &transaction,
                record,
                &mut log,
                &mut keys,
                &mut topics,
                window,
            )? {
                Inserted::New(stored) => {
                    appended.records += 1;
                    appended.bytes += record.event.len() as u64;
                    Ok(stored)
                }
                Inserted::Known(stored) => {
                    appended.duplicates += 1;
                    Ok(stored)
                }
                Inserted::Refused(error) => Err(error),
            };
            appended.answers.push(answer);
        }
        if appended.records == 0 {
            // Nothing to make safe: duplicates were committed before. Rolls back nothing.
            return Ok(appended);
        }
        let mut first_at = if log.floor + appended.records == log.head {
            log.at
        } else {
            self.first_at
        };
        if retention.is_due(&extent(&log, first_at), now) {
            let step = Retention::step(appended.records);
            appended.trimmed =
                trim_front(&transaction, retention, &mut log, &mut first_at, step, now)?;
        }
        let loose = window.with_slack();
        if keys.are_old(&loose, log.at) {
            let step = Retention::step(appended.records);
            keys.forget(&transaction, window, step, log.at)?;
        }
        topics::forget(&transaction, &mut log, &mut topics)?;
        save(&transaction, &log)?;
        verify::commit(transaction)?;
        self.log = log;
        self.first_at = first_at;
        self.keys = keys;
        self.topics = topics;
        Ok(appended)
    }

    /// Removes at most `step` of the oldest records beyond the bounds. Returns their number.
    pub(crate) fn trim(
        &mut self,
        retention: &Retention,
        step: u64,
        now: u64,
    ) -> Result<u64, Failure> {
        let mut log = self.log;
        let mut first_at = self.first_at;
        let transaction = verify::begin(&self.connection)?;
        let trimmed = trim_front(&transaction, retention, &mut log, &mut first_at, step, now)?;
        if trimmed > 0 {
            save(&transaction, &log)?;
            verify::commit(transaction)?;
            self.log = log;
            self.first_at = first_at;
        }
        Ok(trimmed)
    }

    /// Forgets at most `step` idempotency keys that are beyond the window. Returns their number.
    pub(crate) fn forget_keys(
        &mut self,
        window: &KeyWindow,
        step: u64,
        now: u64,
    ) -> Result<u64, Failure> {
        let mut keys = self.keys;
        let transaction = verify::begin(&self.connection)?;
        let forgotten = keys.forget(&transaction, window, step, self.log.at.max(now))?;
        verify::commit(transaction)?;
        self.keys = keys;
        Ok(forgotten)
    }

    /// The last record, if there is one, by which the log is recognised.
    pub(crate) fn newest(&self) -> Result<Option<Known>, Failure> {
        let tag = verify::tag_at(&self.connection, self.log.head)?;
        Ok(tag.map(|tag| Known {
            epoch: self.log.epoch,
            offset: self.log.head,
            tag,
        }))
    }

    /// Moves what the write-ahead log holds into the file, so that its space is used again. What a reader still needs
    /// stays there until the next time.
    pub(crate) fn checkpoint(&self, mode: Checkpoint) -> Result<(), Failure> {
        let sql = match mode {
            Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
            Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        // Another program's reader is not waited for: commits would wait, too.
        self.connection.busy_timeout(Duration::ZERO)?;
        let done = self.connection.query_row(sql, (), |_| Ok(()));
        self.connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        Ok(done?)
    }

    /// Reads again what the store keeps of the file.
    fn reload(&mut self) -> Result<(), Failure> {
        self.log = verify::log_row(&self.connection)?;
        self.first_at = first_at(&self.connection, self.log.floor)?;
        self.data_version = data_version(&self.connection)?;
        self.mark = WriteMark::of(&self.connection)?;
        self.topics = topics::count(&self.connection)?;
        self.keys = Keys::of(&self.connection)?;
        Ok(())
    }
}

/// How hard a checkpoint tries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Checkpoint {
    /// Moves what no reader needs.
    Passive,
    /// Waits for readers until the write-ahead log can begin at its front.
    Restart,
    /// Also makes its file empty.
    Truncate,
}

fn extent(log: &LogRow, first_at: u64) -> Extent {
    Extent {
        floor: log.floor,
        head: log.head,
        bytes: log.bytes,
        first_at,
        last_at: log.at,
    }
}

fn data_version(connection: &Connection) -> Result<i64, Failure> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(statement.query_row((), |row| row.get(0))?)
}

fn first_at(connection: &Connection, floor: u64) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached("SELECT at FROM records WHERE offset = ?1")?;
    // A damaged record counts as very old.
    let at = statement.query_row([floor + 1], |row| Ok(row.get(0).unwrap_or(0)));
    Ok(at.optional()?.unwrap_or(0))
}

enum Inserted {
    New(Stored),
    Known(Stored),
    Refused(BrokerError),
}

fn insert(
    connection: &Connection,
    record: &NewRecord,
    log: &mut LogRow,
    keys: &mut Keys,
    topics: &mut u64,
    window: &KeyWindow,
) -> Result<Inserted, Failure> {
    if let Some(error) = refusal(record) {
        return Ok(Inserted::Refused(error));
    }
    let cursor = |offset: u64, tag: u32| Cursor {
        epoch: log.epoch,
        offset: Offset::new(offset),
        tag,
    };
    let key = record.idempotency_key.as_deref();
    if let Some(key) = key
        && let Some(first) = keys::find(connection, &record.topic, key, window, log.at)?
    {
        return Ok(Inserted::Known(Stored {
            cursor: cursor(first.offset, first.tag),
            is_duplicate: true,
        }));
    }
    let offset = log.head + 1;
    let stored = Stored {
        cursor: cursor(offset, record.tag),
        is_duplicate: false,
    };
    let conflation_key = record.conflation_key.as_deref();
    let previous = topics::replace(connection, record, offset, log.forgotten_to, topics)?;
    let checksum = record::checksum(
        offset,
        record.tag,
        &record.topic,
        &record.event,
        conflation_key,
        Some(previous),
    );
    connection
        .prepare_cached(
            "INSERT INTO records (offset, topic, tag, at, conflation_key, checksum, event, previous, previous_tag)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            offset,
            &*record.topic,
            record.tag,
            log.at,
            conflation_key,
            checksum,
            &*record.event,
            previous.offset,
            previous.tag
        ])?;
    if let Some(key) = key {
        let this = KeyedRecord {
            offset,
            tag: record.tag,
            at: log.at,
        };
        keys.insert(connection, &record.topic, key, this)?;
    }
    log.head = offset;
    log.bytes += record::size_of(record);
    Ok(Inserted::New(stored))
}

/// Why a record can never be stored, if so.
fn refusal(record: &NewRecord) -> Option<BrokerError> {
    let key = |key: &Option<std::sync::Arc<str>>| key.as_ref().map_or(0, |key| key.len());
    let too_long = |what: &str, found: usize, max: usize| {
        BrokerError::refused(format!(
            "{what} is {found} bytes long, at most {max} can be stored"
        ))
    };
    if record.event.len() > MAX_EVENT_BYTES {
        return Some(too_long("the event", record.event.len(), MAX_EVENT_BYTES));
    }
    if record.topic.len() > MAX_NAME_BYTES {
        return Some(too_long(
            "the topic's name",
            record.topic.len(),
            MAX_NAME_BYTES,
        ));
    }
    let longest = key(&record.idempotency_key).max(key(&record.conflation_key));
    (longest > MAX_NAME_BYTES).then(|| too_long("a key", longest, MAX_NAME_BYTES))
}

fn save(connection: &Connection, log: &LogRow) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "UPDATE log SET head = ?1, floor = ?2, bytes = ?3, at = ?4, forgotten_to = ?5",
        )?
        .execute(params![
            log.head,
            log.floor,
            log.bytes,
            log.at,
            log.forgotten_to
        ])?;
    Ok(())
}

/// Removes at most `step` records at the front, as retention says.
fn trim_front(
    connection: &Connection,
    retention: &Retention,
    log: &mut LogRow,
    first_at: &mut u64,
    step: u64,
    now: u64,
) -> Result<u64, Failure> {
    let before = log.floor;
    {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT offset, {SIZE}, at FROM records WHERE offset > ?1 ORDER BY offset LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![before, step])?;
        while let Some(row) = rows.next()? {
            let front = Front {
                offset: row.get(0)?,
                // A damaged record may have any values here.
                bytes: row.get(1).unwrap_or(0),
                at: row.get(2).unwrap_or(0),
            };
            if !retention.removes(&front, &extent(log, front.at), now) {
                break;
            }
            log.floor = front.offset;
            log.bytes = log.bytes.saturating_sub(front.bytes);
        }
    }
    if log.floor > before {
        connection
            .prepare_cached("DELETE FROM records WHERE offset <= ?1")?
            .execute([log.floor])?;
        *first_at = self::first_at(connection, log.floor)?;
    }
    Ok(log.floor - before)
}

#[cfg(test)]
mod tests;
