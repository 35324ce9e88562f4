//! [`repair`]: writes a log anew from what can be read of it, after a copy of the file was made.
//!
//! The new file is complete and on the disk before it takes the place of the old one, so a process that is killed in the
//! middle leaves the old one as it was.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bellwether_topics::Epoch;
use rusqlite::{Connection, OpenFlags, params};

use crate::check::{self, Report};
use crate::error::OpenError;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::read::SIZE;
use crate::salvage::{self, Named, Newest, Remains, Row};
use crate::schema;
use crate::verify;
use crate::writer::beside;

/// What [`repair`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong before.
    pub before: Report,
    /// The copy of the file as it was; none if nothing was wrong, and nothing was done.
    pub copy: Option<PathBuf>,
    /// Records that are lost now. Readers are told a gap `damaged` over exactly these.
    pub lost: u64,
    /// The log had to take a new epoch, since its own row could not be read: every reader is told a gap.
    pub is_new_epoch: bool,
}

/// Mends the log at `path`: what can be read is kept, under the same ids, and readers are told a gap over the rest.
///
/// A copy of the file is made first, beside it, as `<file>.before-repair-<seconds since 1970>`. A log without a fault is
/// left alone.
///
/// ```no_run
/// let repaired = bellwether_sqlite::repair("events.db", &mut |_, _| {})?;
/// if let Some(copy) = &repaired.copy {
///     println!("the file as it was is now {}", copy.display());
/// }
/// # Ok::<(), bellwether_sqlite::OpenError>(())
/// ```
///
/// # Errors
///
/// A broker has the log open, the file is no log or cannot be read at all, or the disk has no room for two copies.
pub fn repair(
    path: impl AsRef<Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Repaired, OpenError> {
    let path = path.as_ref();
    // First, so that a wrong path gets no lock file beside it.
    drop(schema::open_for_check(path)?);
    let _lock = Lock::take(path)?;
    let connection = schema::open_for_check(path)?;
    let before = check::look_through(&connection, progress);
    if before.is_sound() {
        return Ok(Repaired {
            lost: before.lost,
            before,
            copy: None,
            is_new_epoch: false,
        });
    }
    let copy = copy(path)?;
    move_in(path);
    let new = beside(path, ".repairing");
    remove(&new)?;
    let made = salvage_into(&connection, &new);
    let (lost, is_new_epoch) = made.inspect_err(|_| drop(remove(&new)))?;
    drop(connection);
    replace(path, &new)?;
    Ok(Repaired {
        before,
        copy: Some(copy),
        lost,
        is_new_epoch,
    })
}

/// Copies the file and what was not yet moved into it, under a name that nothing has.
fn copy(path: &Path) -> Result<PathBuf, OpenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut seconds = now.map_or(0, |since| since.as_secs());
    let copy = loop {
        let copy = beside(path, &format!(".before-repair-{seconds}"));
        if !copy.exists() {
            break copy;
        }
        seconds += 1;
    };
    let failed = |error| OpenError::unusable(path, "it cannot be copied").with_source(error);
    fs::copy(path, &copy).map_err(failed)?;
    let wal = beside(path, "-wal");
    if wal.exists() {
        fs::copy(&wal, beside(&copy, "-wal")).map_err(failed)?;
    }
    sync(&copy).map_err(failed)?;
    Ok(copy)
}

/// Moves what stands beside the file into it, as far as that works: then nothing is lost if this process is killed just
/// before the new file takes its place.
fn move_in(path: &Path) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let moved = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
    });
    // A file that is too damaged for it is read together with what stands beside it, and both were copied.
    drop(moved);
}

/// Writes the new file. Returns how many records are lost, and whether the epoch is new.
fn salvage_into(old: &Connection, path: &Path) -> Result<(u64, bool), OpenError> {
    let new = schema::open_writer(path, true)?;
    let failed = |failure: Failure| schema::failed(path, failure);
    let transaction = verify::begin(&new).map_err(failed)?;
    let made = write(old, &new).map_err(failed)?;
    verify::commit(transaction).map_err(failed)?;
    // All in one file, so that it can take the old one's place by its name alone.
    let moved = new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
        row.get::<_, i64>(0)
    });
    moved.map_err(|error| failed(error.into()))?;
    new.close().map_err(|(_, error)| failed(error.into()))?;
    sync(path).map_err(|error| {
        OpenError::unusable(path, "it cannot be made safe on the disk").with_source(error)
    })?;
    Ok(made)
}

