//! The log as readers share it: a history, the readers that wait, and one lock around both.
//!
//! The lock guards everything in [`LogState`]. It is held for a read or an append: no I/O, no foreign code, no
//! `.await`, and at most one batch of reference counts per read. Lock order: this lock, then that of a watch's signal.
//! What happens under it is pure: [`LogState`] appends and keeps the readers that wait, [`LogState::read_next`] decides
//! what a reader gets.
//!
//! There is no second, live path. A reader reads after its own position, and leaves its waker under the same lock only
//! if nothing is there. A publish appends and takes the wakers under that lock, and wakes them after it.

pub(crate) mod held_topics;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod policy;
pub(crate) mod position;
mod read_next;
pub(crate) mod retention;
mod state;
pub(crate) mod waiters;
pub(crate) mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

pub(crate) use self::read_next::ReadOutcome;
use self::state::LogState;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::{Draft, Frame};
use crate::event::gap::GapReason;
use crate::lock::{Mutex, lock};
use crate::log::held_topics::HeldTopics;
use crate::log::history::{History, Limit, TopicKey};
use crate::log::idempotency::IdempotencyKeys;
use crate::log::position::{Position, Reader};
use crate::log::waiters::{Wakes, Watcher};

#[derive(Debug)]
pub(crate) struct Log {
    state: Mutex<LogState>,
    /// The topics that handles and subscriptions hold.
    pub(crate) held_topics: HeldTopics,
    /// Whether this process has the only copy, so that what is not here is gone.
    is_authority: bool,
    /// How often every reader had to be polled: some were sent away, or now have an id. Raised after that is noted, so that
    /// a poll after a change of the count finds it.
    kicks: AtomicU64,
}

/// The error of an append to a closed log.
#[derive(Debug)]
pub(crate) struct LogClosed;

/// What an append did.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) cursor: Cursor,
    /// False if the idempotency key was known.
    pub(crate) is_new: bool,
    pub(crate) wakes: Wakes,
}

