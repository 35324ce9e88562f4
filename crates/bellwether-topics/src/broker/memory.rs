//! [`Memory`]: the broker without dependencies, whose log lives as long as the process.
//!
//! [`Topics::new`](crate::Topics::new) needs no broker and is what an application on one node wants. This broker is the
//! smallest implementation of the contract. It lets several [`Topics`](crate::Topics) of one process be the nodes of a
//! cluster, and fails on demand, so that tests can show what nodes do when a broker fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::broker::{
    Bounds, Broker, BrokerError, BrokerFuture, NewRecord, Newest, Page, ReadRequest, Record,
    Stored, Tail, Trimmed,
};
use crate::clock;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::lock::{Mutex, lock};
use crate::log::history::removed::{LastRemoved, Removed};
use crate::log::idempotency::IdempotencyKeys;

const HEARTBEAT: Duration = Duration::from_secs(1);
const TAIL_RECORDS: usize = 1024;
const TAIL_BYTES: usize = 1 << 20;

/// A log in memory behind the [`Broker`] contract. A clone is another handle to the same log.
///
/// ```
/// use bellwether_topics::{Memory, ServerSentEvent, Topics};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let log = Memory::default();
/// let (here, there) = (Topics::with(log.clone()).await?, Topics::with(log).await?);
///
/// let mut reader = there.topic("news")?.subscribe().open()?;
/// here.topic("news")?.publish(&ServerSentEvent::text("hello"))?.await?;
/// let frame = reader.next().await.unwrap().into_frame().unwrap();
/// assert!(frame.bytes().starts_with(b"data: hello\n"));
/// # Ok::<(), bellwether_topics::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Memory(Arc<MemoryLog>);

#[derive(Debug)]
struct MemoryLog {
    max_records: usize,
    /// Guards the log; never held across an `.await`.
    state: Mutex<MemoryState>,
    changed: Notify,
}

#[derive(Debug)]
struct MemoryState {
    epoch: Epoch,
    records: VecDeque<Record>,
    floor: u64,
    head: u64,
    removed: Removed,
    window: IdempotencyKeys,
    is_available: bool,
    is_shut_down: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(65_536)
    }
}

impl Memory {
    /// An empty log that keeps this number of records, at least one. [`Memory::default`] keeps 65,536.
    pub fn new(max_records: usize) -> Self {
        Self(Arc::new(MemoryLog {
            max_records: max_records.max(1),
            state: Mutex::new(MemoryState {
                epoch: Epoch::random(),
                records: VecDeque::new(),
                floor: 0,
                head: 0,
                removed: Removed::new(Offset::ZERO),
                window: IdempotencyKeys::new(Duration::from_secs(120), 65_536),
                is_available: true,
                is_shut_down: false,
            }),
            changed: Notify::new(),
        }))
    }

    /// Makes every call fail with [`BrokerError::unavailable`], or work again, as in an outage. For tests.
    pub fn set_available(&self, is_available: bool) {
        lock(&self.0.state).is_available = is_available;
        self.0.changed.notify_waiters();
    }

    /// Loses this number of the newest records without noticing, and gives their offsets out again. A broker does that
    /// whose last writes were not synced when its machine stopped. For tests.
    pub fn lose_newest(&self, records: usize) {
        let mut state = lock(&self.0.state);
        for _ in 0..records {
            if state.records.pop_back().is_some() {
                state.head -= 1;
            }
        }
        self.0.changed.notify_waiters();
    }

    /// Removes the oldest records until this number is left. For tests.
    pub fn trim_to(&self, records: usize) {
        lock(&self.0.state).trim(records.max(1));
    }

    /// Starts an empty log with a new epoch, as after the loss of a data directory. For tests.
    pub fn start_over(&self) {
        let mut state = lock(&self.0.state);
        state.epoch = Epoch::random();
        state.records.clear();
        state.floor = 0;
        state.head = 0;
        state.removed = Removed::new(Offset::ZERO);
        state.window = IdempotencyKeys::new(Duration::from_secs(120), 65_536);
        self.0.changed.notify_waiters();
    }
}

impl MemoryState {
    fn check(&self) -> Result<(), BrokerError> {
        if self.is_shut_down {
            return Err(BrokerError::unavailable("the log is shut down"));
        }
        match self.is_available {
            true => Ok(()),
            false => Err(BrokerError::unavailable("the log is out of order")),
        }
    }

    fn append(&mut self, record: &NewRecord, now: Instant) -> Stored {
        let key = record.idempotency_key.as_ref();
        let scoped = key.map(|key| IdempotencyKeys::scoped(&record.topic, key));
        if let Some(scoped) = &scoped
            && let Some(cursor) = self.window.find(scoped, now)
        {
            return Stored {
                cursor,
                is_duplicate: true,
            };
        }
        self.head += 1;
        let cursor = Cursor {
            epoch: self.epoch,
            offset: Offset::new(self.head),
            tag: record.tag,
        };
        self.records.push_back(Record {
            offset: cursor.offset,
            tag: record.tag,
            topic: record.topic.clone(),
            event: record.event.clone(),
            conflation_key: record.conflation_key.clone(),
            is_damaged: false,
        });
        if let Some(scoped) = scoped {
            self.window.insert(scoped, cursor, now);
        }
        Stored {
            cursor,
            is_duplicate: false,
        }
    }