fn write(old: &Connection, new: &Connection) -> Result<(u64, bool), Failure> {
    let bounds = check::bounds(old);
    let (old_topics, _) = salvage::topics(old);
    let named = named(old, &bounds, &old_topics);
    let mut lost = 0;
    let mut at_before = 0;
    let mut put = new.prepare(
        "INSERT INTO records (offset, topic, tag, at, conflation_key, checksum, event, previous, previous_tag)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for offset in bounds.first..=bounds.last {
        let remains = match salvage::row(old, offset) {
            Row::Whole {
                record,
                at,
                previous,
            } => {
                at_before = at;
                let checksum: u32 = old.query_row(
                    "SELECT checksum FROM records WHERE offset = ?1",
                    [offset],
                    |row| row.get(0),
                )?;
                put.execute(params![
                    offset,
                    &*record.topic,
                    record.tag,
                    at,
                    record.conflation_key.as_deref(),
                    checksum,
                    &record.event[..],
                    previous.map(|(previous, _)| previous),
                    previous.and_then(|(_, tag)| tag),
                ])?;
                continue;
            }
            Row::Damaged(remains) | Row::Lost(remains) => remains,
            Row::Missing | Row::Unreadable => Remains::default(),
        };
        lost += 1;
        let named = named.get(&offset);
        // What others say of it is whole; what it says itself may be what is damaged.
        let topic = named.map(|named| &*named.topic);
        let topic = topic.or(remains.topic.as_deref()).unwrap_or_default();
        let tag = named.and_then(|named| named.tag).or(remains.tag);
        let at = remains.at.unwrap_or(at_before).max(at_before);
        // An empty event, which none is, and a checksum that does not fit: readers are told a gap over it.
        put.execute(params![
            offset,
            topic,
            tag.unwrap_or(0),
            at,
            None::<&str>,
            0,
            &[] as &[u8],
            None::<u64>,
            None::<u32>
        ])?;
    }
    drop(put);
    write_keys(old, new)?;
    let (epoch, forgotten_to) = match &bounds.log {
        Ok(log) => (log.epoch, log.forgotten_to),
        Err(_) => (Epoch::random(), bounds.first - 1),
    };
    new.execute_batch(
        "INSERT INTO topics (topic, offset, tag) SELECT topic, max(offset), tag FROM records WHERE topic <> '' GROUP BY topic;",
    )?;
    let mut put =
        new.prepare("INSERT OR IGNORE INTO topics (topic, offset, tag) VALUES (?1, ?2, ?3)")?;
    for (topic, (offset, tag)) in &old_topics {
        // Of those whose records are gone; the others stand in the records.
        if *offset < bounds.first {
            put.execute(params![&**topic, offset, tag])?;
        }
    }
    drop(put);
    let bytes: u64 = new.query_row(
        &format!("SELECT coalesce(sum({SIZE}), 0) FROM records"),
        (),
        |row| row.get(0),
    )?;
    new.execute(
        "UPDATE log SET epoch = ?1, head = ?2, floor = ?3, bytes = ?4, at = ?5, forgotten_to = ?6",
        params![
            epoch.0.cast_signed(),
            bounds.last,
            bounds.first - 1,
            bytes,
            at_before,
            forgotten_to
        ],
    )?;
    Ok((lost, bounds.log.is_err()))
}

/// Whose the records were that are not whole: their topics' next records name them, or the table of topics does.
fn named(old: &Connection, bounds: &check::Bounds, topics: &Newest) -> HashMap<u64, Named> {
    let mut named: HashMap<u64, Named> = HashMap::new();
    for (topic, (offset, tag)) in topics {
        let (topic, tag) = (topic.clone(), Some(*tag));
        named.insert(*offset, Named { topic, tag });
    }
    for offset in bounds.first..=bounds.last {
        if let Row::Whole {
            record,
            previous: Some((previous, tag @ Some(_))),
            ..
        } = salvage::row(old, offset)
        {
            let topic = record.topic;
            named.insert(previous, Named { topic, tag });
        }
    }
    named
}

/// Copies the idempotency keys, as far as they can be read: a key that is lost costs at most a repeated event.
fn write_keys(old: &Connection, new: &Connection) -> Result<(), Failure> {
    let Ok(mut statement) = old.prepare("SELECT topic, key, offset, tag, at FROM keys") else {
        return Ok(());
    };
    let Ok(mut rows) = statement.query(()) else {
        return Ok(());
    };
    let mut put = new.prepare(
        "INSERT OR IGNORE INTO keys (topic, key, offset, tag, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    while let Ok(Some(row)) = rows.next() {
        let key = || -> rusqlite::Result<(String, String, u64, u32, u64)> {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        };
        if let Ok((topic, key, offset, tag, at)) = key() {
            put.execute(params![topic, key, offset, tag, at])?;
        }
    }
    Ok(())
}

/// Puts the new file in the old one's place. What was not yet moved into the old one goes first: it would be taken for
/// a part of the new one.
fn replace(path: &Path, new: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::unusable(path, "it cannot be replaced").with_source(error);
    for end in ["-wal", "-shm"] {
        remove_file(&beside(path, end)).map_err(failed)?;
        remove_file(&beside(new, end)).map_err(failed)?;
    }
    fs::rename(new, path).map_err(failed)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    sync(folder.unwrap_or(Path::new("."))).map_err(failed)
}

fn remove(new: &Path) -> Result<(), OpenError> {
    for end in ["", "-wal", "-shm"] {
        let file = beside(new, end);
        remove_file(&file).map_err(|error| {
            OpenError::unusable(&file, "an old try cannot be removed").with_source(error)
        })?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn sync(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}
