//! The thread that writes: group commits, and between them retention, checkpoints and repair.
//!
//! A batch is what queued while the last commit ran. Answers are sent before any other work, and that work is done in
//! small steps, so that no publish waits long for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use bellwether_topics::broker::{BrokerError, NewRecord, Stored};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::builder::Settings;
use crate::failure::{Failure, Reason};
use crate::lock::Lock;
use crate::observe::Metrics;
use crate::pool::Pool;
use crate::retention::Retention;
use crate::state::{Condition, Shared};
use crate::store::{Checkpoint, Store};
use crate::verify::Known;

/// The most records of one transaction, and the bytes after which nothing is added to it.
const MAX_BATCH: usize = 1024;
const MAX_BATCH_BYTES: usize = 4 << 20;
/// The interval of the checks of a quiet log.
const TICK: Duration = Duration::from_secs(1);
/// The pause after which old records are removed in transactions of their own. A publisher that waits for each commit
/// takes a moment to publish again, and would wait for one more sync each time.
const QUIET_BEFORE_TRIM: Duration = Duration::from_millis(20);
/// The size of the write-ahead log, in pages of 4 KiB, at which it is moved into the file.
const CHECKPOINT_PAGES: u32 = 4096;
/// The size at which readers are kept waiting for that.
const RESTART_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// A command to the thread.
#[derive(Debug)]
pub(crate) enum Command {
    Append(Append),
    /// Removes the oldest records until this number is left.
    Trim(u64, oneshot::Sender<Result<(), BrokerError>>),
    /// Finishes the commands before it, and ends the thread.
    Stop(oneshot::Sender<()>),
}

/// Records that wait for the disk.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) records: Vec<NewRecord>,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The permit of the queue that these records hold.
    pub(crate) _room: OwnedSemaphorePermit,
}

pub(crate) type Answer = Result<Vec<Result<Stored, BrokerError>>, BrokerError>;

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) settings: Settings,
    pub(crate) queue: Receiver<Command>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: Arc<Metrics>,
    /// `None` after a failure after which the connection cannot be trusted, until the log is open again.
    pub(crate) store: Option<Store>,
    /// The identity of the file that is open.
    pub(crate) identity: Option<FileIdentity>,
    /// The record that the log must still have when it is opened again.
    pub(crate) known: Option<Known>,
    pub(crate) trims: Vec<(u64, oneshot::Sender<Result<(), BrokerError>>)>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    /// After a step of removal that failed or found nothing, until the next tick.
    pub(crate) is_resting: bool,
    /// The size of the write-ahead log at which the next checkpoint is tried.
    pub(crate) checkpoint_at: u32,
    /// Dropped last.
    pub(crate) lock: Arc<Lock>,
}

impl Writer {
    /// Works until a stop, or until the last handle of the broker is dropped.
    pub(crate) fn run(mut self) {
        let _end = EndGuard(self.shared.clone());
        let mut batch = Vec::new();
        let mut ticked = Instant::now();
        let mut is_quiet = true;
        loop {
            let wait = match (self.has_work(), is_quiet) {
                (true, true) => Duration::ZERO,
                (true, false) => QUIET_BEFORE_TRIM,
                (false, _) => TICK.saturating_sub(ticked.elapsed()),
            };
            match self.queue.recv_timeout(wait) {
                Ok(command) => self.gather(command, &mut batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            is_quiet = batch.is_empty();
            self.append(&mut batch);
            if self.stop.is_some() {
                break;
            }
            // Under load, records are removed beside the batches, and only the caller of `trim_to` waits for this.
            if is_quiet || !self.trims.is_empty() {
                self.trim();
            }
            let is_tick = ticked.elapsed() >= TICK;
            if is_tick {
                ticked = Instant::now();
                self.is_resting = false;
                self.tick();
            }
            self.checkpoint();
        }
        self.finish();
    }

    /// Takes what is in the queue, up to the bounds of a batch.
    fn gather(&mut self, first: Command, batch: &mut Vec<Append>) {
        let mut records = 0;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                // The caller waits no more, so an append that has not started is skipped.
                Command::Append(append) if append.answer.is_closed() => {}
                Command::Append(append) => {
                    records += append.records.len();
                    bytes += append.records.iter().map(|r| r.event.len()).sum::<usize>();
                    batch.push(append);
                }
                Command::Trim(keep, answer) => self.trims.push((keep.max(1), answer)),
                Command::Stop(answer) => {
                    self.stop = Some(answer);
                    return;
                }
            }
            if records >= MAX_BATCH || bytes >= MAX_BATCH_BYTES {
                return;
            }
            next = self.queue.try_recv().ok();
        }
    }