    fn trim(&mut self, max_records: usize) {
        while self.records.len() > max_records {
            if let Some(record) = self.records.pop_front() {
                self.floor = record.offset.low();
                let last = LastRemoved {
                    offset: record.offset,
                    tag: Some(record.tag),
                };
                self.removed.note(&record.topic, last);
            }
        }
    }

    fn page(&self, request: ReadRequest<'_>) -> Page {
        let is_wanted = |record: &&Record| {
            record.offset == request.from
                || request
                    .topics
                    .is_none_or(|topics| topics.contains(&record.topic))
        };
        let first = self
            .records
            .partition_point(|record| record.offset < request.from);
        let mut bytes = 0;
        let wanted = self.records.range(first..).filter(is_wanted);
        let records: Vec<_> = wanted
            .take(request.max_records)
            .take_while(|record| {
                let is_free = bytes == 0 || record.offset == request.from;
                if record.offset > request.from {
                    bytes += record.event.len();
                }
                is_free || bytes <= request.max_bytes
            })
            .cloned()
            .collect();
        let trimmed = request.topics.and_then(|topics| {
            let lost = topics.iter().map(|topic| self.removed.of(topic));
            let last = lost.max_by_key(|last| last.offset)?;
            Some(Trimmed {
                to: last.offset,
                tag: last.tag,
            })
        });
        Page {
            epoch: self.epoch,
            floor: Offset::new(self.floor),
            head: Offset::new(self.head),
            records,
            trimmed,
        }
    }
}

impl Broker for Memory {
    fn append<'a>(
        &'a self,
        records: &'a [NewRecord],
    ) -> BrokerFuture<'a, Vec<Result<Stored, BrokerError>>> {
        Box::pin(async move {
            let mut state = lock(&self.0.state);
            state.check()?;
            let now = clock::now();
            let stored = records
                .iter()
                .map(|record| Ok(state.append(record, now)))
                .collect();
            state.trim(self.0.max_records);
            drop(state);
            self.0.changed.notify_waiters();
            Ok(stored)
        })
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BrokerFuture<'a, Page> {
        Box::pin(async move {
            let state = lock(&self.0.state);
            state.check()?;
            Ok(state.page(request))
        })
    }

    fn newest<'a>(&'a self, topics: &'a [Arc<str>]) -> BrokerFuture<'a, Option<Newest>> {
        Box::pin(async move {
            let state = lock(&self.0.state);
            state.check()?;
            let newest = |topic: &Arc<str>| {
                let record = state.records.iter().rev();
                let record = record.into_iter().find(|record| record.topic == *topic)?;
                Some((record.offset, record.tag))
            };
            Ok(Some(Newest {
                epoch: state.epoch,
                head: Offset::new(state.head),
                records: topics.iter().map(newest).collect(),
            }))
        })
    }

    fn tail(&self, from: Offset) -> BrokerFuture<'_, Box<dyn Tail>> {
        Box::pin(async move {
            lock(&self.0.state).check()?;
            let tail: Box<dyn Tail> = Box::new(MemoryTail {
                log: self.0.clone(),
                from,
                is_first: true,
            });
            Ok(tail)
        })
    }

    fn bounds(&self) -> BrokerFuture<'_, Bounds> {
        Box::pin(async move {
            let state = lock(&self.0.state);
            state.check()?;
            Ok(Bounds {
                epoch: state.epoch,
                floor: Offset::new(state.floor),
                head: Offset::new(state.head),
            })
        })
    }

    fn shutdown(&self) -> BrokerFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.0.state).is_shut_down = true;
            self.0.changed.notify_waiters();
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryTail {
    log: Arc<MemoryLog>,
    from: Offset,
    /// Until the anchor has been handed out.
    is_first: bool,
}

impl Tail for MemoryTail {
    fn next(&mut self) -> BrokerFuture<'_, Page> {
        Box::pin(async move {
            let log = self.log.clone();
            let silence = tokio::time::sleep(HEARTBEAT);
            tokio::pin!(silence);
            loop {
                let changed = log.changed.notified();
                tokio::pin!(changed);
                // Registered before the read, so that no append is missed in between.
                changed.as_mut().enable();
                let mut page = {
                    let state = lock(&log.state);
                    state.check()?;
                    state.page(ReadRequest {
                        from: self.from,
                        topics: None,
                        max_records: TAIL_RECORDS,
                        max_bytes: TAIL_BYTES,
                    })
                };
                if page.head < self.from {
                    return Err(BrokerError::unavailable("the log lost its end"));
                }
                if !self.is_first {
                    if page.floor > self.from {
                        return Err(BrokerError::unavailable(
                            "records were removed before the tail had them",
                        ));
                    }
                    page.records.retain(|record| record.offset > self.from);
                }
                if let Some(last) = page.records.last() {
                    self.from = last.offset;
                    self.is_first = false;
                    return Ok(page);
                }
                let is_silent = std::future::poll_fn(|cx| {
                    use std::task::Poll;
                    if changed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(false);
                    }
                    silence.as_mut().poll(cx).map(|()| true)
                });
                if is_silent.await {
                    return Ok(page);
                }
            }
        })
    }
}
