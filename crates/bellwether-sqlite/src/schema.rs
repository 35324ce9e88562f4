//! The tables of the file, for people who open it with another program.
//!
//! The header has the `application_id` [`APPLICATION_ID`] (the letters `Bwlg`) and the `user_version` [`VERSION`]. A
//! file of a later version is refused; one of an earlier version is brought up to date in one transaction when it is
//! opened.
//!
//! | table | column | holds |
//! |---|---|---|
//! | `log`, one row | `epoch` | 64 random bits that name this history, as a signed number |
//! | | `head`, `floor` | the offset of the last record; every record up to `floor` is gone, every later one is there |
//! | | `forgotten_to` | of topics that are not in `topics`, every record up to here may be gone |
//! | | `bytes` | what the records in between count for retention |
//! | | `at` | when the last record was appended, in milliseconds since 1970; never falls |
//! | `records` | `offset` | 1, 2, 3 …, never used twice |
//! | | `topic`, `tag` | the topic's name; 32 random bits, which are part of the event's id |
//! | | `at` | as above |
//! | | `conflation_key` | or null |
//! | | `previous`, `previous_tag` | the topic's record before; 0 and null if there was none; null in records of the first version |
//! | | `checksum` | CRC-32 of offset, tag, topic, key, event and `previous` |
//! | | `event` | the encoded event without its `id:` line |
//! | `keys` | `topic`, `key` | an idempotency key within its window |
//! | | `offset`, `tag`, `at` | of the record that it was published with |
//!
//! | `topics` | `topic`, `offset`, `tag` | a topic's newest record, also for a while after it is gone |
//! | `guard`, one row | `is_ours` | 1 within a transaction of the broker |
//! | | `foreign_writes` | how often other programs have written to these tables, counted by triggers |
//!
//! The view `events` shows records with a readable time and the event as text.
//!
//! Any program may read the file; a long read transaction lets the `-wal` file grow meanwhile. A broker notices writes
//! of other programs to these tables and takes a new epoch, so that every reader that resumes gets a gap. Tables of
//! your own in the same file change nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Kind, OpenError};
use crate::failure::{Failure, Reason};

/// In the header of each file of this crate: the letters `Bwlg`.
pub const APPLICATION_ID: i32 = 0x4277_6c67;
/// The version of the schema that this crate writes.
pub const VERSION: i64 = 2;

const TABLES: &str = "
CREATE TABLE log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    head INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    at INTEGER NOT NULL,
    forgotten_to INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE records (
    offset INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    tag INTEGER NOT NULL,
    at INTEGER NOT NULL,
    conflation_key TEXT,
    checksum INTEGER NOT NULL,
    event BLOB NOT NULL,
    previous INTEGER,
    previous_tag INTEGER
) STRICT;
CREATE INDEX records_by_topic ON records (topic);
CREATE TABLE keys (
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    offset INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (topic, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_offset ON keys (offset);
CREATE VIEW events AS
    SELECT offset, topic, datetime(at / 1000, 'unixepoch') AS at, conflation_key, CAST(event AS TEXT) AS event
    FROM records;
";

/// What version 2 adds to the first version.
const VERSION_2: &str = "
CREATE TABLE topics (
    topic TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    tag INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE guard (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    is_ours INTEGER NOT NULL,
    foreign_writes INTEGER NOT NULL
) STRICT;
INSERT INTO guard (id, is_ours, foreign_writes) VALUES (1, 0, 0);
";

/// From the first version to the second.
const UPGRADE: &str = "
ALTER TABLE log ADD COLUMN forgotten_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN previous INTEGER;
ALTER TABLE records ADD COLUMN previous_tag INTEGER;
";

/// The tables that only the broker writes to.
const OWN: [&str; 4] = ["log", "records", "keys", "topics"];

/// How long a statement waits for another program's lock on the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that writes. With `create`, an empty or missing file becomes a log.
pub(crate) fn open_writer(path: &Path, create: bool) -> Result<Connection, OpenError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    if create {
        // Only while this process has no connection: closing any handle of a file ends all its POSIX locks.
        check_first_bytes(path)?;
    }
    let opened = Connection::open_with_flags(path, flags);
    let connection = opened.map_err(|error| failed(path, error.into()))?;
    prepare_writer(path, &connection, create)?;
    Ok(connection)
}

/// A connection that reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA cell_size_check=ON; PRAGMA query_only=ON;")?;
    // From its first read on, a connection keeps the index of the write-ahead log alive. A writer that must be opened
    // again then starts after what was committed, and overwrites what was written and could not be synced. Without the
    // index SQLite would use that again, though no later sync makes it safe.
    connection.query_row("SELECT epoch FROM log", (), |_| Ok(()))?;
    Ok(connection)
}

/// A connection to a file that may hold anything, for reading all of it.
pub(crate) fn open_for_check(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA cell_size_check=ON; PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;",
    )?;
    Ok(connection)
}

