//! [`repair`](fn@repair): makes a damaged file a sound one, of which readers are told what is lost.
//!
//! The file is never changed in place: a sound one is written beside it and takes its name in one step, after a copy of
//! what was there. A process that is killed on the way leaves the old file or the new one.

mod copy;
mod foreign;
mod rebuild;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bellwether_topics::Epoch;
use rusqlite::{Connection, OpenFlags};

use crate::check::examine::{Examined, examine};
use crate::check::{self, Progress, Report, Tell};
use crate::error::{Kind, OpenError};
use crate::lock::Lock;
use crate::schema;
use crate::writer::beside;

/// What a repair did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong. If nothing was, nothing was done.
    pub found: Report,
    /// Where the file as it was is kept now; `None` if nothing was done.
    pub copy: Option<PathBuf>,
    /// How many damaged records were put aside: their readers are told a gap over exactly them.
    pub put_aside: u64,
    /// The epoch that the log has now, if it is another one: then every reader that comes back is told a gap.
    pub new_epoch: Option<Epoch>,
    /// Tables of other programs that could not be taken over as a whole.
    pub incomplete_tables: Vec<String>,
}

/// Repairs the log in this file: puts damaged records aside and makes the index over topics, the notes about topics and the
/// numbers of the log anew.
///
/// Readers then get what is good and one gap, `damaged`, over exactly the records that were put aside. Ids stay valid. Only
/// where nothing tells any more whose a damaged record was, or where the log's own numbers are lost, it takes a new epoch.
///
/// A sound file is left alone. Otherwise the file as it was is kept beside it, as `FILE.before-repair-TIME`, which takes as
/// much room again, and for a while as much a second time.
///
/// # Errors
///
/// As [`check`](fn@crate::check); also if a server has the file open ([`OpenError::is_in_use`]), another program reads it, or
/// the disk is full ([`OpenError::is_unusable`]). The file is then as it was.
pub fn repair(
    path: impl AsRef<Path>,
    mut tell: impl FnMut(Progress),
) -> Result<Repaired, OpenError> {
    repair_at(path.as_ref(), SystemTime::now(), &mut tell)
}

fn repair_at(path: &Path, now: SystemTime, tell: Tell<'_>) -> Result<Repaired, OpenError> {
    let io = |what: &'static str| {
        move |error: std::io::Error| {
            OpenError::unusable(path, format!("{what}: {error}")).with_source(error)
        }
    };
    // A name that is none of a log gets no lock file beside it.
    drop(check::open(path)?);
    let path = &path
        .canonicalize()
        .map_err(io("the path cannot be followed"))?;
    let _lock = Lock::take(path)?;
    let new = beside(path, "-repairing");
    copy::remove(&new).map_err(io("what an earlier repair left cannot be removed"))?;

    let old = check::open(path)?;
    let failed = |failure| schema::failed(path, failure);
    let examined = examine(&old, tell).map_err(failed)?;
    if examined.report.is_sound() {
        return Ok(Repaired {
            found: examined.report,
            copy: None,
            put_aside: 0,
            new_epoch: None,
            incomplete_tables: Vec::new(),
        });
    }
    // No handle of the file may be closed while SQLite has it open in this process: that would end SQLite's locks.
    drop(old);
    tell(step("copying the file"));
    let copy = copy::keep(path, now).map_err(io("the file cannot be copied"))?;
    let old = check::open(path)?;
    let built = rebuild::rebuild(&old, &new, &examined, tell);
    let built = built.and_then(|built| {
        drop(old);
        tell(step("checking the new file"));
        sound(&new)?;
        Ok(built)
    });
    let swapped = built.and_then(|built| {
        copy::make_safe(path, &new).map_err(io("the new file cannot be made safe"))?;
        close_old(path)?;
        fs::rename(&new, path).map_err(io("the new file cannot take the log's name"))?;
        Ok(built)
    });
    let built = swapped.inspect_err(|_| {
        // The log is as it was, and neither of these has anything that it has not.
        let _ = copy::remove(&new);
        let _ = copy::remove(&copy);
    })?;
    copy::sync_folder(path).map_err(io("its folder cannot be synced"))?;
    Ok(repaired(examined, copy, built))
}

fn repaired(examined: Examined, copy: PathBuf, built: rebuild::Built) -> Repaired {
    Repaired {
        put_aside: examined.bad.len() as u64,
        found: examined.report,
        copy: Some(copy),
        new_epoch: built.new_epoch,
        incomplete_tables: built.incomplete_tables,
    }
}

fn step(step: &'static str) -> Progress {
    Progress {
        step,
        done: 0,
        of: 0,
    }
}

/// Holds the new file to what it is for.
fn sound(new: &Path) -> Result<(), OpenError> {
    let report = check::check(new, |_| ())?;
    match report.problems.first() {
        None => Ok(()),
        Some(problem) => Err(OpenError::new(
            new,
            Kind::Damaged {
                found: format!("the repaired file is not sound: {problem}"),
            },
        )),
    }
}

/// Leaves nothing in the old file's write-ahead log, which SQLite would take for the new file's.
fn close_old(path: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| schema::failed(path, error.into());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let old = Connection::open_with_flags(path, flags).map_err(failed)?;
    old.busy_timeout(schema::BUSY_TIMEOUT).map_err(failed)?;
    // Succeeds only if no other program has the file open, and removes both companions.
    let mode: rusqlite::Result<String> =
        old.query_row("PRAGMA journal_mode=DELETE", (), |row| row.get(0));
    drop(old);
    let in_use = || {
        OpenError::unusable(
            path,
            "another program has the file open; end that one, then repair again",
        )
    };
    let is_busy = |error: &rusqlite::Error| {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(
            error.sqlite_error_code(),
            Some(DatabaseBusy | DatabaseLocked)
        )
    };
    match mode {
        Ok(mode) if mode == "delete" => Ok(()),
        Ok(_) => Err(in_use()),
        Err(error) if is_busy(&error) => Err(in_use()),
        Err(error) => Err(failed(error)),
    }
}
