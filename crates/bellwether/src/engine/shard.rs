//! One shard: the task that owns sockets, and each of its turns.
//!
//! A turn takes what has come, looks at the sockets, at the stop and at the deadlines, and then writes, at most
//! [`SENDS_PER_TURN`] times, so that whatever else the runtime has to do gets its chance in between.

mod delivery;
mod lives;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::BoxError;
use bellwether_topics::{Delivery, Frame, Taken, TopicId, Watch, WatchToken};
use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Rules;
use super::group::{Group, MAX_READ_BYTES};
use super::mailbox::{Mailbox, Nudge};
use super::poller::{Happened, Poller};
use super::reader::{Gone, Reader, Sent, Unsent, append_chunk, discard};
use super::slots::{Id, Slots};
use super::wheel::{Tick, Wheel};
use crate::events::{StreamOptions, SubscriptionEnd};
use crate::lifecycle::CloseReason;
use crate::server::Permit;

/// Writes of one turn.
const SENDS_PER_TURN: usize = 64;

/// Members of a group that are looked at without a write count as one write.
const LOOKS_PER_SEND: usize = 16;

/// How long a client may take to close its side after the end of its stream.
const LINGER: Duration = Duration::from_secs(1);

/// Paths and options that are kept to be shared.
const MAX_SHARED: usize = 64;

/// What a socket is there for. Readers, the usual case, lie side by side in the table.
enum Slot {
    Reading(Reader),
    Closing(Closing),
}

/// A socket whose stream has ended.
struct Closing {
    socket: TcpStream,
    _permit: Permit,
    unsent: Option<Unsent>,
    stray: usize,
    /// From the last byte to the end of our side.
    pause: Duration,
    is_shut: bool,
    alarm: Tick,
}

impl Closing {
    /// Everything is out. The end of our side comes next; tells how long to wait then.
    fn said_all(&mut self) -> Duration {
        self.unsent = None;
        if !self.pause.is_zero() {
            return std::mem::take(&mut self.pause);
        }
        // A socket that is gone already is found out by a look at it.
        let _ = self.socket.shutdown(Shutdown::Write);
        self.is_shut = true;
        LINGER
    }
}

/// The task of one shard. Resolves when the server has stopped and nobody is left.
pub(super) struct Shard {
    rules: Arc<Rules>,
    mailbox: Arc<Mailbox>,
    poller: Poller,
    slots: Slots<Slot>,
    watch: Watch,
    /// By the number of the watch's token.
    groups: Vec<Option<Group>>,
    tokens: HashMap<TopicId, WatchToken>,
    wheel: Wheel,
    timer: Pin<Box<Sleep>>,
    /// Groups with something new.
    news: VecDeque<WatchToken>,
    /// Readers that read for themselves.
    queue: VecDeque<Id>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_stopping: bool,
    options: Vec<Arc<StreamOptions>>,
    paths: Vec<Arc<str>>,
    buffers: Buffers,
}

/// What a turn needs and no reader keeps.
#[derive(Default)]
struct Buffers {
    out: Vec<u8>,
    input: Vec<u8>,
    deliveries: Vec<Delivery>,
    frames: Vec<Frame>,
    happened: Vec<Happened>,
    dirty: Vec<WatchToken>,
}

/// What a reader's look at the log led to.
enum Looked {
    /// It has had everything, or its socket takes no more, or its turn is over.
    Waits,
    /// It has more to read.
    Again,
    Blocked,
    Gone(Gone),
    Failed(BoxError),
    Closed(SubscriptionEnd),
}

