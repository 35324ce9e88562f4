//! [`Lock`]: the file lock by which a log is open only once.
//!
//! SQLite would let several processes write to one file, but offsets and wake-ups have one source. The lock is a file
//! beside the log, `<file>-lock`, because locks on the log's own file are SQLite's, and closing another handle of it would
//! release them (POSIX `fcntl`). The system releases the lock when the process ends, however it does; the file stays.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Kind, OpenError};
use crate::writer::beside;

/// How long to wait for a process that is just ending.
const MAX_WAIT: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The lock of a log. Held as long as any connection to the log is open.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the log at `path`.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let name = beside(path, "-lock");
        let since = Instant::now();
        loop {
            match try_take(&name) {
                Ok(Some(mut file)) => {
                    // For the message of the next process; the lock works without it.
                    let _ = file.set_len(0);
                    let _ = file.rewind();
                    let _ = write!(file, "{}", std::process::id());
                    return Ok(Self { _file: file });
                }
                Ok(None) if since.elapsed() >= MAX_WAIT => {
                    let process = holder(&name);
                    return Err(OpenError::new(path, Kind::InUse { process }));
                }
                Ok(None) => std::thread::sleep(RETRY_INTERVAL),
                Err(error) => {
                    let found = format!("cannot make its lock file {}", name.display());
                    return Err(OpenError::unusable(path, found).with_source(error));
                }
            }
        }
    }
}

fn holder(name: &Path) -> String {
    let mut text = String::new();
    let read = File::open(name).and_then(|file| file.take(32).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) if id == std::process::id() => "another broker of this process".into(),
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "another process".into(),
    }
}

#[cfg(unix)]
fn try_take(name: &Path) -> std::io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};

    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(error) => match std::io::Error::from(error) {
            error if error.kind() == ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        },
    }
}

/// Where the system lets a file be opened without sharing it.
#[cfg(windows)]
fn try_take(name: &Path) -> std::io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    /// `ERROR_SHARING_VIOLATION`.
    const SHARED: i32 = 32;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .open(name);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARED) => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
