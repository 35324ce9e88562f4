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

    /// Maximum number of records that are kept, at least one. Default: 1,000,000.
    ///
    /// With too few, readers that come back late get a gap. More cost disk space up to [`max_bytes`](Self::max_bytes).
    /// Under load the log may hold a sixteenth more for a while, at most 512 records.
    pub fn max_records(mut self, records: u64) -> Self {
        self.settings.retention.max_records = records.max(1);
        self
    }

    /// Maximum size of the log in bytes: events, names and about 48 bytes for each record. Default: 1 GiB.
    ///
    /// The file takes somewhat more, and never shrinks: space of removed records is used for new ones. A value larger
    /// than the free disk space makes publishes fail once the disk is full. Under load the log may hold a sixteenth
    /// more.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.retention.max_bytes = bytes;
        self
    }

    /// Maximum age of a record; `None` to keep records as long as the other bounds allow. Default: 7 days.
    ///
    /// The machine's clock measures the age; a clock that goes back removes nothing early. The newest record is always
    /// kept.
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.settings.retention.max_age = age;
        self
    }

    /// Time for which an idempotency key is remembered, and maximum number of keys. Default: 10 minutes, 65,536 keys.
    /// Keys outlive a restart. Beyond the number the oldest key is forgotten early, and a publisher that then retries
    /// under it publishes twice.
    pub fn idempotency_window(mut self, duration: Duration, max_keys: u64) -> Self {
        self.settings.key_window = KeyWindow { duration, max_keys };
        self
    }

    /// Maximum memory of the records that wait for the disk, in bytes; each record counts as 1 KiB more than its event.
    /// Default: 64 MiB. Further appends wait until there is room, and fail after [`timeout`](Self::timeout).
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_queued_bytes = bytes;
        self
    }

    /// Maximum time of an append or a read before it fails. Default: 4 s. A node gives up on a broker after 5 s, so
    /// with a larger value its error no longer names what the call waited for. Too small a value makes publishes fail
    /// on a slow disk.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Maximum number of pages that are read from the file at the same time, at least one; others wait. Default: 4.
    /// Each takes up to 2 MiB of memory.
    pub fn readers(mut self, readers: u32) -> Self {
        self.settings.readers = readers.clamp(1, 64);
        self
    }

    /// Time that [`open`](Self::open) spends on checking the file for damage and missing records. Default: 1 s, which
    /// is enough for about a gigabyte in the system's cache. Damage that this misses is found when it is read. Zero
    /// checks only both ends of the log.
    pub fn open_check(mut self, time_limit: Duration) -> Self {
        self.settings.open_check = time_limit;
        self
    }

    /// Opens the log, or makes it if the file is missing or empty, and starts the thread that writes.
    ///
    /// Blocks for some milliseconds, longer for a large file or one that another process is just closing. The folder
    /// must exist.
    ///
    /// # Errors
    ///
    /// Another broker has the file open ([`OpenError::is_in_use`]); the file belongs to another program
    /// ([`is_not_ours`](OpenError::is_not_ours)), to a later version ([`is_newer`](OpenError::is_newer)), or is damaged
    /// ([`is_damaged`](OpenError::is_damaged)); the path or the disk cannot be used
    /// ([`is_unusable`](OpenError::is_unusable)). The message says what the caller can do.
    pub fn open(self) -> Result<SqliteBroker, OpenError> {
        SqliteBroker::open_with(self.settings)
    }
}