    fn append(&mut self, batch: &mut Vec<Append>) {
        if batch.is_empty() {
            return;
        }
        let since = Instant::now();
        let records: Vec<_> = batch.iter().flat_map(|append| &append.records).collect();
        let retention = self.retention();
        let result = self.with_store(|store, settings| {
            store.append(&records, &settings.key_window, &retention, now())
        });
        match result {
            Ok(appended) => {
                self.metrics.commit_seconds.record(since.elapsed());
                self.metrics.batch_records.record(records.len() as f64);
                self.metrics.appended.increment(appended.records);
                self.metrics.appended_bytes.increment(appended.bytes);
                self.metrics.duplicates.increment(appended.duplicates);
                self.metrics.trimmed.increment(appended.trimmed);
                if let Some(store) = &self.store {
                    let answers = records.iter().copied().zip(&appended.answers);
                    self.shared.committed(store.bounds(), answers);
                }
                let mut stored = appended.answers.iter().rev().flatten();
                if let Some(Stored { cursor, .. }) = stored.find(|stored| !stored.is_duplicate) {
                    self.known = Some(Known {
                        epoch: cursor.epoch,
                        offset: cursor.offset.low(),
                        tag: cursor.tag,
                    });
                }
                let mut answers = appended.answers.into_iter();
                for append in batch.drain(..) {
                    let own = answers.by_ref().take(append.records.len()).collect();
                    let _ = append.answer.send(Ok(own));
                }
            }
            Err(failure) => {
                for append in batch.drain(..) {
                    let _ = append.answer.send(Err(failure.to_broker_error()));
                }
            }
        }
    }

    /// Whether there is work without a command.
    fn has_work(&self) -> bool {
        let Some(store) = self.store.as_ref().filter(|_| !self.is_resting) else {
            return false;
        };
        let extent = store.extent();
        self.settings.retention.is_exceeded(&extent, now())
            || self.trims.iter().any(|(keep, _)| extent.records() > *keep)
            || store.has_old_keys(&self.settings.key_window, now())
    }

    /// The bounds of the log, and those of the trims that were asked for.
    fn retention(&self) -> Retention {
        let keep = self.trims.iter().map(|(keep, _)| *keep).min();
        let mut retention = self.settings.retention;
        retention.max_records = retention.max_records.min(keep.unwrap_or(u64::MAX));
        retention
    }

    /// One step of removal, while nothing waits.
    fn trim(&mut self) {
        if self.has_work() {
            let retention = self.retention();
            let trimmed = self.with_store(|store, settings| {
                let now = now();
                let step = Retention::step(0);
                let mut forgotten = 0;
                if store.has_old_keys(&settings.key_window, now) {
                    forgotten = store.forget_keys(&settings.key_window, step, now)?;
                }
                let trimmed = store.trim(&retention, step, now)?;
                if trimmed == 0 && store.extent().records() > retention.max_records.max(1) {
                    return Err(Failure::damaged("the log's oldest records are missing"));
                }
                Ok((trimmed, forgotten))
            });
            match trimmed {
                Ok((trimmed, forgotten)) => {
                    self.metrics.trimmed.increment(trimmed);
                    self.is_resting = trimmed + forgotten == 0;
                }
                Err(failure) => {
                    self.is_resting = true;
                    for (_, answer) in self.trims.drain(..) {
                        let _ = answer.send(Err(failure.to_broker_error()));
                    }
                }
            }
        }
        if let Condition::Fails(failure) = self.shared.state().condition {
            for (_, answer) in self.trims.drain(..) {
                let _ = answer.send(Err(failure.to_broker_error()));
            }
        }
        if let Some(store) = &self.store {
            self.shared.trimmed(store.bounds().floor.low());
            let records = store.extent().records();
            for (_, answer) in self.trims.extract_if(.., |(keep, _)| records <= *keep) {
                let _ = answer.send(Ok(()));
            }
        }
    }

    /// The work of once a second: sets the gauges, and checks whether a file that was lost is back.
    fn tick(&mut self) {
        // This opens the log again if necessary, and notices a file that is gone.
        let extent = self.with_store(|store, _| Ok(store.extent()));
        if let Ok(extent) = extent {
            self.metrics.log_records.set(extent.records() as f64);
            self.metrics.log_bytes.set(extent.bytes as f64);
        }
        if let Some(store) = &self.store {
            self.metrics.wal_pages.set(f64::from(store.wal_pages()));
        }
    }

