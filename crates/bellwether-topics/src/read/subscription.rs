//! [`Subscription`]: one reader's stream of events and gaps.
//!
//! It holds a position in the shared log and nothing else: no queue, no task, no receiver. Each poll looks after the position,
//! moves it behind what it hands out, and sleeps when nothing is there. Replay, live reading and catching up after a
//! stall are the same look, so there is no seam between them. Only a reader that is older than this node's memory, on a
//! log with a broker, holds one page of at most 64 KiB while it catches up.

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
use crate::one_or_many::OneOrMany;
use crate::presence::{CloseReason, Registration, Subscriber};
use crate::read::resumption::Resumption;

/// The most events that one call hands out, so that the log's lock is never held for long.
const MAX_EVENTS_PER_LOOK: usize = 1024;
/// After so many looks whose every event the filter skipped, other tasks get their turn.
const MAX_LOOKS_PER_POLL: usize = 16;
/// The most events that a filter sees in one look: a call runs it at most 1,024 times.
const MAX_FILTERED_PER_LOOK: usize = 64;

/// What [`Subscription::try_frames`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// So many deliveries were appended, at least one.
    Some(usize),
    /// Nothing is new.
    CaughtUp,
    /// [`Subscription::poll_frames`] has to go on: only it can ask the broker; or the filter has just rejected about a
    /// thousand events, and others get their turn first.
    NeedsPoll,
    /// The subscription has ended; [`Subscription::close_reason`] says why.
    Closed,
}

/// How a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With a look after its position, which nobody chose: the log's head, until
    /// [`resume_after`](Subscription::resume_after) says something else.
    Unchosen,
    /// With a look after its position.
    Next,
    /// With a gap: what was asked for is no cursor.
    Unknown,
    /// With a gap up to its position, which nobody chose: what the client has had is not known.
    InDoubt,
    /// At the beginning of the broker's log.
    AtStart,
}

impl Begin {
    /// After the event of this id, and at which position that is.
    pub(crate) fn after(last_event_id: &str) -> (Self, Position) {
        match last_event_id.parse::<Cursor>() {
            Ok(cursor) => (Self::Next, Position::asked(cursor)),
            Err(_) => (Self::Unknown, Position::chosen(Epoch(0), Offset::ZERO)),
        }
    }
}

/// One reader of one or several topics: a stream of [`Delivery`].
///
/// Ends when it is closed, for a [`CloseReason`] that [`close_reason`](Self::close_reason) tells; dropping it is leaving.
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
    pub(crate) topics: OneOrMany<Arc<HeldTopic>>,
    registration: Arc<Registration>,
    reader: Reader,
    begin: Begin,
    closed: Option<CloseReason>,
    /// Set by a gap after which the subscription ends.
    is_last: bool,
    extras: Option<Box<Extras>>,
}

