//! Reads a log record by record, also where the file is damaged: what is whole, and what is left of the rest.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_topics::broker::Record;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::read;

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Row {
    Whole {
        record: Record,
        at: u64,
        previous: Option<(u64, Option<u32>)>,
    },
    /// Something else than what was written.
    Damaged(Remains),
    /// What a repair has left of a record that was lost.
    Lost(Remains),
    Missing,
    /// SQLite cannot read it.
    Unreadable,
}

/// What a record that is not whole still says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remains {
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) tag: Option<u32>,
    pub(crate) at: Option<u64>,
}

/// A topic's record that another place of the file names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) topic: Arc<str>,
    pub(crate) tag: Option<u32>,
}

/// Looks at one offset.
pub(crate) fn row(connection: &Connection, offset: u64) -> Row {
    let read = || -> Result<Option<Row>, Failure> {
        let sql = format!(
            "SELECT {}, at FROM records WHERE offset = ?1",
            read::COLUMNS
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_row([offset], |row| Ok(look(row, offset)));
        Ok(found.optional()?)
    };
    match read() {
        Ok(Some(row)) => row,
        Ok(None) => Row::Missing,
        Err(_) => Row::Unreadable,
    }
}

fn look(row: &rusqlite::Row<'_>, offset: u64) -> Row {
    let at = row.get::<_, u64>(8).ok();
    if let (Some(found), Some(at)) = (read::whole(row, offset), at) {
        let tag = row.get(7).ok().flatten();
        return Row::Whole {
            record: found.record,
            at,
            previous: found.previous.map(|previous| (previous, tag)),
        };
    }
    let remains = Remains {
        topic: row.get(2).ok(),
        tag: row.get(1).ok(),
        at,
    };
    // No event is empty, so only a repair writes such a record.
    match row.get_ref(5) {
        Ok(ValueRef::Blob([])) => Row::Lost(remains),
        _ => Row::Damaged(remains),
    }
}

/// Topics with their newest records: offset and tag.
pub(crate) type Newest = HashMap<Arc<str>, (u64, u32)>;

/// The topics' newest records, as the file's own table has them; as much of it as can be read.
pub(crate) fn topics(connection: &Connection) -> (Newest, Option<Failure>) {
    let mut topics = HashMap::new();
    let mut read = || -> Result<(), Failure> {
        let mut statement = connection.prepare("SELECT topic, offset, tag FROM topics")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            topics.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        }
        Ok(())
    };
    let failure = read().err();
    (topics, failure)
}

/// The last offset in the table, if that can be read.
pub(crate) fn last(connection: &Connection) -> Option<u64> {
    let last = connection.query_row("SELECT max(offset) FROM records", (), |row| row.get(0));
    last.ok().flatten()
}
