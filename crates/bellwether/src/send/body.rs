//! The body of one event stream: a producer, the rules of the stream, and its account, as HTTP polls them.
//!
//! It is the innermost body. Layers may wrap it, and the driver that sends the response polls it through them: hyper,
//! another server, or a driver of this crate. A shard says so by a [`ShardAttachment`]; it then keeps the body's
//! time, follows the topics of its subscription and hands it what was read for many. Without one the body keeps a
//! timer of its own and leaves its waker with the topics.

mod driver;
mod primed;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use bellwether_topics::Resumption;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use self::driver::Driver;
use self::primed::Primed;
use super::blocking;
use super::cleanup;
use super::producer::{EventProducer, FillReport, FillStatus};
use super::stream_state::{StreamState, SubscriptionReads};
use crate::lifecycle::{CloseReason, DisconnectSignal, StreamGuard};
use crate::stream::{
    ErrorChain, Machine, ProducerOutcome, StreamEnd, StreamOptions, first_retry, panic_error,
    write_opening, write_retry,
};

/// A frame is handed over when it holds this many bytes or the producer waits.
const FRAME_BYTES: usize = 16 * 1024;

/// The body of one event stream.
pub(crate) struct EventBody {
    producer: Option<EventProducer>,
    machine: Machine,
    guard: StreamGuard,
    /// `None` once it is known that the signal can have no watcher.
    signal: Option<Arc<DisconnectSignal>>,
    /// The state that is shared with the sender, if this crate's server sends the stream.
    stream_state: Option<Arc<StreamState>>,
    driver: Driver,
    /// The reader has sent no id, and no event with an id was sent to it yet.
    awaits_id: bool,
    /// Encoded before the body was first polled: the initial `retry`, and the first items.
    primed: Primed,
}

impl EventBody {
    pub(crate) fn new(
        producer: EventProducer,
        mut options: Arc<StreamOptions>,
        guard: StreamGuard,
        signal: Arc<DisconnectSignal>,
        stream_state: Option<Arc<StreamState>>,
        has_id: bool,
    ) -> Self {
        let mut primed = Vec::new();
        write_retry(&mut primed, options.retry.unwrap_or_else(first_retry));
        if let EventProducer::Subscription(subscription) = &producer
            && let Some(stream_state) = stream_state.as_ref().filter(|_| options.engine)
        {
            stream_state.set_reads(SubscriptionReads {
                topics: subscription.topics().collect(),
                is_shareable: subscription.is_shareable(),
            });
        }
        if options.retry.is_some() {
            // It is sent once; without it many streams share the same options.
            Arc::make_mut(&mut options).retry = None;
        }
        if let Some(stream_state) = &stream_state {
            stream_state.begin_streaming();
        }
        Self {
            producer: Some(producer),
            machine: Machine::new(options, Instant::now(), fastrand::f64(), fastrand::f32()),
            guard,
            awaits_id: !has_id,
            signal: Some(signal),
            stream_state,
            driver: Driver::Unknown,
            primed: Primed::of(primed),
        }
    }

    /// Logs the error with its causes, once.
    pub(crate) fn log_failure(&self, error: &BoxError) {
        tracing::error!(
            target: "bellwether::stream",
            path = self.guard.path(),
            error = %ErrorChain(&**error),
            "stream failed"
        );
    }

    // --- What is sent when ---

    /// Appends everything that is due; leaves `out` empty when nothing is.
    fn poll_open(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        // The buffer is taken too, since an idle stream does not need it.
        out.append(&mut self.primed.take());
        let now = Instant::now();
        if let Some(reason) = self.machine.stop(now, self.guard.lifecycle().plan(), out) {
            self.guard.close_for(reason);
            self.stop_producer();
            return;
        }
        if out.len() < FRAME_BYTES
            && let Some(error) = self.fill(cx, now, out)
        {
            self.fail(&error, now, out);
            return;
        }
        if self.awaits_id {
            self.write_open_event(now, out);
        }
        if out.is_empty() {
            self.machine.tick(now, out);
        }
    }

    /// Appends the event with the position of the reader, unless the stream has ended or the subscription does not
    /// know yet.
    fn write_open_event(&mut self, now: Instant, out: &mut Vec<u8>) {
        let options = self.machine.options();
        let (Some(EventProducer::Subscription(subscription)), Some(name)) =
            (&self.producer, &options.open_name)
        else {
            self.awaits_id = false;
            return;
        };
        if let Some(cursor) = subscription.cursor() {
            let keep_alive = options.keep_alive.as_ref().map(|k| k.interval);
            write_opening(out, name, cursor.id(), keep_alive);
            self.awaits_id = false;
            self.machine.note_sent(now);
        }
    }