impl Subscription {
    pub(crate) fn begin(
        node: Arc<Node>,
        topics: OneOrMany<Arc<HeldTopic>>,
        registration: Arc<Registration>,
        reader: Reader,
        begin: Begin,
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
            begin,
            closed: None,
            is_last: false,
            extras,
        }
    }

    /// The next delivery, `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Appends as many deliveries as are ready and fit into `max_bytes`, at least one, and says how many.
    ///
    /// `Ready(None)` is the end. When it is pending, the waker is registered, and the reader costs nothing until the
    /// next publish to one of its topics. A first event larger than `max_bytes` comes nevertheless; gaps count nothing.
    pub fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Poll<Option<usize>> {
        let limit = Limit {
            events: MAX_EVENTS_PER_LOOK,
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
        for _ in 0..MAX_LOOKS_PER_POLL {
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
                        // Meanwhile a kick or the end has to wake it.
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

    /// Appends what is ready like [`poll_frames`](Self::poll_frames), without registering anything.
    ///
    /// For a server that follows the topics by a [`Watch`](crate::Watch) and has no task per reader. The end of the
    /// reader's time is noticed here, but nothing wakes anybody then.
    pub fn try_frames(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) -> Taken {
        let limit = Limit {
            events: MAX_EVENTS_PER_LOOK,
            bytes: max_bytes,
        };
        if self.closed.is_none() && self.expires_at().is_some_and(|at| at <= clock::now()) {
            self.close(CloseReason::Expired);
        }
        for _ in 0..MAX_LOOKS_PER_POLL {
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

    /// Why it ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    /// How long the client should wait before it comes back, if it was too slow.
    pub fn retry_delay(&self) -> Option<Duration> {
        (self.closed == Some(CloseReason::TooSlow)).then(|| self.reader.rules.policy.retry_delay())
    }

    /// Begins after the event of this id, if the subscription has not begun yet and nobody chose where it is to begin.
    ///
    /// For a server that knows what the client sent as `Last-Event-ID`: the text is treated as
    /// [`Subscribe::after`](crate::Subscribe::after) treats it, and a start that the application chose wins.
    pub fn resume_after(&mut self, last_event_id: &str) {
        if self.begin == Begin::Unchosen && self.closed.is_none() && !last_event_id.is_empty() {
            let (begin, position) = Begin::after(last_event_id);
            self.begin = begin;
            self.reader.position = position;
            self.reader.set_asked(Asked::After(last_event_id.into()));
        }
    }

    /// Begins where the client left off, under the same conditions as [`resume_after`](Self::resume_after).
    ///
    /// Where that is not known, the subscription begins as it would otherwise, with the log's newest events, behind a gap of
    /// reason [`Unknown`](crate::GapReason::Unknown): a server that cannot see what the client sent says so.
    pub fn resume(&mut self, resumption: &Resumption) {
        match resumption {
            Resumption::After(last_event_id) => self.resume_after(last_event_id),
            Resumption::Unknown if self.begin == Begin::Unchosen => self.begin = Begin::InDoubt,
            Resumption::Unknown => {}
        }
    }

    /// Whether it begins with a gap because what the client has had is not known.
    pub fn begins_in_doubt(&self) -> bool {
        self.begin == Begin::InDoubt
    }

    /// When the right to read ends, if it does and the subscription is open.
    pub fn expires_at(&self) -> Option<Instant> {
        self.extras.as_ref()?.expires_at()
    }

    /// Who reads what, and since when.
    pub fn subscriber(&self) -> &Subscriber {
        &self.registration.subscriber
    }

    /// What happens when this reader is too slow.
    pub fn policy(&self) -> Policy {
        self.reader.rules.policy
    }

    /// Where the reader is.
    pub fn position(&self) -> Position {
        self.reader.position
    }

    /// An id after which a client goes on exactly where this reader is now, for one that has had no event yet.
    ///
    /// `None` while the reader does not know it: before its first look if it asked for something, or until the broker has
    /// answered. Where it can, the id is that of the newest event of the reader's own topics, which stays good while other
    /// topics of the log are trimmed.
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
        match self.begin {
            Begin::Next | Begin::Unchosen => self.node.log.cursor_of(&self.reader),
            Begin::Unknown | Begin::InDoubt | Begin::AtStart => None,
        }
    }

    /// Whether this reader gets exactly the frames of one topic, all of them, so that a server may write it the bytes
    /// that a [`LogReader`](crate::LogReader) read for many, and then [`set_position`](Self::set_position).
    ///
    /// Not so with several topics, a filter, or a policy that leaves events out while the reader keeps up.
    pub fn is_shareable(&self) -> bool {
        let extras = self.extras.as_ref();
        let has_filter = extras.is_some_and(|extras| extras.has_filter());
        self.topics.len() == 1
            && !has_filter
            && self.reader.rules.policy.slow() != Slow::LatestPerKey
    }

    /// Says that the reader has got everything of its topic up to here by other means: from a
    /// [`LogReader`](crate::LogReader) of the same topic that started at this reader's position.
    pub fn set_position(&mut self, position: Position, delivered: usize) {
        self.begin = Begin::Next;
        self.reader.position = position;
        self.reader.was_live = true;
        self.node.metrics.delivered.increment(delivered as u64);
    }

    /// Notes in the metrics how long ago an event was published that has now been written by other means.
    pub fn record_lag(&self, published: Instant) {
        let lag = clock::now().saturating_duration_since(published);
        self.node.metrics.lag.record(lag);
    }

    /// Whether the subscription has to end now for a reason outside of the log: its time, its subject, the end of the
    /// topics. For a server that writes shared bytes without polling each reader; [`try_frames`](Self::try_frames)
    /// then closes it. [`LogReader::kicks`](crate::LogReader::kicks) says when it is worth the question.
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