impl Log {
    pub(crate) fn new(history: History, window: IdempotencyKeys, is_authority: bool) -> Self {
        Self {
            state: Mutex::new(LogState::new(history, window)),
            held_topics: HeldTopics::default(),
            is_authority,
            kicks: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.is_authority
    }

    // --- Topics ---

    /// Pins a topic, and makes it if it is new. `None` if there would be more than `max_topics`.
    pub(crate) fn open_topic(
        &self,
        name: &str,
        max_topics: usize,
        now: Instant,
    ) -> Option<(TopicKey, Arc<str>)> {
        lock(&self.state).open_topic(name, max_topics, now)
    }

    pub(crate) fn unpin(&self, key: TopicKey) {
        lock(&self.state).history.unpin(key);
    }

    pub(crate) fn topic_count(&self) -> usize {
        lock(&self.state).history.topic_count()
    }

    /// Follows a topic by a signal, which is set at once.
    pub(crate) fn watch(&self, key: TopicKey, watcher: Watcher) {
        let mut wakes = Wakes::default();
        watcher.signal.mark(watcher.token, &mut wakes);
        lock(&self.state).watch(key, watcher);
        wakes.wake_some(usize::MAX);
    }

    pub(crate) fn unwatch(&self, key: TopicKey, watcher: &Watcher) {
        lock(&self.state).unwatch(key, watcher);
    }

    // --- Writing ---

    /// Appends an event to a log that lives here. The caller wakes the readers after that.
    pub(crate) fn append(
        &self,
        key: TopicKey,
        name: &Arc<str>,
        draft: Draft,
        idempotency_key: Option<Arc<str>>,
        now: Instant,
    ) -> Result<Appended, LogClosed> {
        // Declared before the guard, so dropped after it.
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let (cursor, is_new) = state.append(key, name, draft, idempotency_key, now, &mut wakes)?;
        Ok(Appended {
            cursor,
            is_new,
            wakes,
        })
    }

    /// Appends what the broker's tail brought, in its order. Frames that are here already are skipped.
    pub(crate) fn append_all(&self, frames: Vec<(Arc<str>, Frame)>, now: Instant) -> Wakes {
        // Declared before the guard, so dropped after it.
        let mut wakes = Wakes::default();
        lock(&self.state).append_all(frames, now, &mut wakes);
        wakes
    }

    /// Empties the history, which goes on after a position that the broker named. Every reader is woken and must prove
    /// its position again.
    pub(crate) fn reset(&self, epoch: Epoch, floor: Offset, tag: Option<u32>) -> Wakes {
        lock(&self.state).reset(epoch, floor, tag)
    }

    /// Takes no more events, and ends every reader.
    pub(crate) fn close(&self) -> Wakes {
        lock(&self.state).close()
    }

    /// Wakes every waiting reader, because some were kicked.
    pub(crate) fn kick(&self) -> Wakes {
        self.kicks.fetch_add(1, Ordering::Release);
        lock(&self.state).notify_all()
    }

    /// The number of kicks.
    pub(crate) fn kicks(&self) -> u64 {
        self.kicks.load(Ordering::Acquire)
    }

    // --- Reading ---

    pub(crate) fn head_cursor(&self) -> Cursor {
        lock(&self.state).history.head_cursor()
    }

    /// The newest record's epoch and offset, with the tag only if it is known.
    pub(crate) fn head(&self) -> (Epoch, Offset, Option<u32>) {
        let state = lock(&self.state);
        let history = &state.history;
        (history.epoch(), history.head(), history.head_tag())
    }

    /// Notes the tag of the head, if this is where the head is and the tag is not known yet.
    pub(crate) fn learn_head_tag(&self, offset: Offset, tag: u32) -> Wakes {
        let mut state = lock(&self.state);
        match state.history.learn_head_tag(offset, tag) {
            // Readers that came before have no id yet that they could resume from.
            true => {
                self.kicks.fetch_add(1, Ordering::Release);
                state.notify_all()
            }
            false => Wakes::default(),
        }
    }

    pub(crate) fn head_position(&self, keys: &[TopicKey]) -> Position {
        lock(&self.state).head_position(keys)
    }

    /// The cursor after which a reader goes on from where it is; `None` while that is not known.
    pub(crate) fn cursor_of(&self, reader: &Reader) -> Option<Cursor> {
        lock(&self.state).cursor_of(reader)
    }

    /// Removes what has become too old since the last publish.
    pub(crate) fn trim(&self, now: Instant) {
        lock(&self.state).history.trim(now);
    }

    /// Gives a reader a gap whose reason is known without reading.
    pub(crate) fn gap(&self, reader: &mut Reader, reason: GapReason) -> ReadOutcome {
        let is_to_head = reader.is_to_latest();
        lock(&self.state).gap(reader, reason, is_to_head)
    }

    /// Reads what comes next for a reader, and registers the waker if nothing does.
    pub(crate) fn read_next(
        &self,
        reader: &mut Reader,
        limit: Limit,
        waker: Option<&Waker>,
        out: impl FnMut(&Frame),
    ) -> ReadOutcome {
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        state.read_next(reader, self.is_authority, limit, waker, &mut stale, out)
    }

    /// Registers the waker for the reader's topics, a kick and the end, while the reader waits for something else.
    /// False at the end.
    pub(crate) fn wait(&self, reader: &mut Reader, waker: &Waker) -> bool {
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        state.register(reader, waker, &mut stale);
        !state.is_closed
    }

    /// Removes the reader from its topics' lists of waiters.
    pub(crate) fn cancel(&self, reader: &mut Reader) {
        let mut tickets = reader.take_tickets().peekable();
        if tickets.peek().is_none() {
            return;
        }
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        for (key, ticket) in tickets {
            state.cancel(key, ticket, &mut stale);
        }
    }
}
