//! The new file: what is whole, and instead of each damaged record a row that marks it as put aside.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bellwether_topics::Epoch;
use rusqlite::{Connection, Transaction, params};

use super::foreign;
use crate::check::examine::{Examined, is_of, salvage};
use crate::check::{OnProgress, Progress};
use crate::error::OpenError;
use crate::failure::Failure;
use crate::read::SIZE;
use crate::record::{Previous, checksum};
use crate::rows::{CheckedRow, PUT_ASIDE, RowState};
use crate::schema;

/// The number of records between two reports of progress.
const PROGRESS_INTERVAL: u64 = 4096;

/// What is known about the new file.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) new_epoch: Option<Epoch>,
    pub(super) incomplete_tables: Vec<String>,
}

/// Writes the new file from what was found in the old one.
pub(super) fn rebuild(
    old: &Connection,
    path: &Path,
    examined: &Examined,
    on_progress: OnProgress<'_>,
) -> Result<Built, OpenError> {
    let opened = Connection::open(path).map_err(Failure::from);
    let built = opened.and_then(|mut new| {
        // The file is synced as a whole before it takes the log's name; until then a crash costs nothing.
        new.execute_batch(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;",
        )?;
        schema::make(&new)?;
        let transaction = new.transaction()?;
        transaction.execute("UPDATE guard SET is_ours = 1", ())?;
        let built = fill(old, &transaction, examined, on_progress)?;
        transaction.execute("UPDATE guard SET is_ours = 0", ())?;
        transaction.commit()?;
        Ok(built)
    });
    built.map_err(|failure| schema::failed(path, failure))
}

fn fill(
    old: &Connection,
    new: &Transaction<'_>,
    examined: &Examined,
    on_progress: OnProgress<'_>,
) -> Result<Built, Failure> {
    let report = &examined.report;
    let mut copy = Copy {
        old,
        new,
        examined,
        newest: HashMap::new(),
        at: 0,
        has_orphans: false,
    };
    let mut result = Ok(());
    salvage(old, report.floor + 1, report.head, |found| {
        let offset = found.offset();
        if offset % PROGRESS_INTERVAL == 0 {
            on_progress(Progress {
                step: "writing records",
                done: offset - report.floor,
                of: report.head - report.floor,
            });
        }
        if result.is_ok() {
            result = copy.take(&found);
        }
    })?;
    result?;
    let forgotten_to = copy.topics()?;
    copy.keys()?;
    let new_epoch = (!examined.is_placed || copy.has_orphans).then(Epoch::random);
    let epoch = match new_epoch {
        Some(epoch) => epoch.0.cast_signed(),
        None => examined.stored.epoch.unwrap_or_default(),
    };
    let at = copy
        .at
        .max(examined.stored.at.filter(|at| is_a_time(*at)).unwrap_or(0));
    let bytes = format!("(SELECT coalesce(sum({SIZE}), 0) FROM records)");
    new.execute(
        &format!("UPDATE log SET epoch = ?1, head = ?2, floor = ?3, bytes = {bytes}, at = ?4, forgotten_to = ?5"),
        params![epoch, report.head, report.floor, at, forgotten_to],
    )?;
    Ok(Built {
        new_epoch,
        incomplete_tables: foreign::copy(old, new)?,
    })
}

/// Whether a number can be a time of this log: no later than the year 9999.
fn is_a_time(at: u64) -> bool {
    at < 253_402_300_800_000
}

struct Copy<'a> {
    old: &'a Connection,
    new: &'a Connection,
    examined: &'a Examined,
    newest: HashMap<Arc<str>, Previous>,
    /// The latest time so far, which never falls.
    at: u64,
    /// Whether there is a damaged record whose topic is not known.
    has_orphans: bool,
}

