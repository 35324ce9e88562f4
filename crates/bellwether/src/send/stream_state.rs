//! What an event body and its sender share: the state of one response stream.
//!
//! The server makes one [`StreamState`] for each connection (for each stream on HTTP/2) and puts it into the
//! extensions of its requests. The sending side writes what only the socket knows: flushed, disconnected, too slow.
//! The event body writes what only it knows: which topics it reads, and when it is due next. Under a foreign server
//! no such state exists, and bodies keep their own timers.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use bellwether_topics::Topic;
use tokio::time::Instant;

use super::feed::Feed;

/// A client may send this much after the request whose event stream it reads, with any driver.
pub(crate) const MAX_AHEAD_BYTES: usize = 8 * 1024;

const DISCONNECTED: u8 = 1;
const TIMED_OUT: u8 = 2;
const FAILED: u8 = 4;

/// The state of one response stream, shared by its sender and its event body. Ten thousand wait at once, so what most
/// do not have is boxed.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// The event bodies on it: usually one.
    streaming: AtomicU16,
    flags: AtomicU8,
    flushes: AtomicU32,
    /// Held for a store or a take only.
    inner: Mutex<StreamStateInner>,
}

#[derive(Debug, Default)]
struct StreamStateInner {
    /// Present once a body waits for a flush.
    flush: Option<Box<FlushWait>>,
    /// What a shard needs to know of a subscription, until it has taken it.
    reads: Option<Box<SubscriptionReads>>,
    /// The shard that drives the body, until the body has taken it.
    attachment: Option<Box<ShardAttachment>>,
    deadline: Option<Instant>,
}

/// The one body that waits for a flush.
#[derive(Debug, Default)]
struct FlushWait {
    waker: Option<Waker>,
    /// How many flushes there were when it began to wait.
    mark: u32,
}

/// What a subscription reads.
#[derive(Debug)]
pub(crate) struct SubscriptionReads {
    pub(crate) topics: Vec<Topic>,
    /// It gets all events of one topic, so it can take them out of a [`Feed`].
    pub(crate) is_shareable: bool,
}

/// The link from a body to the shard that polls it. The shard keeps the body's time and follows its topics.
#[derive(Debug)]
pub(crate) struct ShardAttachment {
    /// For a subscription that is shareable.
    pub(crate) feed: Option<Arc<Feed>>,
    pub(crate) poll_origin: Arc<PollOrigin>,
}

/// The waker with which a shard polls a body at the moment.
///
/// A layer may poll the body that it wraps from a task of its own, or with a waker of its own. The shard does not
/// serve such a body, which has to leave its waker with its topics instead. So a body compares the waker that it is
/// polled with to this one.
#[derive(Debug)]
pub(crate) struct PollOrigin {
    waker: AtomicUsize,
    batches: AtomicU32,
}

/// The polls of one body that a shard makes one after another, until the body waits or the batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PollBatch(u32);

impl PollOrigin {
    /// No waker has its data there.
    const NO_WAKER: usize = usize::MAX;

    /// A batch of polls begins.
    pub(crate) fn begin_batch(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// The present batch.
    pub(crate) fn batch(&self) -> PollBatch {
        PollBatch(self.batches.load(Ordering::Relaxed))
    }

    /// Polls with this waker.
    pub(crate) fn poll<T>(&self, waker: &Waker, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.waker.store(waker.data().addr(), Ordering::Relaxed);
        let polled = poll(&mut Context::from_waker(waker));
        self.waker.store(Self::NO_WAKER, Ordering::Relaxed);
        polled
    }

    /// Whether the shard polls. Its waker lives through the poll, so no other has its address.
    pub(crate) fn is_by(&self, cx: &Context<'_>) -> bool {
        self.waker.load(Ordering::Relaxed) == cx.waker().data().addr()
    }
}

impl Default for PollOrigin {
    fn default() -> Self {
        Self {
            waker: AtomicUsize::new(Self::NO_WAKER),
            batches: AtomicU32::new(0),
        }
    }
}

impl StreamState {
    fn inner(&self) -> MutexGuard<'_, StreamStateInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- Written by the body ---

    /// Whether an event body is active on this connection.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Acquire) > 0
    }

    /// An event body begins on this connection.
    pub(crate) fn begin_streaming(&self) {
        self.streaming.fetch_add(1, Ordering::AcqRel);
    }

    /// An event body on this connection has ended.
    pub(crate) fn end_streaming(&self) {
        self.streaming.fetch_sub(1, Ordering::AcqRel);
    }

    /// Sets what the body's subscription reads, so that a shard can follow it.
    pub(crate) fn set_reads(&self, reads: SubscriptionReads) {
        self.inner().reads = Some(Box::new(reads));
    }

    /// Whether the body is a subscription's that a shard can take.
    pub(crate) fn has_reads(&self) -> bool {
        self.inner().reads.is_some()
    }

    /// Takes what a subscription reads whose body has no driver yet. The second call returns nothing.
    pub(crate) fn take_reads(&self) -> Option<Box<SubscriptionReads>> {
        self.inner().reads.take()
    }

    /// The body wants to be polled at this time, if nothing happens before.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.inner().deadline = deadline;
    }

    // --- Written by the sender ---

    /// A shard keeps the body's time and follows its topics from now on.
    pub(crate) fn attach(&self, attachment: ShardAttachment) {
        self.inner().attachment = Some(Box::new(attachment));
    }

    /// Takes the attachment of the shard that drives the body, if one does. The second call returns nothing.
    pub(crate) fn take_attachment(&self) -> Option<Box<ShardAttachment>> {
        self.inner().attachment.take()
    }

    /// When the body wants to be polled.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.inner().deadline
    }

    /// Everything that was handed to the socket so far has been written to it.
    pub(crate) fn note_flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        if self.is_streaming() {
            let waiter = self
                .inner()
                .flush
                .as_mut()
                .and_then(|wait| wait.waker.take());
            if let Some(waker) = waiter {
                waker.wake();
            }
        }
    }

    /// The body has returned bytes, and waits until they are written.
    pub(crate) fn mark_flush(&self) {
        let mark = self.flushes.load(Ordering::Acquire);
        self.inner().flush.get_or_insert_default().mark = mark;
    }

    /// Whether a flush has happened since the mark; if not, the task is woken by it.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.inner();
        let wait = inner.flush.get_or_insert_default();
        wait.waker = Some(cx.waker().clone());
        self.flushes.load(Ordering::Acquire) != wait.mark
    }

    /// The socket took nothing for longer than it may: the reader is too slow, or vanished.
    pub(crate) fn note_timed_out(&self) {
        self.flags.fetch_or(TIMED_OUT, Ordering::AcqRel);
    }

    /// Whether the connection ended because its reader was too slow.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.flags.load(Ordering::Acquire) & TIMED_OUT != 0
    }

    /// The response cannot go on for a reason of our own: a layer has failed, or the socket cannot be watched.
    pub(crate) fn note_failed(&self) {
        self.flags.fetch_or(FAILED, Ordering::AcqRel);
    }

    /// Whether the response could not go on for a reason of our own.
    pub(crate) fn has_failed(&self) -> bool {
        self.flags.load(Ordering::Acquire) & FAILED != 0
    }

    /// The peer has closed or reset the connection.
    pub(crate) fn note_disconnected(&self) {
        self.flags.fetch_or(DISCONNECTED, Ordering::AcqRel);
    }

    /// Whether the peer has closed or reset the connection.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.flags.load(Ordering::Acquire) & DISCONNECTED != 0
    }
}