    fn checkpoint(&mut self) {
        let Some(store) = &self.store else {
            return;
        };
        let pages = store.wal_pages();
        if pages < CHECKPOINT_PAGES {
            self.checkpoint_at = CHECKPOINT_PAGES;
        }
        if pages < self.checkpoint_at {
            return;
        }
        let since = Instant::now();
        let moved = match pages < RESTART_PAGES {
            true => store.checkpoint(Checkpoint::Passive),
            false => self
                .pool
                .without_snapshots(|| store.checkpoint(Checkpoint::Restart)),
        };
        // A reader may have been in the way; not every commit tries again.
        self.checkpoint_at = pages + CHECKPOINT_PAGES / 4;
        match moved {
            Ok(()) => self.metrics.checkpoint_seconds.record(since.elapsed()),
            // Nothing is lost: the records stay in the write-ahead log.
            Err(failure) => self.failed(&failure),
        }
    }

    /// Works with the log, after a check that its file is still there. Opens it again if the last failure closed it.
    fn with_store<T>(
        &mut self,
        work: impl FnOnce(&mut Store, &Settings) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let result = self.ready().and_then(|()| match &mut self.store {
            Some(store) => work(store, &self.settings),
            None => Err(Failure::moved()),
        });
        match &result {
            Ok(_) => self.metrics.is_available.set(1.0),
            Err(failure) => self.failed(failure),
        }
        result
    }

    /// Makes sure that the log is open, and that it is the same log.
    fn ready(&mut self) -> Result<(), Failure> {
        if self.identity != FileIdentity::of(&self.settings.path) {
            if let Some(store) = &self.store
                && matches!(self.shared.state().condition, Condition::Works)
            {
                // It is still open here: the file gets all that was confirmed, wherever it is now.
                let _ = self
                    .pool
                    .without_snapshots(|| store.checkpoint(Checkpoint::Restart));
            }
            return Err(Failure::moved());
        }
        if self.store.is_none() {
            let path = &self.settings.path;
            let opened = Store::open(path, false, self.known, Duration::ZERO);
            let opened = opened.map_err(|error| Failure::of_opening(&error))?;
            self.metrics.reopened.increment(1);
            if opened.broken.is_some() {
                self.metrics.new_epochs.increment(1);
            }
            self.known = opened.store.newest()?;
            self.shared.reset(opened.store.bounds());
            self.store = Some(opened.store);
        } else if !matches!(self.shared.state().condition, Condition::Works) {
            self.shared.set_condition(Condition::Works);
        }
        if let Some(store) = &mut self.store
            && store.notice_foreign_writes(self.known)?.is_some()
        {
            self.metrics.new_epochs.increment(1);
            self.known = store.newest()?;
            self.shared.reset(store.bounds());
        }
        Ok(())
    }

    fn failed(&mut self, failure: &Failure) {
        self.metrics.failure(failure.reason);
        match failure.reason {
            // Reading still works.
            Reason::Full | Reason::Busy => {}
            Reason::Moved => self.out_of_order(failure),
            Reason::Io | Reason::Damaged | Reason::Other => {
                // The connection's memory may hold anything now. Only the file counts.
                self.store = None;
                self.out_of_order(failure);
            }
        }
    }

    fn out_of_order(&self, failure: &Failure) {
        self.metrics.is_available.set(0.0);
        let failure = Arc::new(failure.clone());
        self.shared.set_condition(Condition::Fails(failure));
    }

    /// Leaves a single file that needs no recovery when it is opened next.
    fn finish(mut self) {
        self.shared.set_condition(Condition::ShutDown);
        // First, because SQLite removes the write-ahead log with the last connection, if that one may write.
        self.pool.close_now();
        if let Some(store) = self.store.take() {
            // All records are safe already; this saves the next open some work.
            let _ = self
                .pool
                .without_snapshots(|| store.checkpoint(Checkpoint::Truncate));
        }
        drop(self.lock);
        if let Some(stop) = self.stop {
            let _ = stop.send(());
        }
    }
}

/// Marks the log as shut down when the thread ends, also by a panic.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.set_condition(Condition::ShutDown);
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The identity of the files at a log's path: its own and its write-ahead log, which exist as long as the log is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity([(u64, u64); 2]);

impl FileIdentity {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let one = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        Some(Self([one(path)?, one(&beside(path, "-wal"))?]))
    }

    /// An open file cannot be replaced here.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &Path) -> Option<Self> {
        None
    }
}

/// The path of a file that belongs to the log's.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
