//! One shard: the task that owns sockets, and each of its turns.
//!
//! A turn takes what has come, looks at the sockets, at the stop and at the deadlines, and then writes, at most
//! [`SENDS_PER_TURN`] times, so that whatever else the runtime has to do gets its chance in between.

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
use bellwether_topics::{Delivery, Frame, Taken, Topic, TopicId, Watch, WatchToken};
use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Rules;
use super::group::{Group, MAX_READ_BYTES, Member, News};
use super::mailbox::{Mailbox, Nudge};
use super::poller::{Happened, Poller};
use super::reader::{
    Arrival, Gone, LAST_CHUNK, Reader, Seat, Seats, Sent, Unsent, append_chunk, discard,
};
use super::slots::{Id, Slots};
use super::wheel::{Tick, Wheel};
use crate::events::{READING, StreamOptions, SubscriptionEnd, end_of, log_failure, panic_error};
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

/// What a socket is there for.
#[expect(
    clippy::large_enum_variant,
    reason = "readers are the usual case, and lie side by side in the table"
)]
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

    // --- Coming ---

    fn adopt(&mut self, mut arrival: Arrival, now: Instant) {
        let options = self.shared_options(&arrival.offer.options);
        arrival.offer.guard.take_over();
        share_path(&mut self.paths, arrival.offer.guard.path_mut());
        let (reader, primed) = Reader::new(arrival, options, &self.wheel);
        let topics: Vec<Topic> = reader.subscription.topics().collect();
        let id = self.slots.insert(Slot::Reading(reader));
        let mut seats = Vec::with_capacity(topics.len());
        for (topic, nth) in topics.iter().zip(0..) {
            let reader = id.index;
            seats.push(self.join(topic, Member { reader, nth }));
        }
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        reader.seats = match seats[..] {
            [seat] => Seats::One(seat),
            _ => Seats::Many(seats.into()),
        };
        if let Err(error) = self.poller.add(&reader.socket, id) {
            tracing::warn!(%error, "a socket cannot be watched");
            self.drop_reader(id, CloseReason::Error);
            return;
        }
        let out = &mut self.buffers.out;
        out.clear();
        append_chunk(&primed, out);
        let sent = reader.send(out, now, |taken| Bytes::copy_from_slice(&out[taken..]));
        self.after_send(id, sent, now);
        self.schedule(id);
        self.enqueue(id);
    }

    /// Streams with the same options share them.
    fn shared_options(&mut self, options: &Arc<StreamOptions>) -> Arc<StreamOptions> {
        let known = self.options.iter().find(|known| known.is_same(options));
        if let Some(known) = known {
            return Arc::clone(known);
        }
        if self.options.len() < MAX_SHARED {
            self.options.push(Arc::clone(options));
        }
        Arc::clone(options)
    }

    /// Enters a reader in the list of one of its topics.
    fn join(&mut self, topic: &Topic, member: Member) -> Seat {
        let id = topic.id();
        let token = match self.tokens.get(&id) {
            Some(token) => *token,
            None => {
                let token = self.watch.add(topic);
                if self.groups.len() <= token.index() {
                    self.groups.resize_with(token.index() + 1, || None);
                }
                self.groups[token.index()] = Some(Group::new(id, topic.reader()));
                self.tokens.insert(id, token);
                token
            }
        };
        let mut position = 0;
        if let Some(group) = &mut self.groups[token.index()] {
            position = number(group.members.len());
            group.members.push(member);
        }
        Seat {
            group: number(token.index()),
            position,
        }
    }

    // --- Going ---

    /// Takes a reader off the lists of its topics.
    fn leave(&mut self, seats: &Seats) {
        for seat in seats.all() {
            let Some(Some(group)) = self.groups.get_mut(seat.group as usize) else {
                continue;
            };
            let position = seat.position as usize;
            if position < group.members.len() {
                group.members.swap_remove(position);
            }
            if let Some(moved) = group.members.get(position)
                && let Some((_, Slot::Reading(reader))) = self.slots.at(moved.reader)
                && let Some(their_seat) = reader.seats.get_mut(moved.nth)
            {
                their_seat.position = seat.position;
            }
            if group.members.is_empty() {
                let topic = group.topic;
                self.groups[seat.group as usize] = None;
                if let Some(token) = self.tokens.remove(&topic) {
                    self.watch.remove(token);
                }
            }
        }
    }

    /// Lets go of a reader without a word.
    fn drop_reader(&mut self, id: Id, reason: CloseReason) {
        match self.slots.remove(id) {
            Some(Slot::Reading(mut reader)) => {
                self.leave(&reader.seats);
                reader.guard.close_for(reason);
                let_go(reader);
            }
            Some(Slot::Closing(_)) | None => {}
        }
    }

    fn lose(&mut self, id: Id, gone: Gone) {
        let reason = match gone {
            Gone::Left => CloseReason::ClientLeft,
            Gone::Silent => CloseReason::TooSlow,
        };
        self.drop_reader(id, reason);
    }

    /// Ends a stream in good order.
    fn end(&mut self, id: Id, end: SubscriptionEnd, now: Instant) {
        let (mut words, mut out) = (Vec::new(), Vec::new());
        end.write(self.rules.lifecycle.plan(), &mut words);
        append_chunk(&words, &mut out);
        out.extend_from_slice(LAST_CHUNK);
        self.close(id, out, end.reason, Duration::ZERO, now);
    }

    /// Tells an error and cuts the stream: the last chunk does not come.
    fn fail(&mut self, id: Id, error: &BoxError, now: Instant) {
        let (mut words, mut out) = (Vec::new(), Vec::new());
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id) {
            log_failure(&reader.guard, error);
            reader.options.write_error(error, &mut words);
        }
        append_chunk(&words, &mut out);
        self.close(id, out, CloseReason::Error, READING, now);
    }

    /// Ends a stream with these last words. Its socket stays until they are out and the client has closed its side, for a
    /// bounded time: closed at once, unread bytes of the client would make it a reset, which can overtake the words.
    fn close(
        &mut self,
        id: Id,
        words: Vec<u8>,
        reason: CloseReason,
        pause: Duration,
        now: Instant,
    ) {
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return;
        };
        let seats = std::mem::replace(&mut reader.seats, Seats::Many(Box::default()));
        self.leave(&seats);
        let wheel = &mut self.wheel;
        let rules = &self.rules;
        let poller = &self.poller;
        self.slots.turn(id, |slot| {
            let Slot::Reading(mut reader) = slot else {
                return slot;
            };
            reader.guard.close_for(reason);
            let bytes = match reader.unsent.take() {
                Some(unsent) => [&unsent.bytes[..], &words].concat(),
                None => words,
            };
            let mut unsent = Unsent {
                bytes: bytes.into(),
                since: now,
            };
            let Reader {
                socket,
                permit,
                subscription,
                guard,
                presence,
                is_watched_for_writing,
                ..
            } = reader;
            let_go((subscription, guard, presence));
            // What fails here fails again when the socket is looked at, which frees it.
            let is_out = unsent.flush(&socket, now).unwrap_or(false);
            let mut closing = Closing {
                socket,
                _permit: permit,
                unsent: Some(unsent),
                stray: 0,
                pause,
                is_shut: false,
                alarm: Tick::NEVER,
            };
            let patience = if is_out {
                closing.said_all()
            } else {
                if !is_watched_for_writing {
                    let _ = poller.watch_writable(&closing.socket, id);
                }
                rules.write_stall
            };
            if let Some(at) = now.checked_add(patience) {
                closing.alarm = wheel.tick_of(at);
                wheel.remind(closing.alarm, id);
            }
            Slot::Closing(closing)
        });
    }

    fn drop_all(&mut self, reason: CloseReason) {
        for id in self.slots.ids() {
            self.drop_reader(id, reason);
        }
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

    // --- Events ---

    /// Lets a reader read for itself in this turn or a later one.
    fn enqueue(&mut self, id: Id) {
        if let Some(Slot::Reading(reader)) = self.slots.get_mut(id)
            && !std::mem::replace(&mut reader.is_queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Lets a reader read for itself.
    fn serve(&mut self, id: Id, budget: &mut usize, now: Instant) {
        match self.look(id, budget, now) {
            Looked::Waits => {}
            Looked::Again => self.enqueue(id),
            Looked::Blocked => self.wait_for_socket(id),
            Looked::Gone(gone) => self.lose(id, gone),
            Looked::Failed(error) => self.fail(id, &error, now),
            Looked::Closed(end) => self.end(id, end, now),
        }
    }

    fn look(&mut self, id: Id, budget: &mut usize, now: Instant) -> Looked {
        let Buffers {
            out, deliveries, ..
        } = &mut self.buffers;
        let Some(Slot::Reading(reader)) = self.slots.get_mut(id) else {
            return Looked::Waits;
        };
        reader.is_queued = false;
        if reader.unsent.is_some() && !reader.is_revoked(now) {
            return Looked::Waits;
        }
        loop {
            deliveries.clear();
            // A filter is foreign code: its panic ends its own stream and no other.
            let taken = catch_unwind(AssertUnwindSafe(|| {
                take(&mut reader.subscription, &self.mailbox, id, deliveries)
            }));
            match taken {
                Ok(Taken::Some(_)) => {}
                Ok(Taken::Closed) => return Looked::Closed(end_of(&reader.subscription)),
                Ok(_) => return Looked::Waits,
                Err(panic) => return Looked::Failed(panic_error(&*panic)),
            }
            out.clear();
            reader.encode(deliveries, out);
            deliveries.clear();
            if out.is_empty() {
                continue;
            }
            *budget = budget.saturating_sub(1);
            match reader.send(out, now, |taken| Bytes::copy_from_slice(&out[taken..])) {
                Ok(Sent::All) => reader.put_off_beat(now, &self.wheel),
                Ok(Sent::Blocked) => return Looked::Blocked,
                Err(error) => return Looked::Gone(Gone::from(&error)),
            }
            if *budget == 0 {
                return Looked::Again;
            }
        }
    }

    /// Goes on with the walk through a group. Whether nothing is left to do for it.
    fn walk(&mut self, token: WatchToken, budget: &mut usize, now: Instant) -> bool {
        loop {
            let Some(Some(group)) = self.groups.get_mut(token.index()) else {
                return true;
            };
            let Some(mut walk) = group.take_walk(&mut self.buffers.frames) else {
                group.is_queued = false;
                return true;
            };
            let mut looks = 0;
            while walk.next > 0 {
                if *budget == 0 {
                    // Whoever has left meanwhile may have taken the group along.
                    if let Some(Some(group)) = self.groups.get_mut(token.index()) {
                        group.put_walk(walk);
                    }
                    return false;
                }
                looks += 1;
                if looks % LOOKS_PER_SEND == 0 {
                    *budget -= 1;
                }
                walk.next -= 1;
                let member = match self.groups.get(token.index()) {
                    Some(Some(group)) => group.members.get(walk.next).copied(),
                    _ => return true,
                };
                if let Some(member) = member {
                    self.visit(member, &walk.news, budget, now);
                }
            }
        }
    }

    /// Brings the news to one reader.
    fn visit(&mut self, member: Member, news: &News, budget: &mut usize, now: Instant) {
        let Some((id, Slot::Reading(reader))) = self.slots.at(member.reader) else {
            return;
        };
        if reader.is_revoked(now) {
            self.enqueue(id);
            return;
        }
        if reader.unsent.is_some() {
            return;
        }
        match news {
            News::Shared(shared) if reader.is_at(&shared.start) => {
                *budget = budget.saturating_sub(1);
                let sent = reader.send_shared(shared, now);
                self.after_send(id, sent, now);
            }
            News::Shared(shared) if reader.is_at(&shared.end) => {}
            News::None(place) if reader.is_at(place) => {}
            _ => self.enqueue(id),
        }
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
                self.adopt(arrival, now);
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
