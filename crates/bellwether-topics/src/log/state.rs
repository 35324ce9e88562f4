//! What the log's lock guards: a history, the readers that wait, and which positions are proven. Pure.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::LogClosed;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::{Draft, Frame};
use crate::log::history::{History, TopicKey};
use crate::log::idempotency::IdempotencyKeys;
use crate::log::position::{Position, Reader};
use crate::log::waiters::{Ticket, Waiters, Wakes, Watcher};

#[derive(Debug)]
pub(super) struct LogState {
    pub(super) history: History,
    /// The waiters of each topic, by the index of its key. Only pinned topics have any.
    waiters_by_topic: Vec<TopicWaiters>,
    window: IdempotencyKeys,
    /// Counts resets of the history. A position that was proven in an earlier generation must be proven again.
    pub(super) generation: NonZeroU32,
    pub(super) is_closed: bool,
}

#[derive(Debug, Default)]
struct TopicWaiters {
    waiting: Waiters,
    watchers: Vec<Watcher>,
}

impl LogState {
    pub(super) fn new(history: History, window: IdempotencyKeys) -> Self {
        Self {
            history,
            waiters_by_topic: Vec::new(),
            window,
            generation: NonZeroU32::MIN,
            is_closed: false,
        }
    }

    // --- Waiters ---

    pub(super) fn watch(&mut self, key: TopicKey, watcher: Watcher) {
        self.waiters_of(key).watchers.push(watcher);
    }

    pub(super) fn unwatch(&mut self, key: TopicKey, watcher: &Watcher) {
        self.waiters_of(key).watchers.retain(|other| {
            other.token != watcher.token || !Arc::ptr_eq(&other.signal, &watcher.signal)
        });
    }

    /// Puts a reader on the lists of its topics.
    pub(super) fn register(&mut self, reader: &mut Reader, waker: &Waker, stale: &mut Vec<Waker>) {
        for (key, ticket) in reader.tickets() {
            self.waiters_of(key).waiting.register(ticket, waker, stale);
        }
    }

    /// Removes a reader's ticket from the list of one of its topics.
    pub(super) fn cancel(&mut self, key: TopicKey, ticket: Ticket, stale: &mut Vec<Waker>) {
        self.waiters_of(key).waiting.cancel(ticket, stale);
    }

    fn waiters_of(&mut self, key: TopicKey) -> &mut TopicWaiters {
        let index = key.index();
        if self.waiters_by_topic.len() <= index {
            self.waiters_by_topic
                .resize_with(index + 1, TopicWaiters::default);
        }
        &mut self.waiters_by_topic[index]
    }

    fn notify(&mut self, key: TopicKey, wakes: &mut Wakes) {
        // A topic that never had a reader has no entry here.
        if let Some(waiters) = self.waiters_by_topic.get_mut(key.index()) {
            waiters.notify(wakes);
        }
    }

    pub(super) fn notify_all(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        for waiters in &mut self.waiters_by_topic {
            waiters.notify(&mut wakes);
        }
        wakes
    }

    // --- Writing ---

    /// Pins a topic, and makes it if it is new. `None` if there would be more than `max_topics`.
    pub(super) fn open_topic(
        &mut self,
        name: &str,
        max_topics: usize,
        now: Instant,
    ) -> Option<(TopicKey, Arc<str>)> {
        let history = &mut self.history;
        let known = history
            .find(name)
            .and_then(|key| Some((key, history.name(key)?.clone())));
        let (key, name) = match known {
            Some(known) => known,
            None => {
                if history.topic_count() >= max_topics {
                    history.trim(now);
                }
                if history.topic_count() >= max_topics {
                    return None;
                }
                let name = Arc::from(name);
                (history.entry(&name), name)
            }
        };
        history.pin(key);
        Some((key, name))
    }

    /// Appends an event to a log that lives here. Returns its position, and whether its idempotency key was new.
    pub(super) fn append(
        &mut self,
        key: TopicKey,
        name: &Arc<str>,
        draft: Draft,
        idempotency_key: Option<Arc<str>>,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Result<(Cursor, bool), LogClosed> {
        if self.is_closed {
            return Err(LogClosed);
        }
        if let Some(scoped) = &idempotency_key
            && let Some(cursor) = self.window.find(scoped, now)
        {
            return Ok((cursor, false));
        }
        let cursor = self.history.next_cursor();
        let frame = draft.into_frame(cursor, name.clone(), now);
        self.history.append(key, frame, now);
        if let Some(scoped) = idempotency_key {
            self.window.insert(scoped, cursor, now);
        }
        self.notify(key, wakes);
        Ok((cursor, true))
    }

    /// Appends what the broker's tail brought, in its order. Frames that are here already are skipped.
    pub(super) fn append_all(
        &mut self,
        frames: Vec<(Arc<str>, Frame)>,
        now: Instant,
        wakes: &mut Wakes,
    ) {
        for (name, frame) in frames {
            if frame.cursor().offset > self.history.head() {
                let key = self.history.entry(&name);
                self.history.append(key, frame, now);
                self.notify(key, wakes);
            }
        }
    }

    /// Empties the history, which goes on after a position that the broker named. No reader's position is proven any
    /// more.
    pub(super) fn reset(&mut self, epoch: Epoch, floor: Offset, tag: Option<u32>) -> Wakes {
        self.history.reset(epoch, floor, tag);
        self.generation = self.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.notify_all()
    }

    /// Takes no more events.
    pub(super) fn close(&mut self) -> Wakes {
        self.is_closed = true;
        self.notify_all()
    }

    // --- Positions ---

    /// The position behind the newest record.
    pub(super) fn head_position(&self, keys: &[TopicKey]) -> Position {
        Position {
            epoch: self.history.epoch(),
            offset: self.history.head(),
            tag: self.history.head_tag(),
            generation: Some(self.generation),
            seen: Some(self.history.total(keys)),
        }
    }

    /// The cursor after which a reader goes on from where it is; `None` while that is not known.
    pub(super) fn cursor_of(&self, reader: &Reader) -> Option<Cursor> {
        let position = &reader.position;
        let is_known = position.tag.is_some() || position.offset == Offset::ZERO;
        if reader.has_asked() || !is_known {
            return None;
        }
        let has_all = position.generation == Some(self.generation)
            && position.seen == Some(self.history.total(&reader.keys));
        Some(match has_all {
            true => self.history.own_position(&reader.keys, position.cursor()),
            false => position.cursor(),
        })
    }

    /// The position before the oldest record.
    pub(super) fn floor_position(&self, keys: &[TopicKey]) -> Position {
        let floor = self.history.floor();
        Position {
            epoch: self.history.epoch(),
            offset: floor,
            tag: Some(self.history.floor_cursor().tag),
            generation: Some(self.generation),
            seen: Some(self.history.seen_at(keys, floor)),
        }
    }
}

impl TopicWaiters {
    fn notify(&mut self, wakes: &mut Wakes) {
        self.waiting.drain(wakes);
        for watcher in &self.watchers {
            watcher.signal.mark(watcher.token, wakes);
        }
    }
}
