//! The idempotency keys in the file, and the window in which they are remembered.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;

/// How long idempotency keys are remembered, and their maximum number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyWindow {
    pub(crate) duration: Duration,
    pub(crate) max_keys: u64,
}

/// What is known of the keys that are stored. A transaction changes a copy, which replaces the original when it has
/// committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) count: u64,
    /// The time at which the oldest key was stored, or an earlier one.
    oldest_at: Option<u64>,
}

/// The record that a key was published with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedRecord {
    pub(crate) offset: u64,
    pub(crate) tag: u32,
    pub(crate) at: u64,
}

impl KeyWindow {
    /// The window beyond which it pays to forget keys in the transaction of a batch.
    pub(crate) fn with_slack(&self) -> Self {
        Self {
            duration: self.duration.saturating_add(self.duration / 16),
            max_keys: self.max_keys.saturating_add((self.max_keys / 16).min(512)),
        }
    }

    fn knows(&self, at: u64, time: u64) -> bool {
        u128::from(time.saturating_sub(at)) < self.duration.as_millis()
    }
}

impl Keys {
    /// The keys of the file.
    pub(crate) fn of(connection: &Connection) -> Result<Self, Failure> {
        Ok(Self {
            count: connection.query_row("SELECT count(*) FROM keys", (), |row| row.get(0))?,
            oldest_at: oldest_at(connection)?,
        })
    }

    /// Whether some keys are beyond the window.
    pub(crate) fn are_old(&self, window: &KeyWindow, time: u64) -> bool {
        self.count > window.max_keys || self.oldest_at.is_some_and(|at| !window.knows(at, time))
    }

    /// Stores a key that [`find`] did not find.
    pub(crate) fn insert(
        &mut self,
        connection: &Connection,
        topic: &str,
        key: &str,
        record: KeyedRecord,
    ) -> Result<(), Failure> {
        let KeyedRecord { offset, tag, at } = record;
        // The same key may still be stored, beyond its window.
        let removed = connection
            .prepare_cached("DELETE FROM keys WHERE topic = ?1 AND key = ?2")?
            .execute(params![topic, key])?;
        connection
            .prepare_cached(
                "INSERT INTO keys (topic, key, offset, tag, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![topic, key, offset, tag, at])?;
        self.count = self.count + 1 - removed as u64;
        self.oldest_at.get_or_insert(at);
        Ok(())
    }

    /// Removes at most `step` keys beyond the window, oldest first. Returns their number.
    pub(crate) fn forget(
        &mut self,
        connection: &Connection,
        window: &KeyWindow,
        step: u64,
        time: u64,
    ) -> Result<u64, Failure> {
        let mut last: Option<u64> = None;
        let mut forgotten = 0;
        {
            let sql = "SELECT offset, at FROM keys ORDER BY offset LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([step])?;
            while let Some(row) = rows.next()? {
                let is_crowded = self.count.saturating_sub(forgotten) > window.max_keys;
                if !is_crowded && window.knows(row.get(1)?, time) {
                    break;
                }
                forgotten += 1;
                last = Some(row.get(0)?);
            }
        }
        if let Some(last) = last {
            // A record has at most one key, so this removes exactly those that were counted.
            connection
                .prepare_cached("DELETE FROM keys WHERE offset <= ?1")?
                .execute([last])?;
        }
        self.count = self.count.saturating_sub(forgotten);
        self.oldest_at = oldest_at(connection)?;
        Ok(forgotten)
    }
}

/// The record that a key within its window was published with.
pub(crate) fn find(
    connection: &Connection,
    topic: &str,
    key: &str,
    window: &KeyWindow,
    time: u64,
) -> Result<Option<KeyedRecord>, Failure> {
    let sql = "SELECT offset, tag, at FROM keys WHERE topic = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![topic, key], |row| {
        Ok(KeyedRecord {
            offset: row.get(0)?,
            tag: row.get(1)?,
            at: row.get(2)?,
        })
    });
    let found = found.optional()?;
    Ok(found.filter(|record| window.knows(record.at, time)))
}

fn oldest_at(connection: &Connection) -> Result<Option<u64>, Failure> {
    let sql = "SELECT at FROM keys ORDER BY offset LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((), |row| row.get(0)).optional()?)
}
