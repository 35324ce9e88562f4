//! [`SqliteBroker`]: the handle, and the [`Broker`] contract on top of the writer and the pool.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use bellwether_topics::Offset;
use bellwether_topics::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Stored, Tail,
};
use tokio::sync::{Semaphore, oneshot};

use crate::builder::{Settings, SqliteBuilder};
use crate::error::OpenError;
use crate::lock::Lock;
use crate::observe::Metrics;
use crate::pool::Pool;
use crate::read::Wanted;
use crate::schema;
use crate::state::{Condition, LogState, Shared, shut_down};
use crate::store::Store;
use crate::tail::SqliteTail;
use crate::writer::{Append, Command, FileIdentity, Writer};

/// The bytes that a record counts in the queue besides its event.
const QUEUED_OVERHEAD: usize = 1024;

/// A durable log in one SQLite file. A clone is another handle to the same log.
///
/// A file is open once: by one broker of one process. It is closed by [`shutdown`](Broker::shutdown), or soon after the
/// last handle was dropped. All calls need a tokio runtime with time.
///
/// ```
/// use bellwether_sqlite::SqliteBroker;
/// use bellwether_topics::broker::Broker;
///
/// # let path = std::env::temp_dir().join(format!("bellwether-broker-{}.db", std::process::id()));
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let broker = SqliteBroker::open(&path)?;
/// assert!(SqliteBroker::open(&path).unwrap_err().is_in_use());
/// broker.shutdown().await?;
/// assert!(SqliteBroker::open(&path).is_ok());
/// # for end in ["", "-wal", "-shm", "-lock"] {
/// #     let mut name = path.clone().into_os_string();
/// #     name.push(end);
/// #     let _ = std::fs::remove_file(name);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SqliteBroker(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// The queue of the thread that writes, which ends when this is dropped.
    queue: Sender<Command>,
    /// The bound of the queue: a permit for each kilobyte that may wait there.
    room: Arc<Semaphore>,
    max_room: u32,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker")
            .field("path", &self.0.settings.path)
            .field("state", &self.0.shared.state())
            .finish_non_exhaustive()
    }
}

impl SqliteBroker {
    /// Opens the log in this file, or makes it, with default settings. Same as [`SqliteBuilder::open`].
    ///
    /// # Errors
    ///
    /// As [`SqliteBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder(path).open()
    }

    /// The settings of a broker of this file, all at their defaults.
    ///
    /// Nothing is opened before [`SqliteBuilder::open`].
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path.as_ref())
    }

    /// The path of the file, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.0.settings.path
    }

    /// Removes the oldest records until this number is left; the newest always stays. Appends go on meanwhile.
    ///
    /// Dropping the future does not stop the removal. Readers whose position is removed get a gap (`trimmed`).
    ///
    /// ```
    /// use bellwether_sqlite::SqliteBroker;
    /// use bellwether_topics::broker::Broker;
    /// use bellwether_topics::{Offset, ServerSentEvent, Topics};
    ///
    /// # let path = std::env::temp_dir().join(format!("bellwether-trim-{}.db", std::process::id()));
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let broker = SqliteBroker::open(&path)?;
    /// let topics = Topics::with(broker.clone()).await?;
    /// for number in 0..10 {
    ///     topics.topic("news")?.publish(&ServerSentEvent::text(number.to_string()))?.await?;
    /// }
    /// broker.trim_to(3).await?;
    /// assert_eq!(broker.bounds().await?.floor, Offset::new(7));
    /// # topics.close().await?;
    /// # for end in ["", "-wal", "-shm", "-lock"] {
    /// #     let mut name = path.clone().into_os_string();
    /// #     name.push(end);
    /// #     let _ = std::fs::remove_file(name);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The file cannot be written ([`BrokerError::unavailable`]): the disk is full or fails, or another program holds the
    /// file's lock. Records that were removed before that stay removed.
    pub async fn trim_to(&self, records: u64) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Trim(records, answer))?;
        answered.await.map_err(|_| shut_down())?
    }

    pub(crate) fn open_with(mut settings: Settings) -> Result<Self, OpenError> {
        settings.path = full_path(&settings.path)?;
        let path = &settings.path;
        let lock = Arc::new(Lock::take(path)?);
        let is_new = !path.exists();
        let metrics = Arc::new(Metrics::new());
        let opened = Store::open(path, true, None, settings.open_check)?;
        if is_new {
            sync_folder(path)?;
        }
        if opened.broken.is_some() {
            metrics.new_epochs.increment(1);
        }
        let store = opened.store;
        let pool = Pool::open(path.clone(), settings.readers, &lock, metrics.clone());
        let pool = Arc::new(pool.map_err(|failure| schema::failed(path, failure))?);
        let bounds = store.bounds();
        let known = store
            .newest()
            .map_err(|failure| schema::failed(path, failure))?;
        let shared = Arc::new(Shared::new(LogState {
            epoch: bounds.epoch,
            floor: bounds.floor.low(),
            head: bounds.head.low(),
            condition: Condition::Works,
        }));
        let (queue, commands) = channel();
        let writer = Writer {
            settings: settings.clone(),
            queue: commands,
            shared: shared.clone(),
            pool: pool.clone(),
            metrics,
            store: Some(store),
            identity: FileIdentity::of(path),
            known,
            trims: Vec::new(),
            stop: None,
            is_resting: false,
            checkpoint_at: 0,
            lock,
        };
        std::thread::Builder::new()
            .name("bellwether-sqlite".into())
            .spawn(move || writer.run())
            .map_err(|error| {
                OpenError::unusable(path, "cannot start the thread that writes").with_source(error)
            })?;
        let max_room =
            u32::try_from(settings.max_queued_bytes / QUEUED_OVERHEAD).unwrap_or(u32::MAX >> 4);
        let max_room = max_room.clamp(1, u32::MAX >> 4);
        Ok(Self(Arc::new(Inner {
            room: Arc::new(Semaphore::new(max_room as usize)),
            max_room,
            settings,
            queue,
            shared,
            pool,
        })))
    }

    fn send(&self, command: Command) -> Result<(), BrokerError> {
        self.0.queue.send(command).map_err(|_| shut_down())
    }

    async fn append_now(
        &self,
        records: &[NewRecord],
    ) -> Result<Vec<Result<Stored, BrokerError>>, BrokerError> {
        let bytes: usize = records
            .iter()
            .map(|record| record.event.len() + QUEUED_OVERHEAD)
            .sum();
        let room = u32::try_from(bytes / QUEUED_OVERHEAD).unwrap_or(u32::MAX);
        let room = room.min(self.0.max_room);
        let room = self.0.room.clone().acquire_many_owned(room).await;
        let (answer, answered) = oneshot::channel();
        self.send(Command::Append(Append {
            records: records.to_vec(),
            answer,
            _room: room.map_err(|_| shut_down())?,
        }))?;
        answered.await.map_err(|_| shut_down())?
    }
}