impl Copy<'_> {
    fn take(&mut self, found: &CheckedRow) -> Result<(), Failure> {
        let offset = found.offset();
        let at = self
            .old
            .prepare_cached("SELECT at FROM records WHERE offset = ?1")?
            .query_row([offset], |row| row.get(0));
        self.at = self
            .at
            .max(at.ok().filter(|at| is_a_time(*at)).unwrap_or(0));
        let (topic, tag) = match found.state {
            RowState::Whole => {
                self.whole(found)?;
                (found.record.topic.clone(), found.record.tag)
            }
            RowState::PutAside => {
                self.put_aside(offset, &found.record.topic, found.record.tag)?;
                (found.record.topic.clone(), found.record.tag)
            }
            RowState::Damaged => {
                let damaged = self.examined.damaged.get(&offset);
                let topic = damaged.and_then(|damaged| damaged.topic.clone());
                let tag = damaged.map_or(found.record.tag, |damaged| damaged.tag);
                self.has_orphans |= topic.is_none();
                let topic = topic.unwrap_or_default();
                self.put_aside(offset, &topic, tag)?;
                (topic, tag)
            }
        };
        let tag = Some(tag);
        self.newest.insert(topic, Previous { offset, tag });
        Ok(())
    }

    fn whole(&self, found: &CheckedRow) -> Result<(), Failure> {
        let record = &found.record;
        let before = self.newest.get(&record.topic).copied();
        let floor = self.examined.report.floor;
        // A record that names a missing record before it would make readers think that the index is wrong.
        let previous = found.previous.map(|named| match before {
            Some(before) => before,
            None if named.offset <= floor => named,
            None => Previous {
                offset: floor,
                tag: None,
            },
        });
        let offset = found.offset();
        let key = record.conflation_key.as_deref();
        let checksum = checksum(
            offset,
            record.tag,
            &record.topic,
            &record.event,
            key,
            previous,
        );
        self.insert(params![
            offset,
            &*record.topic,
            record.tag,
            self.at,
            key,
            checksum,
            &*record.event,
            previous.map(|previous| previous.offset),
            previous.and_then(|previous| previous.tag)
        ])
    }

    fn put_aside(&self, offset: u64, topic: &str, tag: u32) -> Result<(), Failure> {
        let (none, nothing) = (None::<u64>, &[][..]);
        self.insert(params![
            offset,
            topic,
            tag,
            self.at,
            None::<&str>,
            PUT_ASIDE,
            nothing,
            none,
            none
        ])
    }

    fn insert(&self, row: &[&dyn rusqlite::ToSql]) -> Result<(), Failure> {
        self.new
            .prepare_cached(
                "INSERT INTO records (offset, topic, tag, at, conflation_key, checksum, event, previous, previous_tag)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(row)?;
        Ok(())
    }

    /// Writes the newest record of each topic. Returns the offset up to which topics without an entry may have lost
    /// records.
    fn topics(&self) -> Result<u64, Failure> {
        let sql = "INSERT OR REPLACE INTO topics (topic, offset, tag) VALUES (?1, ?2, ?3)";
        let mut insert = self.new.prepare(sql)?;
        let floor = self.examined.report.floor;
        let stored = self.examined.stored.forgotten_to;
        let mut forgotten_to = floor;
        if let (true, Some(stored)) = (
            self.examined.topics_are_right,
            stored.filter(|to| *to <= floor),
        ) {
            // Topics without a record left keep their entry.
            forgotten_to = stored;
            let mut old = self.old.prepare("SELECT topic, offset, tag FROM topics")?;
            let mut rows = old.query(())?;
            while let Some(row) = rows.next()? {
                let topic: String = row.get(0)?;
                insert.execute(params![topic, row.get::<_, u64>(1)?, row.get::<_, u32>(2)?])?;
            }
        }
        for (topic, newest) in &self.newest {
            insert.execute(params![&**topic, newest.offset, newest.tag])?;
        }
        Ok(forgotten_to)
    }

    /// Copies the idempotency keys whose records were published with them, or are gone.
    fn keys(&self) -> Result<(), Failure> {
        let report = &self.examined.report;
        let sql =
            "INSERT OR IGNORE INTO keys (topic, key, offset, tag, at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = self.new.prepare(sql)?;
        let mut read = self
            .old
            .prepare("SELECT topic, key, offset, tag, at FROM keys")?;
        let mut rows = read.query(())?;
        // If the table cannot be read to its end, the rows before that are kept.
        while let Ok(Some(row)) = rows.next() {
            let key = (|| -> rusqlite::Result<(Arc<str>, String, u64, u32, u64)> {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })();
            let Ok((topic, key, offset, tag, at)) = key else {
                continue;
            };
            let is_gone = offset <= report.floor || self.examined.damaged.contains_key(&offset);
            if offset <= report.head && (is_gone || is_of(self.old, offset, &topic, Some(tag))?) {
                insert.execute(params![&*topic, key, offset, tag, at])?;
            }
        }
        Ok(())
    }
}