impl Shard {
    pub(super) fn new(rules: Arc<Rules>, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            poller: Poller::new()?,
            slots: Slots::new(),
            watch: Watch::new(),
            groups: Vec::new(),
            tokens: HashMap::new(),
            wheel: Wheel::new(now),
            timer: Box::pin(tokio::time::sleep_until(now)),
            news: VecDeque::new(),
            queue: VecDeque::new(),
            stopping: Box::pin(rules.lifecycle.stopping()),
            cut: Box::pin(rules.cut.clone().cancelled_owned()),
            is_stopping: false,
            options: Vec::new(),
            paths: Vec::new(),
            buffers: Buffers {
                input: vec![0; 4096],
                ..Buffers::default()
            },
            rules,
            mailbox,
        })
    }

    // --- Sockets ---

    /// What follows from a write.
    fn after_send(&mut self, id: Id, sent: io::Result<Sent>, now: Instant) {
        match sent {
            Ok(Sent::All) => {
                if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
                    reader.put_off_beat(now, &self.wheel);
                }
            }
            Ok(Sent::Blocked) => self.wait_for_socket(id),
            Err(error) => self.lose(id, Gone::from(&error)),
        }
    }

    fn wait_for_socket(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            let is_watched = std::mem::replace(&mut reader.is_watched_for_writing, true);
            if !is_watched && self.poller.watch_writable(&reader.socket, id).is_err() {
                self.drop_reader(id, CloseReason::Error);
                return;
            }
        }
        self.schedule(id);
    }

    fn look_at_socket(&mut self, happened: Happened, now: Instant) {
        let id = happened.id;
        let input = &mut self.buffers.input;
        match self.slots.get_mut(id) {
            Some(Slot::Reading(reader)) => {
                if happened.is_over {
                    let error = reader.socket.take_error().ok().flatten();
                    let gone = error.map_or(Gone::Left, |error| Gone::from(&error));
                    self.lose(id, gone);
                    return;
                }
                if happened.is_readable
                    && let Err(gone) = reader.discard(input)
                {
                    self.lose(id, gone);
                    return;
                }
                if happened.is_writable && reader.unsent.is_some() {
                    let sent = reader.flush(now);
                    let is_free = matches!(sent, Ok(Sent::All));
                    self.after_send(id, sent, now);
                    if is_free {
                        self.enqueue(id);
                    }
                }
            }
            Some(Slot::Closing(closing)) => {
                let is_over = happened.is_over
                    || (happened.is_readable
                        && discard(&closing.socket, input, &mut closing.stray).is_err());
                let flushed = match &mut closing.unsent {
                    Some(unsent) if happened.is_writable => unsent.flush(&closing.socket, now),
                    _ => Ok(false),
                };
                match flushed {
                    Ok(true) if !is_over => {
                        closing.alarm = self.wheel.tick_of(now + closing.said_all());
                        self.wheel.remind(closing.alarm, id);
                    }
                    Ok(_) if !is_over => {}
                    _ => drop(self.slots.remove(id)),
                }
            }
            None => {}
        }
    }

    // --- Deadlines ---

    /// Makes sure that the reader is reminded when something is due.
    fn schedule(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            let next = reader.next_alarm(&self.rules, &self.wheel);
            if next < reader.alarm {
                reader.alarm = next;
                self.wheel.remind(next, id);
            }
        }
    }

    /// Does what is due for a socket.
    fn remind(&mut self, id: Id, tick: Tick, now: Instant) {
        match self.slots.get_mut(id) {
            Some(Slot::Reading(reader)) if reader.alarm == tick => {
                reader.alarm = Tick::NEVER;
                let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                let plan = self.rules.lifecycle.plan();
                if is_past(plan.map(|plan| reader.stop_at(plan))) {
                    let end = SubscriptionEnd {
                        reason: CloseReason::Stopping,
                        retry: None,
                    };
                    self.end(id, end, now);
                } else if reader.is_revoked(now) {
                    self.serve(id, &mut 1, now);
                } else if is_past(reader.stalled_at(&self.rules)) {
                    self.drop_reader(id, CloseReason::TooSlow);
                } else if reader.unsent.is_none() && reader.beat_at <= tick {
                    self.beat(id, now);
                }
                self.schedule(id);
            }
            Some(Slot::Closing(closing)) if closing.alarm == tick => {
                if closing.unsent.is_some() || closing.is_shut {
                    drop(self.slots.remove(id));
                } else {
                    closing.alarm = self.wheel.tick_of(now + closing.said_all());
                    self.wheel.remind(closing.alarm, id);
                }
            }
            _ => {}
        }
    }

    fn beat(&mut self, id: Id, now: Instant) {
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        let Some(keep_alive) = &reader.options.keep_alive else {
            return;
        };
        let out = &mut self.buffers.out;
        out.clear();
        append_chunk(&keep_alive.beat, out);
        let sent = reader.send(out, now, |taken| Bytes::copy_from_slice(&out[taken..]));
        self.after_send(id, sent, now);
    }

    // --- The turn ---

    /// Takes in whatever has happened.
    fn notice(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        /// So many looks at the sockets in one turn.
        const LOOKS: usize = 4;
        loop {
            let letters = self.mailbox.take(cx.waker());
            if letters.arrivals.is_empty() && letters.nudges.is_empty() {
                break;
            }
            for arrival in letters.arrivals {
                self.adopt(arrival);
            }
            for id in letters.nudges {
                self.enqueue(id);
            }
        }
        if !self.is_stopping && self.stopping.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            for id in self.slots.ids() {
                self.schedule(id);
            }
        }
        let mut happened = std::mem::take(&mut self.buffers.happened);
        for look in 1..=LOOKS {
            happened.clear();
            if !self.poller.poll(cx, &mut happened)? {
                break;
            }
            if look == LOOKS {
                cx.waker().wake_by_ref();
            }
            for happened in &happened {
                self.look_at_socket(*happened, now);
            }
        }
        self.buffers.happened = happened;
        // First taken, then done: what is due again at once is done in the next turn.
        let mut due = Vec::new();
        while let Some(entry) = self.wheel.due(now) {
            due.push(entry);
        }
        for (tick, ids) in due {
            for id in ids {
                self.remind(id, tick, now);
            }
        }
        let mut dirty = std::mem::take(&mut self.buffers.dirty);
        while self.watch.poll_dirty(cx, &mut dirty).is_ready() {
            for token in dirty.drain(..) {
                if let Some(Some(group)) = self.groups.get_mut(token.index()) {
                    group.is_fresh = true;
                    if !std::mem::replace(&mut group.is_queued, true) {
                        self.news.push_back(token);
                    }
                }
            }
        }
        self.buffers.dirty = dirty;
        Ok(())
    }

    /// Writes, as much as one turn may. Readers by themselves and groups take turns.
    fn work(&mut self, now: Instant) {
        let mut budget = SENDS_PER_TURN;
        while budget > 0 {
            let queued = self.queue.pop_front();
            if let Some(id) = queued {
                self.serve(id, &mut budget, now);
            }
            let Some(token) = self.news.front().copied() else {
                match queued {
                    Some(_) => continue,
                    None => return,
                }
            };
            if self.walk(token, &mut budget, now) {
                self.news.pop_front();
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.news.is_empty()
    }

    /// Sets the timer to the next deadline.
    fn wait_for_deadline(&mut self, cx: &mut Context<'_>) {
        let Some(next) = self.wheel.next() else {
            return;
        };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Future for Shard {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = Instant::now();
        if this.cut.as_mut().poll(cx).is_ready() {
            this.drop_all(CloseReason::Stopping);
            return Poll::Ready(());
        }
        if let Err(error) = this.notice(cx, now) {
            tracing::error!(%error, "the delivery engine cannot watch its sockets");
            this.drop_all(CloseReason::Error);
            return Poll::Ready(());
        }
        this.work(now);
        if this.has_work() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.is_stopping && this.slots.len() == 0 && this.mailbox.close_if_empty() {
            return Poll::Ready(());
        }
        this.wait_for_deadline(cx);
        Poll::Pending
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

/// What comes next for a subscription. With a broker to be asked, the shard is woken when it has answered.
fn take(
    subscription: &mut bellwether_topics::Subscription,
    mailbox: &Arc<Mailbox>,
    id: Id,
    out: &mut Vec<Delivery>,
) -> Taken {
    match subscription.try_frames(MAX_READ_BYTES, out) {
        Taken::NeedsPoll => {
            let waker = Waker::from(Arc::new(Nudge {
                mailbox: Arc::clone(mailbox),
                id,
            }));
            let mut cx = Context::from_waker(&waker);
            match subscription.poll_frames(&mut cx, MAX_READ_BYTES, out) {
                Poll::Ready(Some(count)) => Taken::Some(count),
                Poll::Ready(None) => Taken::Closed,
                Poll::Pending => Taken::CaughtUp,
            }
        }
        taken => taken,
    }
}

/// Drops what runs foreign code when it is dropped; a panic of that code ends there.
fn let_go<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::error!("a hook panicked at the end of a subscription");
    }
}

fn share_path(paths: &mut Vec<Arc<str>>, path: &mut Arc<str>) {
    if let Some(known) = paths.iter().find(|known| *known == path) {
        *path = Arc::clone(known);
    } else if paths.len() < MAX_SHARED {
        paths.push(Arc::clone(path));
    }
}

/// A count of files or topics of one process.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_waits_holds_no_more_in_the_table_than_it_did() {
        // With its seat in the topics, about 100 bytes, and its places in lists, this is what an idle subscription
        // holds: less than 512 bytes.
        assert!(size_of::<Slot>() <= 304, "{}", size_of::<Slot>());
    }
}