impl Broker for SqliteBroker {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        Box::pin(async move {
            if let Condition::ShutDown = self.0.shared.state().condition {
                return Err(shut_down());
            }
            if records.is_empty() {
                return Ok(Vec::new());
            }
            let timeout = self.0.settings.timeout;
            tokio::time::timeout(timeout, self.append_now(records))
                .await
                .unwrap_or_else(|_| {
                    Err(BrokerError::unavailable(format!(
                        "the disk did not confirm the records within {timeout:?}"
                    )))
                })
        })
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(async move {
            if let Condition::ShutDown = self.0.shared.state().condition {
                return Err(shut_down());
            }
            let Some(from) = to_number(request.from) else {
                // No record of this log has such an offset.
                return Ok(self.0.shared.state().page(Vec::new()));
            };
            let wanted = Wanted {
                from,
                topics: request.topics.map(<[_]>::to_vec),
                max_records: request.max_records,
                max_bytes: request.max_bytes,
            };
            self.0.pool.read(wanted, self.0.settings.timeout).await
        })
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(async move {
            if let Condition::ShutDown = self.0.shared.state().condition {
                return Err(shut_down());
            }
            let looking = self.0.pool.newest(topics.to_vec(), self.0.settings.timeout);
            Ok(Some(looking.await?))
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            let state = self.0.shared.state();
            state.check()?;
            let from = to_number(from).filter(|from| *from <= state.head);
            let from =
                from.ok_or_else(|| BrokerError::unavailable("the log ends before that offset"))?;
            let tail: Box<dyn Tail> = Box::new(SqliteTail::new(
                self.0.shared.watch(),
                self.0.shared.clone(),
                self.0.pool.clone(),
                from,
                self.0.settings.timeout,
            ));
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(async move {
            let state = self.0.shared.state();
            state.check()?;
            Ok(state.bounds())
        })
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        Box::pin(async move {
            self.0.pool.close(self.0.settings.timeout).await;
            let (answer, answered) = oneshot::channel();
            // It fails if the thread has already ended, and then there is nothing to stop.
            if self.send(Command::Stop(answer)).is_ok() {
                let _ = tokio::time::timeout(self.0.settings.timeout, answered).await;
            }
            Ok(())
        })
    }
}

/// The offset as a number of this log, if it can be one.
fn to_number(offset: Offset) -> Option<u64> {
    (offset.high() == 0 && i64::try_from(offset.low()).is_ok()).then_some(offset.low())
}

/// The path without links, so that two names of one file have one lock.
fn full_path(path: &Path) -> Result<PathBuf, OpenError> {
    let unusable = |found: &str| OpenError::unusable(path, found);
    let name = path
        .file_name()
        .ok_or_else(|| unusable("the path names no file"))?;
    if path.as_os_str() == ":memory:" {
        return Err(unusable(
            "a log in memory is not durable; use `Topics::new` for one, or name a file",
        ));
    }
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(unusable("it is a folder; name a file in it"));
        }
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(unusable(
                "the file is read-only; make it writable for this user",
            ));
        }
        Ok(_) => {
            return path
                .canonicalize()
                .map_err(|error| unusable("the path cannot be followed").with_source(error));
        }
        Err(_) => {}
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| {
        unusable("its folder cannot be entered; make the folder first").with_source(error)
    })?;
    Ok(folder.join(name))
}

/// Syncs the folder, so that the name of a new file is safe.
fn sync_folder(path: &Path) -> Result<(), OpenError> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        return std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| {
                OpenError::unusable(path, "its folder cannot be synced").with_source(error)
            });
    }
    let _ = path;
    Ok(())
}
