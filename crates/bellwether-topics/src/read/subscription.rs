//! [`Subscription`]: one reader's stream of events and gaps.
//!
//! It holds a position in the shared log and nothing else: no queue, no task, no receiver. Each poll reads after the
//! position, moves it behind what it hands out, and sleeps when nothing is there. Replay, live reading and catching up
//! after a stall are the same read, so there is no seam between them. Only a reader that is older than this node's
//! memory, on a log with a broker, holds one page of at most 64 KiB while it catches up.

mod extras;
mod step;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

pub(crate) use self::extras::Extras;
use self::step::Step;
use crate::clock;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::delivery::Delivery;
use crate::log::held_topics::HeldTopic;
use crate::log::history::Limit;
use crate::log::policy::{Policy, Slow};
use crate::log::position::{Asked, Position, Reader};
use crate::node::Node;
use crate::presence::{CloseReason, Registration, Subscriber};
use crate::read::resumption::Resumption;
use crate::short_list::ShortList;

/// The most events that one call hands out, so that the log's lock is never held for long.
const MAX_EVENTS_PER_READ: usize = 1024;
/// Other tasks get their turn after this number of reads in which the filter skipped every event.
const MAX_READS_PER_POLL: usize = 16;
/// The most events that a filter sees in one read, so that a call runs it at most 1,024 times.
const MAX_FILTERED_PER_READ: usize = 64;

/// What [`Subscription::try_frames`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// This number of deliveries was appended, at least one.
    Some(usize),
    /// Nothing is new.
    CaughtUp,
    /// [`Subscription::poll_frames`] must go on. Either the broker must be asked, which only that method can do, or the
    /// filter has just rejected about a thousand events and other tasks get their turn first.
    NeedsPoll,
    /// The subscription has ended; [`Subscription::close_reason`] says why.
    Closed,
}

/// What a subscription does before its first read of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstRead {
    /// It reads after its position. The application chose none, so that is the log's head until
    /// [`resume_after`](Subscription::resume_after) names another.
    Unchosen,
    /// It reads after its position.
    Next,
    /// It delivers a gap: what was asked for is no cursor.
    Unknown,
    /// It delivers a gap up to the log's head, because it is not known what the client has had.
    InDoubt,
    /// It reads the broker's log from the start.
    AtStart,
}

impl FirstRead {
    /// The first read after the event of this id, and its position.
    pub(crate) fn after(last_event_id: &str) -> (Self, Position) {
        match last_event_id.parse::<Cursor>() {
            Ok(cursor) => (Self::Next, Position::asked(cursor)),
            Err(_) => (Self::Unknown, Position::chosen(Epoch(0), Offset::ZERO)),
        }
    }
}

/// One reader of one or several topics: a stream of [`Delivery`].
///
/// The stream ends when the subscription is closed, and [`close_reason`](Self::close_reason) then has the
/// [`CloseReason`]. Dropping a subscription leaves its topics.
///
/// ```
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let topics = Topics::new();
/// let news = topics.topic("news")?;
/// let first = news.publish(&ServerSentEvent::text("one"))?.await?;
/// news.publish(&ServerSentEvent::text("two"))?.await?;
///
/// let mut reader = news.subscribe().after(first.to_string().as_str()).open()?;
/// let frame = reader.next().await.unwrap().into_frame().unwrap();
/// assert!(frame.bytes().starts_with(b"data: two\n"));
/// # Ok::<(), bellwether_topics::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a subscription does nothing unless it is polled"]
pub struct Subscription {
    pub(crate) node: Arc<Node>,
    pub(crate) topics: ShortList<Arc<HeldTopic>>,
    registration: Arc<Registration>,
    reader: Reader,
    first_read: FirstRead,
    closed: Option<CloseReason>,
    /// Set by a gap after which the subscription ends.
    is_last: bool,
    extras: Option<Box<Extras>>,
}

impl Subscription {
    pub(crate) fn begin(
        node: Arc<Node>,
        topics: ShortList<Arc<HeldTopic>>,
        registration: Arc<Registration>,
        reader: Reader,
        first_read: FirstRead,
        extras: Option<Box<Extras>>,
    ) -> Self {
        node.metrics.subscribers.increment(1.0);
        if let Some(hook) = &node.config.on_subscribe {
            hook(&registration.subscriber);
        }
        Self {
            node,
            topics,
            registration,
            reader,
            first_read,
            closed: None,
            is_last: false,
            extras,
        }
    }