    /// Appends what the producer has ready. An error that ended the producer is returned.
    fn fill(&mut self, cx: &mut Context<'_>, now: Instant, out: &mut Vec<u8>) -> Option<BoxError> {
        let producer = self.producer.as_mut()?;
        let is_watched = matches!(self.driver, Driver::Shard { .. });
        let gap_name = self.machine.options().gap_name.as_ref();
        let start = out.len();
        // A generator or a filter is foreign code: its panic ends its own stream and no other.
        let polled = catch_unwind(AssertUnwindSafe(|| match producer {
            EventProducer::Generator(generator, resumption) => {
                Resumption::scope(resumption, || {
                    let _watch = blocking::watch(self.guard.path());
                    generator.as_mut().poll_fill(cx, out, FRAME_BYTES)
                })
            }
            EventProducer::Subscription(subscription) => EventProducer::poll_subscription(
                subscription,
                cx,
                is_watched,
                gap_name,
                out,
                FRAME_BYTES,
            ),
        }));
        let report = polled.unwrap_or_else(|panic| FillReport {
            status: FillStatus::Failed(panic_error(&*panic)),
            events: 0,
            stop_checked: false,
        });
        if report.stop_checked {
            self.machine.note_stop_checked();
        }
        if out.len() > start {
            self.machine.note_sent(now);
            self.awaits_id = false;
        }
        self.guard.count(report.events, out.len() - start);
        let outcome = match report.status {
            FillStatus::Waiting | FillStatus::Full => return None,
            FillStatus::Ended => ProducerOutcome::Ended,
            FillStatus::Closed(end) => ProducerOutcome::Closed(end),
            FillStatus::Failed(error) => {
                self.drop_producer();
                return Some(error);
            }
        };
        let plan = self.guard.lifecycle().plan();
        let reason = self.machine.producer_is_done(outcome, now, plan, out);
        self.guard.close_for(reason);
        self.drop_producer();
        None
    }

    /// The producer has failed: its error is sent as an event, then the stream is cut.
    fn fail(&mut self, error: &BoxError, now: Instant, out: &mut Vec<u8>) {
        self.log_failure(error);
        let plan = self.guard.lifecycle().plan();
        let outcome = ProducerOutcome::Failed(error);
        let reason = self.machine.producer_is_done(outcome, now, plan, out);
        self.guard.close_for(reason);
        if let Some(stream_state) = &self.stream_state {
            stream_state.mark_flush();
        }
    }

    /// Reports to the machine when the bytes so far have been written.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) {
        if self.machine.awaits_flush()
            && self.primed.is_empty()
            && let Some(stream_state) = &self.stream_state
            && stream_state.poll_flushed(cx)
        {
            self.machine.flushed(Instant::now());
        }
    }

    // --- The end ---

    /// The producer has ended: it needs no time for its clean-up.
    fn drop_producer(&mut self) {
        let producer = self.producer.take();
        // A hook of the application may run here; its panic must not become another stream's.
        if catch_unwind(AssertUnwindSafe(|| drop(producer))).is_err() {
            tracing::error!(target: "bellwether::stream", "a hook panicked at the end of a stream");
        }
    }

    /// Stops the producer: no further item of it is sent.
    fn stop_producer(&mut self) {
        if let Some(signal) = &self.signal {
            signal.signal_disconnect();
        }
        match self.producer.take() {
            Some(EventProducer::Generator(producer, _)) => {
                let grace = self.machine.options().leave_grace;
                if let Some(signal) = &self.signal {
                    cleanup::spawn_cleanup(producer, signal, grace, self.guard.lifecycle());
                }
            }
            Some(producer) => {
                self.producer = Some(producer);
                self.drop_producer();
            }
            None => {}
        }
    }

    /// The reason for an end without an announcement: the body was dropped.
    fn reason_of_drop(&self) -> CloseReason {
        let stream_state = self.stream_state.as_ref();
        if std::thread::panicking() || stream_state.is_some_and(|c| c.has_failed()) {
            CloseReason::Error
        } else if stream_state.is_some_and(|c| c.has_timed_out()) {
            CloseReason::TooSlow
        } else if self.guard.lifecycle().is_stopping()
            && !stream_state.is_some_and(|c| c.is_disconnected())
        {
            CloseReason::Stopping
        } else {
            CloseReason::ClientLeft
        }
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        this.detect_driver(cx);
        if this.primed.is_empty() {
            if this.took_whole_feed() {
                return Poll::Pending;
            }
            if let Some(slice) = this.take_from_feed() {
                return Poll::Ready(Some(Ok(Frame::data(slice.data))));
            }
        }
        loop {
            this.poll_flushed(cx);
            let bytes = with_scratch(|out| {
                if this.machine.is_open() {
                    this.poll_open(cx, out);
                } else {
                    // What was given before the end goes out first.
                    out.append(&mut this.primed.take());
                    if out.is_empty() {
                        this.machine.tick(Instant::now(), out);
                    }
                }
                Bytes::copy_from_slice(out)
            });
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match this.machine.end() {
                Some(StreamEnd::Whole) => return Poll::Ready(None),
                Some(StreamEnd::Cut) => {
                    this.machine.abandon();
                    return Poll::Ready(Some(Err("the event stream has failed".into())));
                }
                None if this.poll_due(cx).is_pending() => return Poll::Pending,
                None => {}
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.machine.end() == Some(StreamEnd::Whole) && self.primed.is_empty()
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        let reason = self.reason_of_drop();
        self.guard.close_for(reason);
        self.stop_producer();
        if let Some(stream_state) = &self.stream_state {
            stream_state.end_streaming();
        }
    }
}

/// Lends a buffer of this thread. Frames are copied out of it at their exact size, so an idle
/// stream holds no buffer at all.
fn with_scratch<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    /// A frame with one huge event must not pin its size on the thread.
    const KEPT_BYTES: usize = 4 * FRAME_BYTES;
    let mut out = SCRATCH.take();
    out.clear();
    let result = f(&mut out);
    if out.capacity() <= KEPT_BYTES {
        SCRATCH.set(out);
    }
    result
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
