//! The log as readers share it: a history, who waits for what, and one lock around both.
//!
//! The lock guards everything in [`State`]. It is held for a look or an append: no I/O, no foreign code, no `.await`,
//! and at most one batch of reference counts per look. Lock order: this lock, then a watch's bell.
//!
//! There is no second, live path. A reader looks after its own place, and only if nothing is there it leaves its waker,
//! under the same lock. A publish appends and takes the wakers away under that lock, and wakes them after it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use crate::cursor::{Cursor, Epoch, Offset};
use crate::frame::{Draft, Frame};
use crate::gap::{Gap, GapReason};
use crate::history::{Anchor, History, Limit, Run, Seen, TopicKey};
use crate::place::{Place, Reader};
use crate::policy::{Move, Situation, Slow};
use crate::sync::{Mutex, lock};
use crate::waiting::{Waiting, Wakes, Watcher};
use crate::window::Window;

/// What a look found.
#[derive(Debug)]
pub(crate) enum Look {
    /// Frames were handed out, and the place moved behind them.
    Frames,
    /// Nothing is new. The waker is registered if there was one.
    CaughtUp,
    /// History is lost; the place has moved to where the gap says.
    Gap(Gap),
    /// The policy says that the reader has to go.
    Disconnect,
    /// The broker has to be asked: for what lies before this history, or, with a reason, for where to go on.
    Deep(Option<GapReason>),
    /// The place lies beyond this node's head.
    Ahead,
    /// The log is closed.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Log {
    state: Mutex<State>,
    /// Whether this process has the only copy, so that what is not here is gone.
    is_authority: bool,
    /// How often readers were sent away. Raised after their seats are marked, so whoever sees the count sees the marks.
    kicks: AtomicU64,
}

#[derive(Debug)]
struct State {
    history: History,
    /// Who waits, by the index of the topic's key. Only pinned topics have anybody waiting.
    shells: Vec<Shell>,
    window: Window,
    /// Counts resets of the history. A place proven in an earlier one has to be proven again.
    generation: NonZeroU32,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shell {
    waiting: Waiting,
    watchers: Vec<Watcher>,
}

/// A log that takes no more.
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

impl State {
    fn shell(&mut self, key: TopicKey) -> &mut Shell {
        let index = key.index();
        if self.shells.len() <= index {
            self.shells.resize_with(index + 1, Shell::default);
        }
        &mut self.shells[index]
    }

    fn notify(&mut self, key: TopicKey, wakes: &mut Wakes) {
        // A topic that never had a reader has no shell.
        if let Some(shell) = self.shells.get_mut(key.index()) {
            shell.waiting.drain(wakes);
            for watcher in &shell.watchers {
                watcher.bell.mark(watcher.token, wakes);
            }
        }
    }

    fn notify_all(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        for shell in &mut self.shells {
            shell.waiting.drain(&mut wakes);
            for watcher in &shell.watchers {
                watcher.bell.mark(watcher.token, &mut wakes);
            }
        }
        wakes
    }

    fn register(&mut self, reader: &mut Reader, waker: &Waker, stale: &mut Vec<Waker>) {
        for (key, ticket) in reader.tickets() {
            self.shell(key).waiting.register(ticket, waker, stale);
        }
    }

    /// The place behind the newest record.
    fn head_place(&self, keys: &[TopicKey]) -> Place {
        Place {
            epoch: self.history.epoch(),
            offset: self.history.head(),
            tag: self.history.head_tag(),
            generation: Some(self.generation),
            seen: Some(self.history.total(keys)),
        }
    }

    /// The place before the oldest record.
    fn floor_place(&self, keys: &[TopicKey]) -> Place {
        let floor = self.history.floor();
        Place {
            epoch: self.history.epoch(),
            offset: floor,
            tag: Some(self.history.floor_cursor().tag),
            generation: Some(self.generation),
            seen: Some(self.history.seen_at(keys, floor)),
        }
    }