fn prepare_writer(path: &Path, connection: &Connection, create: bool) -> Result<(), OpenError> {
    let sql = |error: rusqlite::Error| failed(path, error.into());
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    connection
        .execute_batch("PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;")
        .map_err(sql)?;
    let found = check_header(path, connection)?;
    let is_new = found == FileContent::Nothing;
    if is_new && !create {
        return Err(OpenError::unusable(path, "the file is empty or gone"));
    }
    // The mode is kept in the file; a file system without shared memory refuses it.
    let mode: String = connection
        .query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0))
        .map_err(sql)?;
    if mode != "wal" {
        return Err(OpenError::unusable(
            path,
            "the file system offers no shared memory for SQLite's write-ahead log; use a local disk",
        ));
    }
    // FULL syncs with each commit, which is the promise. Checkpoints are made by the writer between commits.
    connection
        .execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;
             PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY;",
        )
        .map_err(sql)?;
    if is_new {
        make(connection).map_err(|error| failed(path, error))?;
    }
    if found == FileContent::First {
        upgrade(connection).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// Refuses another program's file before SQLite touches it. This check is only the first: it does not see what is still
/// in the write-ahead log.
pub(crate) fn check_first_bytes(path: &Path) -> Result<(), OpenError> {
    use std::io::Read;

    let mut head = [0; 72];
    let read = std::fs::File::open(path).and_then(|mut file| match file.metadata()?.len() {
        0 => Ok(false),
        _ => file.read_exact(&mut head).map(|()| true),
    });
    let found = match read {
        Ok(false) => return Ok(()),
        Ok(true) if head[..16] != *b"SQLite format 3\0" => "no SQLite file".to_owned(),
        Ok(true) => match i32::from_be_bytes([head[68], head[69], head[70], head[71]]) {
            0 | APPLICATION_ID => return Ok(()),
            id => format!("an SQLite file of the application {id:#010x}"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "no SQLite file".to_owned()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(OpenError::unusable(path, "the file cannot be read").with_source(error));
        }
    };
    Err(OpenError::new(path, Kind::NotOurs { found }))
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileContent {
    /// No log yet.
    Nothing,
    /// A log of the first version.
    First,
    /// One of this version.
    Present,
}

pub(crate) fn check_header(path: &Path, connection: &Connection) -> Result<FileContent, OpenError> {
    let number = |pragma: &str| -> Result<i64, Failure> {
        Ok(connection.query_row(&format!("PRAGMA {pragma}"), (), |row| row.get(0))?)
    };
    let not_ours = |found: String| OpenError::new(path, Kind::NotOurs { found });
    let id = match number("application_id") {
        Err(failure) if is_no_database(&failure) => {
            return Err(not_ours("no SQLite file".into()));
        }
        id => id.map_err(|error| failed(path, error))?,
    };
    let version = number("user_version").map_err(|error| failed(path, error))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(|error| failed(path, error.into()))?;
    match id {
        0 if version == 0 && tables == 0 => Ok(FileContent::Nothing),
        id if id == i64::from(APPLICATION_ID) => match version {
            1 => Ok(FileContent::First),
            VERSION => Ok(FileContent::Present),
            found if found > VERSION => Err(OpenError::new(
                path,
                Kind::Newer {
                    found,
                    known: VERSION,
                },
            )),
            found => Err(OpenError::new(
                path,
                Kind::Damaged {
                    found: format!("its schema has version {found}, which never existed"),
                },
            )),
        },
        0 => Err(not_ours("an SQLite file of some other program".into())),
        id => Err(not_ours(format!(
            "an SQLite file of the application {id:#010x}"
        ))),
    }
}

fn is_no_database(failure: &Failure) -> bool {
    failure.code() == Some(ErrorCode::NotADatabase)
}

/// Writes the schema and the first row, all or nothing.
pub(crate) fn make(connection: &Connection) -> Result<(), Failure> {
    let epoch = bellwether_topics::Epoch::random().0.cast_signed();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         PRAGMA application_id={APPLICATION_ID};
         PRAGMA user_version={VERSION};
         {TABLES}
         {VERSION_2}
         INSERT INTO log (id, epoch, head, floor, bytes, at) VALUES (1, {epoch}, 0, 0, 0, 0);
         {}
         COMMIT;",
        triggers()
    ))?;
    Ok(())
}

/// Brings a log of the first version up to date, all or nothing.
fn upgrade(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         PRAGMA user_version={VERSION};
         {UPGRADE}
         {VERSION_2}
         {FILL_TOPICS}
         {}
         COMMIT;",
        triggers()
    ))?;
    Ok(())
}

