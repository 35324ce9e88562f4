//! [`Shared`]: what the writer shares with readers and tails: the log's ends, its condition, and its newest records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_topics::broker::{Bounds, BrokerError, NewRecord, Page, Record, Stored};
use bellwether_topics::{Epoch, Offset};
use tokio::sync::watch;

use crate::failure::Failure;

/// The newest records that stay in memory, so that tails need not read the file.
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;

/// The log's ends and its condition.
#[derive(Clone, Debug)]
pub(crate) struct LogState {
    pub(crate) epoch: Epoch,
    pub(crate) floor: u64,
    pub(crate) head: u64,
    pub(crate) condition: Condition,
}

/// Whether the log works.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Works,
    /// It cannot be read or written at the moment, and why.
    Fails(Arc<Failure>),
    ShutDown,
}

impl LogState {
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        match &self.condition {
            Condition::Works => Ok(()),
            Condition::Fails(failure) => Err(failure.to_broker_error()),
            Condition::ShutDown => Err(shut_down()),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            epoch: self.epoch,
            floor: Offset::new(self.floor),
            head: Offset::new(self.head),
        }
    }

    pub(crate) fn page(&self, records: Vec<Record>) -> Page {
        let Bounds { epoch, floor, head } = self.bounds();
        Page {
            epoch,
            floor,
            head,
            records,
            trimmed: None,
        }
    }
}

pub(crate) fn shut_down() -> BrokerError {
    BrokerError::unavailable("the log is shut down")
}

/// What the writer shares with readers and tails.
#[derive(Debug)]
pub(crate) struct Shared {
    state: watch::Sender<LogState>,
    /// Guards the newest records, which end at the head of the state. Taken before the state's own lock; never held
    /// across an `.await`.
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Shared {
    pub(crate) fn new(state: LogState) -> Self {
        Self {
            state: watch::Sender::new(state),
            recent: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> LogState {
        self.state.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<LogState> {
        self.state.subscribe()
    }

    /// Publishes that records were committed: `records` with their answers, in order, in a log that now has these
    /// bounds.
    pub(crate) fn committed<'a>(
        &self,
        bounds: Bounds,
        records: impl Iterator<Item = (&'a NewRecord, &'a Result<Stored, BrokerError>)>,
    ) {
        let mut recent = self.recent();
        for (record, stored) in records {
            if let Ok(stored) = stored
                && !stored.is_duplicate
            {
                recent.push(Record {
                    offset: stored.cursor.offset,
                    tag: record.tag,
                    topic: record.topic.clone(),
                    event: record.event.clone(),
                    conflation_key: record.conflation_key.clone(),
                    is_damaged: false,
                });
            }
        }
        self.set(bounds, Condition::Works);
        drop(recent);
    }

    /// Publishes new bounds of a log whose records in memory may be of another history.
    pub(crate) fn reset(&self, bounds: Bounds) {
        let mut recent = self.recent();
        *recent = Recent::default();
        self.set(bounds, Condition::Works);
    }

    /// Publishes that the front was removed.
    pub(crate) fn trimmed(&self, floor: u64) {
        // No task waits for this.
        self.state.send_if_modified(|state| {
            state.floor = floor;
            false
        });
    }

    pub(crate) fn set_condition(&self, condition: Condition) {
        self.state.send_modify(|state| state.condition = condition);
    }

    /// The records from `from` on, or after it, and the state they belong to; `None` if memory does not go back so far.
    pub(crate) fn recent_page(&self, from: u64, with_anchor: bool) -> Option<Page> {
        let recent = self.recent();
        let state = self.state.borrow();
        let first = if with_anchor { from } else { from + 1 };
        if recent.records.front()?.offset.low() > first {
            return None;
        }
        let at = recent
            .records
            .partition_point(|record| record.offset.low() < first);
        Some(state.page(recent.records.range(at..).cloned().collect()))
    }

    fn set(&self, bounds: Bounds, condition: Condition) {
        self.state.send_replace(LogState {
            epoch: bounds.epoch,
            floor: bounds.floor.low(),
            head: bounds.head.low(),
            condition,
        });
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // Each change leaves the list consistent, so a panic elsewhere does not matter.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn push(&mut self, record: Record) {
        self.bytes += record.event.len();
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || self.bytes > MAX_BYTES {
            match self.records.pop_front() {
                Some(old) => self.bytes -= old.event.len(),
                None => return,
            }
        }
    }
}