    fn gap(&self, reader: &mut Reader, reason: GapReason, is_to_head: bool) -> Look {
        let asked = reader
            .take_asked()
            .unwrap_or_else(|| reader.place.cursor().to_string().into());
        let seen = reader.place.seen;
        let gap = self
            .history
            .gap(reason, Some(&asked), &reader.keys, seen, is_to_head);
        reader.place = match is_to_head {
            true => self.head_place(&reader.keys),
            false => self.floor_place(&reader.keys),
        };
        Look::Gap(gap)
    }
}

impl Log {
    pub(crate) fn new(history: History, window: Window, is_authority: bool) -> Self {
        Self {
            state: Mutex::new(State {
                history,
                shells: Vec::new(),
                window,
                generation: NonZeroU32::MIN,
                is_closed: false,
            }),
            is_authority,
            kicks: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.is_authority
    }

    // --- Topics ---

    /// Pins a topic, which makes it if it is new. `None` if there would be more than `max_topics`.
    pub(crate) fn open_topic(
        &self,
        name: &str,
        max_topics: usize,
        now: Instant,
    ) -> Option<(TopicKey, Arc<str>)> {
        let mut state = lock(&self.state);
        let history = &mut state.history;
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

    pub(crate) fn unpin(&self, key: TopicKey) {
        lock(&self.state).history.unpin(key);
    }

    pub(crate) fn topic_count(&self) -> usize {
        lock(&self.state).history.topic_count()
    }

    /// Follows a topic by a bell, which is rung at once.
    pub(crate) fn watch(&self, key: TopicKey, watcher: Watcher) {
        let mut wakes = Wakes::default();
        watcher.bell.mark(watcher.token, &mut wakes);
        lock(&self.state).shell(key).watchers.push(watcher);
        wakes.wake_some(usize::MAX);
    }

    pub(crate) fn unwatch(&self, key: TopicKey, watcher: &Watcher) {
        let mut state = lock(&self.state);
        state.shell(key).watchers.retain(|other| {
            other.token != watcher.token || !Arc::ptr_eq(&other.bell, &watcher.bell)
        });
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
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(LogClosed);
        }
        if let Some(scoped) = &idempotency_key
            && let Some(cursor) = state.window.find(scoped, now)
        {
            return Ok(Appended {
                cursor,
                is_new: false,
                wakes,
            });
        }
        let cursor = state.history.next_cursor();
        let frame = draft.place(cursor, name.clone(), now);
        state.history.append(key, frame, now);
        if let Some(scoped) = idempotency_key {
            state.window.insert(scoped, cursor, now);
        }
        state.notify(key, &mut wakes);
        Ok(Appended {
            cursor,
            is_new: true,
            wakes,
        })
    }

    /// Appends what the broker brought, in its order. Frames that are here already are skipped.
    pub(crate) fn append_all(&self, frames: Vec<(Arc<str>, Frame)>, now: Instant) -> Wakes {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        for (name, frame) in frames {
            if frame.cursor().offset > state.history.head() {
                let key = state.history.entry(&name);
                state.history.append(key, frame, now);
                state.notify(key, &mut wakes);
            }
        }
        wakes
    }

    /// Throws the history away and begins after a place that the broker named. Every reader is woken and has to prove
    /// its place again.
    pub(crate) fn reset(&self, epoch: Epoch, floor: Offset, tag: Option<u32>) -> Wakes {
        let mut state = lock(&self.state);
        state.history.reset(epoch, floor, tag);
        state.generation = state.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        state.notify_all()
    }

    /// Takes no more events, and ends every reader.
    pub(crate) fn close(&self) -> Wakes {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.notify_all()
    }

    /// Makes every waiting reader look again, because some were sent away.
    pub(crate) fn kick(&self) -> Wakes {
        self.kicks.fetch_add(1, Ordering::Release);
        lock(&self.state).notify_all()
    }

    /// How often readers were sent away.
    pub(crate) fn kicks(&self) -> u64 {
        self.kicks.load(Ordering::Acquire)
    }

    // --- Reading ---

    pub(crate) fn head_cursor(&self) -> Cursor {
        lock(&self.state).history.head_cursor()
    }

    /// The newest record's place, with the tag only if it is known.
    pub(crate) fn head(&self) -> (Epoch, Offset, Option<u32>) {
        let state = lock(&self.state);
        let history = &state.history;
        (history.epoch(), history.head(), history.head_tag())
    }

    /// Notes the tag of the head, if this is where the head is and the tag is not known yet.
    pub(crate) fn learn_head_tag(&self, offset: Offset, tag: u32) {
        lock(&self.state).history.learn_head_tag(offset, tag);
    }

    pub(crate) fn head_place(&self, keys: &[TopicKey]) -> Place {
        lock(&self.state).head_place(keys)
    }

    pub(crate) fn floor_place(&self, keys: &[TopicKey]) -> Place {
        lock(&self.state).floor_place(keys)
    }

    /// Removes what has become too old since the last publish.
    pub(crate) fn trim(&self, now: Instant) {
        lock(&self.state).history.trim(now);
    }

    /// Tells a reader a gap whose reason is known without a look.
    pub(crate) fn gap(&self, reader: &mut Reader, reason: GapReason) -> Look {
        let is_to_head = reader.is_to_latest();
        lock(&self.state).gap(reader, reason, is_to_head)
    }

    /// Looks for what comes next for a reader, and registers the waker if nothing does.
    pub(crate) fn look(
        &self,
        reader: &mut Reader,
        limit: Limit,
        waker: Option<&Waker>,
        out: impl FnMut(&Frame),
    ) -> Look {
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        if state.is_closed {
            return Look::Closed;
        }
        if reader.place.generation != Some(state.generation)
            && let Some(answer) = self.prove(&state, reader)
        {
            return answer;
        }

        let history = &state.history;
        let policy = reader.rules.policy;
        let is_complete = history.is_complete(&reader.keys, reader.place.offset);
        let is_complete_per_key = is_complete
            || (policy.slow() == Slow::LatestPerKey
                && history.is_complete_per_key(&reader.keys, reader.place.offset));
        if reader.has_asked() && self.is_authority && !is_complete_per_key {
            let is_to_head = reader.is_to_latest();
            return state.gap(reader, GapReason::Trimmed, is_to_head);
        }

        let next = if is_complete && policy.is_unbounded() {
            Move::Read
        } else {
            let lag = reader.lag(history.total(&reader.keys));
            policy.decide(Situation {
                lag_events: lag.events,
                lag_bytes: lag.bytes,
                // What is not here may still be in the broker, and nothing is lost then.
                is_complete: is_complete || !self.is_authority,
                is_complete_per_key,
                was_live: reader.was_live,
            })
        };
        if !self.is_authority && !is_complete && matches!(next, Move::Read | Move::GapThenRest) {
            return Look::Deep(None);
        }
        reader.take_asked();
        let run = match next {
            Move::Read => history.read(&reader.keys, reader.place.offset, limit, out),
            Move::ReadLatest => history.read_latest(&reader.keys, reader.place.offset, limit, out),
            Move::GapThenRest => return state.gap(reader, GapReason::Lag, false),
            Move::GapThenLatest => return state.gap(reader, GapReason::Lag, true),
            Move::Disconnect => return Look::Disconnect,
        };
        if run.last.is_none()
            && let Some(waker) = waker
        {
            state.register(reader, waker, &mut stale);
        }
        advance(&state, reader, &run, next)
    }

    /// Checks that the reader's place is one of this history; notes that, or says what to do instead.
    fn prove(&self, state: &State, reader: &mut Reader) -> Option<Look> {
        let history = &state.history;
        let place = &mut reader.place;
        let anchor = match place.tag {
            Some(_) => history.anchor(&place.cursor()),
            // A place that the log chose needs no record, only the same history.
            None if place.epoch != history.epoch() => Anchor::Lost(GapReason::Epoch),
            None if place.offset > history.head() => Anchor::Ahead,
            None if place.offset < history.floor() => Anchor::Older,
            None => Anchor::Proven,
        };
        match anchor {
            Anchor::Proven => {
                place.generation = Some(state.generation);
                place.seen = history
                    .is_complete(&reader.keys, place.offset)
                    .then(|| history.seen_at(&reader.keys, place.offset));
                None
            }
            Anchor::Lost(reason) if self.is_authority => {
                place.seen = None;
                Some(state.gap(reader, reason, reader.is_to_latest()))
            }
            // This node may lag behind or hold an earlier epoch: the broker decides.
            Anchor::Lost(_) | Anchor::Older => Some(Look::Deep(None)),
            Anchor::Ahead => Some(Look::Ahead),
        }
    }

    /// Makes the reader wake for its topics, a kick or the end while it waits for something else. False at the end.
    pub(crate) fn wait(&self, reader: &mut Reader, waker: &Waker) -> bool {
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        state.register(reader, waker, &mut stale);
        !state.is_closed
    }

    /// Takes the reader off the lists of those who wait.
    pub(crate) fn cancel(&self, reader: &mut Reader) {
        let mut tickets = reader.take_tickets().peekable();
        if tickets.peek().is_none() {
            return;
        }
        // Declared before the guard, so dropped after it.
        let mut stale = Vec::new();
        let mut state = lock(&self.state);
        for (key, ticket) in tickets {
            state.shell(key).waiting.cancel(ticket, &mut stale);
        }
    }
}

/// Moves the reader behind what it got.
fn advance(state: &State, reader: &mut Reader, run: &Run, next: Move) -> Look {
    match run.last {
        Some(last) if run.is_cut => {
            reader.place.move_to(last);
            reader.place.seen = match (next, reader.place.seen) {
                (Move::Read, Some(seen)) => Some(Seen {
                    events: seen.events + run.count.events,
                    bytes: seen.bytes + run.count.bytes,
                }),
                _ => None,
            };
            Look::Frames
        }
        // Nothing more: the place behind the head is as good as the last frame's, and stays provable for longer.
        Some(_) => {
            reader.place = state.head_place(&reader.keys);
            Look::Frames
        }
        None => {
            if reader.place.offset != state.history.head() || reader.place.seen.is_none() {
                reader.place = state.head_place(&reader.keys);
            }
            reader.was_live = true;
            Look::CaughtUp
        }
    }
}