/// Writes the table of topics from the records that are there.
pub(crate) const FILL_TOPICS: &str = "
DELETE FROM topics;
INSERT INTO topics (topic, offset, tag) SELECT topic, max(offset), tag FROM records GROUP BY topic;
UPDATE log SET forgotten_to = floor;
";

/// Triggers that count what other programs write.
fn triggers() -> String {
    let mut sql = String::new();
    for table in OWN {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            sql += &format!(
                "CREATE TRIGGER foreign_{}_{table} AFTER {what} ON {table}
                 WHEN (SELECT is_ours FROM guard) = 0
                 BEGIN UPDATE guard SET foreign_writes = foreign_writes + 1; END;\n",
                what.to_lowercase()
            );
        }
    }
    sql
}

/// What shows that another program wrote to our tables: the triggers' count, and the tables and triggers themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteMark {
    foreign_writes: u64,
    schema: String,
}

impl WriteMark {
    pub(crate) fn of(connection: &Connection) -> Result<Self, Failure> {
        let sql = "SELECT foreign_writes FROM guard";
        let mut counted = connection.prepare_cached(sql)?;
        let sql = "SELECT coalesce(group_concat(sql, ';'), '') FROM (SELECT sql FROM sqlite_schema
                   WHERE tbl_name IN ('log', 'records', 'keys', 'topics', 'guard') ORDER BY name)";
        let mut schema = connection.prepare_cached(sql)?;
        Ok(Self {
            foreign_writes: counted.query_row((), |row| row.get(0))?,
            schema: schema.query_row((), |row| row.get(0))?,
        })
    }
}

/// Checks the pages of the whole file, as far as it gets within `time_limit`.
pub(crate) fn quick_check(connection: &Connection, time_limit: Duration) -> Result<(), Failure> {
    let found = bounded(connection, time_limit, || structure(connection))?;
    match found.unwrap_or_default().first() {
        None => Ok(()),
        Some(found) => Err(Failure::damaged(found)),
    }
}

/// The first faults of the file's pages, as SQLite reports them.
pub(crate) fn structure(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA quick_check(100)")?;
    let found = statement.query_map((), |row| row.get::<_, String>(0))?;
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    let is_structure = |text: &String| text != "ok" && !is_of_a_row(text);
    Ok(found.into_iter().filter(is_structure).collect())
}

/// Whether a fault is that of one record's content, which its checksum shows.
fn is_of_a_row(text: &str) -> bool {
    (text.contains(" value in records.") || text.contains("NULL value in records"))
        && !text.contains('\n')
}

/// Runs a query for at most `time_limit`; `None` if that was too short.
pub(crate) fn bounded<T>(
    connection: &Connection,
    time_limit: Duration,
    query: impl FnOnce() -> rusqlite::Result<T>,
) -> Result<Option<T>, Failure> {
    let since = Instant::now();
    connection.progress_handler(1000, Some(move || since.elapsed() >= time_limit))?;
    let result = query();
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// An error of SQLite as one of opening.
pub(crate) fn failed(path: &Path, failure: Failure) -> OpenError {
    let message = failure.message.clone();
    let is_damaged = failure.reason == Reason::Damaged;
    let source = failure.into_source();
    let error = match (is_damaged, &source) {
        (true, source) => OpenError::new(
            path,
            Kind::Damaged {
                found: source.as_ref().map_or(message, ToString::to_string),
            },
        ),
        (false, _) => OpenError::unusable(path, message),
    };
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}
