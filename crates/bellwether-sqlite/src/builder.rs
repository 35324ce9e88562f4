//! [`SqliteBuilder`]: the settings of a [`SqliteBroker`], and their defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broker::SqliteBroker;
use crate::error::OpenError;
use crate::keys::KeyWindow;
use crate::retention::Retention;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) retention: Retention,
    pub(crate) key_window: KeyWindow,
    pub(crate) max_queued_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) open_check: Duration,
}

/// The settings of a [`SqliteBroker`]. Each has a default that is safe to keep.
///
/// ```
/// use bellwether_sqlite::SqliteBroker;
/// use std::time::Duration;
///
/// # let path = std::env::temp_dir().join(format!("bellwether-builder-{}.db", std::process::id()));
/// let broker = SqliteBroker::builder(&path)
///     .max_records(100_000)
///     .max_age(Some(Duration::from_secs(24 * 3600)))
///     .open()?;
/// assert_eq!(broker.path(), path.canonicalize()?);
/// # drop(broker);
/// # for end in ["", "-wal", "-shm", "-lock"] {
/// #     let mut name = path.clone().into_os_string();
/// #     name.push(end);
/// #     let _ = std::fs::remove_file(name);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `open`"]
pub struct SqliteBuilder {
    settings: Settings,
}

impl SqliteBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            settings: Settings {
                path: path.to_owned(),
                retention: Retention {
                    max_records: 1_000_000,
                    max_bytes: 1 << 30,
                    max_age: Some(Duration::from_secs(7 * 24 * 3600)),
                },
                key_window: KeyWindow {
                    duration: Duration::from_secs(600),
                    max_keys: 65_536,
                },
                max_queued_bytes: 64 << 20,
                timeout: Duration::from_secs(4),
                readers: 4,
                open_check: Duration::from_secs(1),
            },
        }
    }

    /// The most records kept, at least one. Default: a million.
    ///
    /// Under load the log may hold a sixteenth more, at most 512 records, until it is removed.
    pub fn max_records(mut self, records: u64) -> Self {
        self.settings.retention.max_records = records.max(1);
        self
    }

    /// The most bytes kept: events, names and about 48 bytes for each record. Default: 1 GiB.
    ///
    /// The file takes somewhat more. It never shrinks: space of removed records is used for new ones. Under load the log
    /// may hold a sixteenth more.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.retention.max_bytes = bytes;
        self
    }

    /// How long a record is kept; `None` for as long as the other bounds allow. Default: 7 days.
    ///
    /// Ages are measured by the clock of the machine; a clock that goes back removes nothing early. The newest record
    /// is always kept.
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.settings.retention.max_age = age;
        self
    }

    /// How long an idempotency key is known, and how many at most; beyond that the oldest is forgotten early. Default:
    /// 10 minutes, 65,536 keys. Both hold over a restart.
    pub fn idempotency_window(mut self, duration: Duration, max_keys: u64) -> Self {
        self.settings.key_window = KeyWindow { duration, max_keys };
        self
    }

    /// The most memory of records that wait for the disk; further appends wait. Default: 64 MiB, where each record
    /// counts a kilobyte at least.
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_queued_bytes = bytes;
        self
    }

    /// How long an append or a read may take before it fails. Default: 4 s, which is less than the layer above waits, so
    /// that the error says what was waited for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How many pages are read from the file at the same time; others wait their turn. Default: 4, at least one. Each
    /// takes up to 2 MiB of memory.
    pub fn readers(mut self, readers: u32) -> Self {
        self.settings.readers = readers.clamp(1, 64);
        self
    }

    /// How long [`open`](Self::open) looks through the file for damage and missing records. Default: 1 s, which is
    /// enough for about a gigabyte from memory; the rest is found when it is read. Zero looks at both ends only.
    pub fn open_check(mut self, patience: Duration) -> Self {
        self.settings.open_check = patience;
        self
    }

    /// Opens the log, or makes it if the file is missing or empty, and starts the thread that writes.
    ///
    /// Blocks for some milliseconds, longer for a large file or one that another process is just closing. The folder has to
    /// exist.
    ///
    /// # Errors
    ///
    /// Another broker has it open ([`OpenError::is_in_use`]); it belongs to another program
    /// ([`is_not_ours`](OpenError::is_not_ours)), to a later version ([`is_newer`](OpenError::is_newer)), or is damaged
    /// ([`is_damaged`](OpenError::is_damaged)); the path or the disk cannot be used
    /// ([`is_unusable`](OpenError::is_unusable)). The message says what to do.
    pub fn open(self) -> Result<SqliteBroker, OpenError> {
        SqliteBroker::open_with(self.settings)
    }
}
