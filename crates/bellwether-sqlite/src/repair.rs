//! [`repair`](fn@repair): makes a damaged file a sound one, in which a gap stands for what is lost.
//!
//! The file is never changed in place: a sound one is written beside it and takes its name in one step, after the old
//! file was copied. A process that is killed meanwhile leaves the old file or the new one.

mod copy;
mod foreign;
mod rebuild;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bellwether_topics::Epoch;
use rusqlite::{Connection, OpenFlags};

use crate::check::examine::{Examined, examine};
use crate::check::{self, OnProgress, Progress, Report};
use crate::error::{Kind, OpenError};
use crate::lock::Lock;
use crate::schema;
use crate::writer::beside;

/// What a repair did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong. If the file was sound, nothing was changed.
    pub found: Report,
    /// The path of the copy of the old file; `None` if nothing was changed.
    pub copy: Option<PathBuf>,
    /// The number of damaged records that were put aside. Their readers get a gap over exactly these records.
    pub put_aside: u64,
    /// The new epoch of the log, if it has one: then every reader that comes back gets a gap.
    pub new_epoch: Option<Epoch>,
    /// Tables of other programs that could not be copied completely.
    pub incomplete_tables: Vec<String>,
}

/// Repairs the log in this file: puts damaged records aside, and rebuilds the index over topics, the table of topics
/// and the log's counters.
///
/// Readers then get what is whole, and a gap `damaged` over exactly the records that were put aside. Ids stay valid.
/// The log takes a new epoch only if the topic of a damaged record is not known any more, or if the log's counters are
/// lost.
///
/// A sound file is not changed. Otherwise a copy of the old file is kept beside it, as `FILE.before-repair-TIME`. The
/// copy takes the file's size again, and during the repair the new file does so a second time.
///
/// # Errors
///
/// As [`check`](fn@crate::check); also if a server has the file open ([`OpenError::is_in_use`]), another program reads it, or
/// the disk is full ([`OpenError::is_unusable`]). The file is then as it was.
pub fn repair(
    path: impl AsRef<Path>,
    mut on_progress: impl FnMut(Progress),
) -> Result<Repaired, OpenError> {
    repair_at(path.as_ref(), SystemTime::now(), &mut on_progress)
}

fn repair_at(
    path: &Path,
    now: SystemTime,
    on_progress: OnProgress<'_>,
) -> Result<Repaired, OpenError> {
    let io = |what: &'static str| {
        move |error: std::io::Error| {
            OpenError::unusable(path, format!("{what}: {error}")).with_source(error)
        }
    };
    // A file that is no log gets no lock file beside it.
    drop(check::open(path)?);
    let path = &path
        .canonicalize()
        .map_err(io("the path cannot be followed"))?;
    let _lock = Lock::take(path)?;
    let new = beside(path, "-repairing");
    copy::remove(&new).map_err(io("what an earlier repair left cannot be removed"))?;

    let old = check::open(path)?;
    let failed = |failure| schema::failed(path, failure);
    let examined = examine(&old, on_progress).map_err(failed)?;
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
    on_progress(step("copying the file"));
    let copy = copy::keep(path, now).map_err(io("the file cannot be copied"))?;
    let old = check::open(path)?;
    let built = rebuild::rebuild(&old, &new, &examined, on_progress);
    let built = built.and_then(|built| {
        drop(old);
        on_progress(step("checking the new file"));
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
        // The log is unchanged, and both files hold nothing that it does not hold.
        let _ = copy::remove(&new);
        let _ = copy::remove(&copy);
    })?;
    copy::sync_folder(path).map_err(io("its folder cannot be synced"))?;
    Ok(repaired(examined, copy, built))
}

fn repaired(examined: Examined, copy: PathBuf, built: rebuild::Built) -> Repaired {
    Repaired {
        put_aside: examined.damaged.len() as u64,
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

/// Checks that the new file is sound.
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

/// Empties the old file's write-ahead log, which SQLite would otherwise take for the new file's.
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
