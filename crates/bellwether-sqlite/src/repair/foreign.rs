//! Tables of other programs in the file, which a repair copies unchanged.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::failure::Failure;

const OTHERS: &str = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL
    AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    AND tbl_name NOT IN ('log', 'records', 'keys', 'topics', 'guard', 'events')
    ORDER BY type = 'table' DESC, type = 'view' DESC";

/// Copies tables, views, indexes and triggers. Returns the tables that were not copied completely.
pub(super) fn copy(old: &Connection, new: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = old.prepare(OTHERS)?;
    let found = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, String, String)> = found.collect::<Result<_, _>>()?;
    let mut incomplete = Vec::new();
    for (kind, name, sql) in found {
        let made = new.execute_batch(&sql);
        let copied = made.and_then(|()| match &*kind {
            "table" => rows(old, new, &name),
            _ => Ok(()),
        });
        match copied {
            Ok(()) => {}
            // The disk is at fault, or full.
            Err(error) if new.is_autocommit() => return Err(error.into()),
            Err(_) => incomplete.push(name),
        }
    }
    Ok(incomplete)
}

fn rows(old: &Connection, new: &Connection, table: &str) -> rusqlite::Result<()> {
    let table = table.replace('"', "\"\"");
    let mut select = old.prepare(&format!("SELECT * FROM \"{table}\""))?;
    let columns = select.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = new.prepare(&format!("INSERT INTO \"{table}\" VALUES ({places})"))?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let values: Vec<Value> = (0..columns)
            .map(|at| row.get(at))
            .collect::<Result<_, _>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}