    /// Waits for the next delivery; `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Appends the deliveries that are ready and fit into `max_bytes`, at least one, and returns their number.
    ///
    /// `Ready(None)` is the end. `Pending` means that the waker is registered: the reader then costs nothing until the
    /// next publish to one of its topics. A first event larger than `max_bytes` is delivered nevertheless, and gaps do
    /// not count against `max_bytes`.
    pub fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Poll<Option<usize>> {
        let limit = Limit {
            events: MAX_EVENTS_PER_READ,
            bytes: max_bytes,
        };
        self.poll_limited(cx, limit, out)
    }

    fn poll_limited(
        &mut self,
        cx: &mut Context<'_>,
        limit: Limit,
        out: &mut Vec<Delivery>,
    ) -> Poll<Option<usize>> {
        for _ in 0..MAX_READS_PER_POLL {
            if self.closed.is_none()
                && let Some(extras) = &mut self.extras
                && extras.poll_expiry(cx).is_ready()
            {
                self.close(CloseReason::Expired);
            }
            match self.step(Some(cx.waker()), limit, out) {
                Step::Some(count) => return Poll::Ready(Some(count)),
                Step::Skipped => {}
                Step::CaughtUp => return Poll::Pending,
                Step::Closed => return Poll::Ready(None),
                Step::Ask => {
                    let extras = self.extras.as_mut();
                    let answer = extras.map_or(Poll::Pending, |extras| extras.poll_answer(cx));
                    let Poll::Ready(answer) = answer else {
                        // Meanwhile a kick or the end must wake the task.
                        let is_open = self.node.log.wait(&mut self.reader, cx.waker());
                        if is_open && !self.registration.is_kicked() {
                            return Poll::Pending;
                        }
                        if !is_open {
                            self.close(CloseReason::Stopping);
                        }
                        continue;
                    };
                    match self.take_answer(answer, out) {
                        Step::Some(count) => return Poll::Ready(Some(count)),
                        Step::Closed => return Poll::Ready(None),
                        _ => {}
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Appends what is ready like [`poll_frames`](Self::poll_frames), but registers no waker.
    ///
    /// For a server that follows the topics by a [`Watch`](crate::Watch) and has no task per reader. A call notices
    /// that the reader's time is over, but nothing wakes the server at that instant.
    pub fn try_frames(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) -> Taken {
        let limit = Limit {
            events: MAX_EVENTS_PER_READ,
            bytes: max_bytes,
        };
        if self.closed.is_none() && self.expires_at().is_some_and(|at| at <= clock::now()) {
            self.close(CloseReason::Expired);
        }
        for _ in 0..MAX_READS_PER_POLL {
            match self.step(None, limit, out) {
                Step::Some(count) => return Taken::Some(count),
                Step::Skipped => {}
                Step::CaughtUp => return Taken::CaughtUp,
                Step::Ask => return Taken::NeedsPoll,
                Step::Closed => return Taken::Closed,
            }
        }
        Taken::NeedsPoll
    }

    /// Why the subscription ended; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    /// How long the client should wait before it reconnects, if its reader was too slow.
    pub fn retry_delay(&self) -> Option<Duration> {
        (self.closed == Some(CloseReason::TooSlow)).then(|| self.reader.rules.policy.retry_delay())
    }

    /// Starts after the event of this id, if the subscription has not read yet and the application chose no start.
    ///
    /// For a server that knows what the client sent as `Last-Event-ID`: the text is treated as
    /// [`Subscribe::after`](crate::Subscribe::after) treats it, and a start that the application chose wins.
    pub fn resume_after(&mut self, last_event_id: &str) {
        if self.first_read == FirstRead::Unchosen
            && self.closed.is_none()
            && !last_event_id.is_empty()
        {
            let (first_read, position) = FirstRead::after(last_event_id);
            self.first_read = first_read;
            self.reader.position = position;
            self.reader.set_asked(Asked::After(last_event_id.into()));
        }
    }

    /// Starts where the client left off, under the same conditions as [`resume_after`](Self::resume_after).
    ///
    /// Where that is not known, the subscription delivers a gap of reason [`Unknown`](crate::GapReason::Unknown) and
    /// goes on with the next event published.
    pub fn resume(&mut self, resumption: &Resumption) {
        match resumption {
            Resumption::After(last_event_id) => self.resume_after(last_event_id),
            Resumption::Unknown if self.first_read == FirstRead::Unchosen => {
                self.first_read = FirstRead::InDoubt;
            }
            Resumption::Unknown => {}
        }
    }

    /// Whether the first delivery is a gap because it is not known what the client has had.
    pub fn begins_in_doubt(&self) -> bool {
        self.first_read == FirstRead::InDoubt
    }

    /// When the right to read ends; `None` if it has no end or the subscription is closed.
    pub fn expires_at(&self) -> Option<Instant> {
        self.extras.as_ref()?.expires_at()
    }

    /// The subscriber: who reads which topics, and since when.
    pub fn subscriber(&self) -> &Subscriber {
        &self.registration.subscriber
    }

    /// The policy that applies when this reader is too slow.
    pub fn policy(&self) -> Policy {
        self.reader.rules.policy
    }

    /// The reader's position in the log.
    pub fn position(&self) -> Position {
        self.reader.position
    }

    /// An id after which a client goes on exactly where this reader is now, for clients that have had no event yet.
    ///
    /// `None` while that is not known: before the first read if the reader asked for something, or until the broker has
    /// answered. Where possible, the id is that of the newest event of the reader's own topics, which stays valid while
    /// other topics of the log are trimmed.
    ///
    /// ```
    /// # use bellwether_topics::{ServerSentEvent, Topics};
    /// let topics = Topics::new();
    /// let news = topics.topic("news")?;
    /// let first = news.publish(&ServerSentEvent::text("one"))?.cursor();
    /// let elsewhere = topics.topic("other")?.publish(&ServerSentEvent::text("two"))?.cursor();
    /// assert_ne!(elsewhere, first);
    /// let reader = news.subscribe().open()?;
    /// assert_eq!(reader.cursor(), first);
    /// # Ok::<(), bellwether_topics::Error>(())
    /// ```
    pub fn cursor(&self) -> Option<Cursor> {
        let extras = self.extras.as_ref();
        if extras.is_some_and(|extras| extras.has_page() || extras.awaits_answer()) {
            return None;
        }
        match self.first_read {
            FirstRead::Next | FirstRead::Unchosen => self.node.log.cursor_of(&self.reader),
            FirstRead::Unknown | FirstRead::InDoubt | FirstRead::AtStart => None,
        }
    }

    /// Whether this reader gets all frames of one topic and nothing else. A server may then write the bytes that a
    /// [`LogReader`](crate::LogReader) has read for many readers, and call [`set_position`](Self::set_position) after
    /// it.
    ///
    /// False with several topics, a filter, or a policy that leaves events out while the reader keeps up.
    pub fn is_shareable(&self) -> bool {
        let extras = self.extras.as_ref();
        let has_filter = extras.is_some_and(|extras| extras.has_filter());
        self.topics.len() == 1
            && !has_filter
            && self.reader.rules.policy.slow() != Slow::LatestPerKey
    }

    /// Moves the reader to a position up to which it has been written everything of its topic: the frames of a
    /// [`LogReader`](crate::LogReader) of the same topic that started at this reader's position.
    pub fn set_position(&mut self, position: Position, delivered: usize) {
        self.first_read = FirstRead::Next;
        self.reader.position = position;
        self.reader.was_live = true;
        self.node.metrics.delivered.increment(delivered as u64);
    }

    /// Records in the metrics how long ago an event was published that the server has now written from shared bytes.
    pub fn record_lag(&self, published: Instant) {
        let lag = clock::now().saturating_duration_since(published);
        self.node.metrics.lag.record(lag);
    }

    /// Whether the subscription must end now for a reason outside of the log: its time is over, its subject was kicked,
    /// or the topics were closed. For a server that writes shared bytes without polling each reader;
    /// [`try_frames`](Self::try_frames) then closes the subscription. [`LogReader::kicks`](crate::LogReader::kicks)
    /// shows when this is worth a call.
    pub fn is_revoked(&self, now: Instant) -> bool {
        self.registration.is_kicked() || self.expires_at().is_some_and(|at| at <= now)
    }

    fn close(&mut self, reason: CloseReason) -> Step {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.node.log.cancel(&mut self.reader);
            self.node.registrations.leave(&self.registration);
            self.node.metrics.subscribers.decrement(1.0);
            self.node.metrics.closed(reason);
            self.extras = None;
            if let Some(hook) = &self.node.config.on_close {
                hook(&self.registration.subscriber, reason);
            }
        }
        Step::Closed
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let one = Limit {
            events: 1,
            bytes: usize::MAX,
        };
        let mut out = Vec::with_capacity(1);
        self.poll_limited(cx, one, &mut out)
            .map(|count| count.and_then(|_| out.pop()))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.close(CloseReason::Left);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("subscriber", &self.registration.subscriber)
            .field(
                "position",
                &format_args!("{}", self.reader.position.cursor()),
            )
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
