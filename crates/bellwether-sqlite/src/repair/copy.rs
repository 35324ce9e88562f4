//! Files of a repair: the copy of the old file, and the steps by which the new file takes its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::writer::beside;

/// Copies the file and its write-ahead log under a name that nothing has yet.
pub(super) fn keep(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let name = format!(".before-repair-{}", stamp(now));
    for number in 1..1000 {
        let name = match number {
            1 => name.clone(),
            number => format!("{name}-{number}"),
        };
        let copy = beside(path, &name);
        // A companion that is left of another copy would be taken for this one's.
        if beside(&copy, "-wal").exists() {
            continue;
        }
        match copy_new(path, &copy) {
            Ok(()) => {
                let wal = beside(path, "-wal");
                if wal.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                    copy_new(&wal, &beside(&copy, "-wal"))?;
                }
                sync_folder(path)?;
                return Ok(copy);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let _ = fs::remove_file(&copy);
                return Err(error);
            }
        }
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        format!("there are too many copies named {name}"),
    ))
}

fn copy_new(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).open(to)?;
    io::copy(&mut source, &mut target)?;
    target.set_permissions(source.metadata()?.permissions())?;
    target.sync_all()
}

/// Removes a file of SQLite with its companions, as far as they exist.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(path, end)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Gives the new file the old one's permissions, and makes its content safe.
pub(super) fn make_safe(old: &Path, new: &Path) -> io::Result<()> {
    let old = old.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let is_others = new.metadata()?.uid() != old.uid() || new.metadata()?.gid() != old.gid();
        if is_others {
            // A server that runs as another user could not open it.
            chown(new, Some(old.uid()), Some(old.gid()))?;
        }
    }
    fs::set_permissions(new, old.permissions())?;
    OpenOptions::new().write(true).open(new)?.sync_all()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        return File::open(folder)?.sync_all();
    }
    let _ = path;
    Ok(())
}

/// The time in UTC in a form for file names: `20260102T030405Z`.
fn stamp(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`, for days after 1970.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_written_as_a_calendar_has_it() {
        for (seconds, written) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), written);
        }
    }
}
