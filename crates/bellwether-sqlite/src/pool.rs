//! [`Pool`]: the connections that read, a bounded number of them, each used by one page at a time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bellwether_topics::broker::{BrokerError, Newest, Page};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::failure::{Failure, Reason};
use crate::lock::Lock;
use crate::observe::Metrics;
use crate::read::{self, Index, Read, Wanted};
use crate::schema;
use crate::state::shut_down;

/// The connections that read. Pages are read on tokio's blocking threads.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    connections: u32,
    permits: Arc<Semaphore>,
    /// Guards the connections that are idle; `None` once the pool is closed.
    idle: Mutex<Option<Idle>>,
    /// Read by each page; written by a checkpoint that needs the file without snapshots. It guards no data.
    snapshots: RwLock<()>,
    metrics: Arc<Metrics>,
    /// Guards the damage that was already logged, so that each is logged once.
    reported: Mutex<HashSet<Damage>>,
}

/// The maximum number of log lines about damage of one file.
const MAX_REPORTED: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Damage {
    Record(u64),
    Index,
    Other(String),
}

#[derive(Debug)]
struct Idle {
    readers: Vec<Reader>,
    lock: Arc<Lock>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    /// Declared after the connection, so that the lock is released only when the connection is closed.
    _lock: Arc<Lock>,
}

impl Pool {
    /// Opens this number of connections at once. A file that later replaces the log is therefore not read.
    pub(crate) fn open(
        path: PathBuf,
        connections: u32,
        lock: &Arc<Lock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Failure> {
        let pool = Self {
            path,
            connections,
            permits: Arc::new(Semaphore::new(connections as usize)),
            idle: Mutex::new(Some(Idle {
                readers: Vec::new(),
                lock: lock.clone(),
            })),
            snapshots: RwLock::default(),
            metrics,
            reported: Mutex::default(),
        };
        for _ in 0..connections {
            let reader = pool.connect(lock.clone())?;
            pool.put_back(reader);
        }
        Ok(pool)
    }

    /// Reads a page, in the order of the calls. If the future is dropped, the read goes on and its page is discarded.
    pub(crate) async fn read(
        self: &Arc<Self>,
        wanted: Wanted,
        timeout: Duration,
    ) -> Result<Page, BrokerError> {
        self.run(timeout, move |pool| pool.read_now(&wanted)).await
    }

    /// Finds the newest records of some topics, in the same way as [`read`](Self::read).
    pub(crate) async fn newest(
        self: &Arc<Self>,
        topics: Vec<Arc<str>>,
        timeout: Duration,
    ) -> Result<Newest, BrokerError> {
        let newest =
            move |pool: &Self| pool.on_reader(|connection| read::newest(connection, &topics));
        self.run(timeout, newest).await
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        timeout: Duration,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let pool = self.clone();
        let reading =
            async move {
                let permit = pool.permits.clone().acquire_owned().await;
                let permit = permit.map_err(|_| shut_down())?;
                let read = tokio::task::spawn_blocking(move || {
                    let page = work(&pool);
                    drop(permit);
                    page
                });
                match read.await {
                    Ok(page) => page.map_err(|failure| failure.to_broker_error()),
                    Err(error) => Err(BrokerError::unavailable("reading the log was cut short")
                        .with_source(error)),
                }
            };
        tokio::time::timeout(timeout, reading)
            .await
            .unwrap_or_else(|_| {
                Err(BrokerError::unavailable(format!(
                    "the log's file was not read within {timeout:?}"
                )))
            })
    }

    /// Runs a checkpoint while no page is being read.
    pub(crate) fn without_snapshots<T>(&self, checkpoint: impl FnOnce() -> T) -> T {
        let _alone = self
            .snapshots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        checkpoint()
    }

    /// Starts no further page, waits for those under way, and closes the connections.
    pub(crate) async fn close(&self, timeout: Duration) {
        // A page that takes longer keeps its connection, and with it the lock, until it is done.
        let all = self.permits.acquire_many(self.connections);
        let waited = tokio::time::timeout(timeout, all).await;
        self.close_now();
        drop(waited);
    }

    /// Starts no further page, and closes the idle connections.
    pub(crate) fn close_now(&self) {
        self.permits.close();
        self.idle().take();
    }

    fn read_now(&self, wanted: &Wanted) -> Result<Page, Failure> {
        let since = Instant::now();
        let read = self.on_reader(|connection| read::page(connection, wanted))?;
        self.report(&read);
        let page = read.page;
        let bytes: usize = page.records.iter().map(|record| record.event.len()).sum();
        self.metrics.read_seconds.record(since.elapsed());
        self.metrics
            .read_records
            .increment(page.records.len() as u64);
        self.metrics.read_bytes.increment(bytes as u64);
        Ok(page)
    }

    /// Lends a connection.
    fn on_reader<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let idle = match &mut *self.idle() {
            None => return Err(Failure::shut_down()),
            Some(idle) => idle.readers.pop().ok_or_else(|| idle.lock.clone()),
        };
        let reader = match idle {
            Ok(reader) => reader,
            Err(lock) => self.connect(lock)?,
        };
        let found = {
            let _shared = self
                .snapshots
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            read(&reader.connection)
        };
        match &found {
            Ok(_) => self.put_back(reader),
            Err(failure) => {
                self.metrics.failure(failure.reason);
                if failure.reason == Reason::Damaged
                    && self.is_first_report(Damage::Other(failure.message.clone()))
                {
                    tracing::error!(file = %self.path.display(), "{}", failure.message);
                }
                if failure.reason.keeps_connection() {
                    self.put_back(reader);
                }
            }
        }
        found
    }

    /// Logs once what is damaged, and where.
    fn report(&self, read: &Read) {
        for record in read.damaged.iter().copied() {
            if self.is_first_report(Damage::Record(record)) {
                self.metrics.failure(Reason::Damaged);
                tracing::error!(
                    file = %self.path.display(),
                    record,
                    "a record is not what was written; its readers get a gap: stop the server and run `bellwether repair`, or \
                     restore a copy"
                );
            }
        }
        if read.index == Index::Wrong && self.is_first_report(Damage::Index) {
            self.metrics.failure(Reason::Damaged);
            tracing::error!(
                file = %self.path.display(),
                "the index over topics is wrong, and reading without it is slow: stop the server and run \
                 `bellwether repair`, or restore a copy"
            );
        }
    }

    fn is_first_report(&self, damage: Damage) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.len() < MAX_REPORTED && reported.insert(damage)
    }

    fn connect(&self, lock: Arc<Lock>) -> Result<Reader, Failure> {
        Ok(Reader {
            connection: schema::open_reader(&self.path)?,
            _lock: lock,
        })
    }

    fn put_back(&self, reader: Reader) {
        if let Some(idle) = &mut *self.idle() {
            idle.readers.push(reader);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Idle>> {
        // The list of connections is consistent after any panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
