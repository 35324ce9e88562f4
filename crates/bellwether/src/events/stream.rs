//! An event stream: what is sent when, and how it ends.
//!
//! One stream drives one source. It sends what is ready in one frame, a keep-alive when nothing was
//! sent for a while, an orderly goodbye when the server stops, and an event about an error before
//! it cuts the stream. It closes the stream's account for exactly one reason.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bellwether_topics::Subscription;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::alarm::Alarm;
use super::failure::{log_failure, panic_error};
use super::last_words::LastWords;
use super::leaving;
use super::options::{OnStop, StreamOptions};
use super::retry::{first_retry, write_retry};
use super::source::{Filled, Source};
use super::subscription::{SubscriptionEnd, resumed_source};
use super::takeover::Offer;
use crate::lifecycle::{CloseReason, Presence, PresenceGuard, StreamGuard};

/// A frame is handed over when it holds this many bytes or the source waits.
const FRAME_BYTES: usize = 16 * 1024;

/// The id and name of the event that ends a finished stream; a reconnect that brings it gets 204.
pub(super) const FINISHED: &str = "bellwether.finished";

/// The last event of a stream that says it is finished. The id comes with data: Firefox and
/// WebKit lose the id of a block without data.
const FINISHED_EVENT: &[u8] = b"event: bellwether.finished\nid: bellwether.finished\ndata: \n\n";

/// One event stream: its source, and what belongs to it.
pub(super) struct EventStream {
    source: Option<Pin<Box<dyn Source>>>,
    options: Arc<StreamOptions>,
    guard: StreamGuard,
    presence: Arc<Presence>,
    /// Encoded before the body was first polled: the initial `retry`, and the first items.
    primed: Vec<u8>,
    phase: Phase,
    /// The generator asks whether a stop has begun, so it is trusted to end by itself.
    asks: bool,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// This stream's place in the drain window, in 0..1.
    share: f64,
    next_beat: Option<Instant>,
    alarm: Alarm,
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The error is told, the cut is to come.
    Failed(LastWords),
    Ended,
}

impl EventStream {
    pub(super) fn new(
        mut source: Pin<Box<dyn Source>>,
        mut options: StreamOptions,
        guard: StreamGuard,
        presence: Arc<Presence>,
    ) -> Self {
        let mut primed = Vec::new();
        if source.as_mut().subscription().is_some() {
            source.as_mut().name_gaps(options.gap_name.as_ref());
            options.retry.get_or_insert_with(first_retry);
        }
        // Said once; without it many streams have the same options.
        if let Some(delay) = options.retry.take() {
            write_retry(&mut primed, delay);
        }
        // A random first phase keeps streams that were opened together from beating together.
        let next_beat = options.keep_alive.as_ref().map(|keep_alive| {
            Instant::now() + keep_alive.interval.mul_f64(0.5 + 0.5 * fastrand::f64())
        });
        let stopped = Box::pin(guard.lifecycle().stopping());
        Self {
            source: Some(source),
            options: Arc::new(options),
            guard,
            presence,
            primed,
            phase: Phase::Open,
            asks: false,
            stopped,
            share: fastrand::f64(),
            next_beat,
            alarm: Alarm::default(),
        }
    }

    /// The subscription, if this stream is one that the delivery engine can take.
    pub(super) fn take_subscription(&mut self, is_bare: bool) -> Option<Subscription> {
        if !is_bare || !self.options.engine || self.phase != Phase::Open {
            return None;
        }
        self.source.as_mut()?.as_mut().subscription()?.take()
    }

    /// What the delivery engine needs to go on with the stream, and the bytes that are to be sent before.
    pub(super) fn into_offer(self, subscription: Subscription) -> (Offer, Vec<u8>) {
        let offer = Offer {
            subscription,
            options: self.options,
            guard: self.guard,
            presence: PresenceGuard::of(self.presence),
            share: self.share,
            next_beat: self.next_beat,
        };
        (offer, self.primed)
    }

    /// A stream that the engine did not get after all; its first bytes are out.
    pub(super) fn resumed(offer: Offer) -> Self {
        Self {
            source: Some(resumed_source(
                offer.subscription,
                offer.options.gap_name.clone(),
            )),
            stopped: Box::pin(offer.guard.lifecycle().stopping()),
            options: offer.options,
            guard: offer.guard,
            presence: offer.presence.into_presence(),
            primed: Vec::new(),
            phase: Phase::Open,
            asks: false,
            share: offer.share,
            next_beat: offer.next_beat,
            alarm: Alarm::default(),
        }
    }

    /// Polls the source until it has given something, at most for the head's wait.
    ///
    /// # Errors
    ///
    /// The source failed before its first event: the response can still have a real status.
    pub(super) async fn prime(&mut self) -> Result<(), BoxError> {
        // A subscription has no early error to tell.
        let source = self.source.as_mut();
        if source.is_some_and(|source| source.as_mut().subscription().is_some()) {
            return Ok(());
        }
        let before = self.primed.len();
        let wait = self.options.head_wait;
        let mut failed = None;
        let first = poll_fn(|cx| {
            let mut out = std::mem::take(&mut self.primed);
            failed = self.fill(cx, &mut out);
            self.primed = out;
            if failed.is_some() || self.primed.len() > before || self.phase != Phase::Open {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // An elapsed wait is no failure: the head goes out without a first item.
        let _ = tokio::time::timeout(wait, first).await;
        match failed {
            None => Ok(()),
            Some(error) if self.primed.len() == before => {
                self.guard.close_for(CloseReason::Error);
                self.phase = Phase::Ended;
                Err(error)
            }
            Some(error) => {
                let mut out = std::mem::take(&mut self.primed);
                self.fail(&error, &mut out);
                self.primed = out;
                Ok(())
            }
        }
    }

    /// The stream's account.
    pub(super) fn guard(&self) -> &StreamGuard {
        &self.guard
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Ended && self.primed.is_empty()
    }

    // --- What is sent when ---

    /// The next frame, as a body is asked for it.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match &mut self.phase {
                Phase::Ended if self.primed.is_empty() => return Poll::Ready(None),
                Phase::Failed(words) if self.primed.is_empty() => {
                    ready!(words.poll(cx, &self.guard, &mut self.alarm));
                    self.phase = Phase::Ended;
                    return Poll::Ready(Some(Err("the event stream has failed".into())));
                }
                Phase::Open => {}
                // What was primed before the end goes out first.
                _ => {
                    let primed = Bytes::from(std::mem::take(&mut self.primed));
                    return Poll::Ready(Some(Ok(Frame::data(primed))));
                }
            }
            let bytes = with_scratch(|out| {
                self.poll_open(cx, out);
                Bytes::copy_from_slice(out)
            });
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.phase == Phase::Open {
                return Poll::Pending;
            }
        }
    }

    /// Appends everything that is due; leaves `out` empty when nothing is.
    fn poll_open(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        out.append(&mut self.primed);
        if self
            .stop_moment()
            .is_some_and(|moment| moment <= Instant::now())
        {
            self.say_goodbye(out);
            return;
        }
        if out.len() < FRAME_BYTES
            && let Some(error) = self.fill(cx, out)
        {
            self.fail(&error, out);
            return;
        }
        if !out.is_empty() {
            self.next_beat = self
                .options
                .keep_alive
                .as_ref()
                .map(|k| Instant::now() + k.interval);
        } else if self.phase == Phase::Open {
            self.poll_idle(cx, out);
        }
    }

    /// Nothing to send: waits for the stop and for the next beat, whichever is first.
    fn poll_idle(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        loop {
            let stop = match self.stop_moment() {
                Some(moment) => Some(moment),
                None if self.stopped.as_mut().poll(cx).is_ready() => continue,
                None => None,
            };
            let Some(due) = [stop, self.next_beat].into_iter().flatten().min() else {
                return;
            };
            if self.alarm.poll_by(cx, due).is_pending() {
                return;
            }
            let now = Instant::now();
            if stop.is_some_and(|moment| moment <= now) {
                self.say_goodbye(out);
                return;
            }
            if let Some(keep_alive) = &self.options.keep_alive
                && self.next_beat.is_some_and(|beat| beat <= now)
            {
                out.extend_from_slice(&keep_alive.beat);
                self.next_beat = Some(now + keep_alive.interval);
                return;
            }
        }
    }

    /// When the stop ends this stream, once a stop has begun.
    fn stop_moment(&self) -> Option<Instant> {
        self.guard.lifecycle().plan().map(|plan| {
            if self.asks || self.options.on_stop == OnStop::LetFinish {
                plan.last_moment()
            } else {
                plan.moment(self.share)
            }
        })
    }

    /// Appends what the source has ready. An error that ended the source is returned.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Option<BoxError> {
        let source = self.source.as_mut()?;
        let start = out.len();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            source.as_mut().poll_fill(cx, out, FRAME_BYTES)
        }));
        let filling = match polled {
            Ok(filling) => filling,
            Err(panic) => {
                self.source = None;
                return Some(panic_error(&*panic));
            }
        };
        self.asks |= filling.asked;
        self.guard.count(filling.events, out.len() - start);
        match filling.filled {
            Filled::Waiting | Filled::Full => None,
            Filled::Ended => {
                self.source = None;
                self.end(out);
                None
            }
            Filled::Closed(end) => {
                self.source = None;
                self.close(end, out);
                None
            }
            Filled::Failed(error) => {
                self.source = None;
                Some(error)
            }
        }
    }

    // --- How it ends ---

    /// The subscription was closed.
    fn close(&mut self, end: SubscriptionEnd, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        end.write(self.guard.lifecycle().plan(), out);
        self.guard.close_for(end.reason);
    }

    /// The source has ended: by itself, or because it noticed the stop.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        match self.guard.lifecycle().plan() {
            Some(plan) if self.asks => {
                write_retry(out, plan.retry());
                self.guard.close_for(CloseReason::Stopping);
            }
            _ => {
                if self.options.finish {
                    out.extend_from_slice(FINISHED_EVENT);
                }
                self.guard.close_for(CloseReason::Finished);
            }
        }
    }

    /// The source has failed: tell it in band, then cut.
    fn fail(&mut self, error: &BoxError, out: &mut Vec<u8>) {
        log_failure(&self.guard, error);
        self.options.write_error(error, out);
        self.guard.close_for(CloseReason::Error);
        self.phase = Phase::Failed(LastWords::of(&self.guard));
    }

    /// Ends the stream in good order: its own time to come back, then the end.
    fn say_goodbye(&mut self, out: &mut Vec<u8>) {
        if let Some(plan) = self.guard.lifecycle().plan() {
            write_retry(out, plan.retry());
        }
        self.guard.close_for(CloseReason::Stopping);
        self.phase = Phase::Ended;
        self.retire();
    }

    /// Lets go of the source: nothing that it gives is sent any more.
    pub(super) fn retire(&mut self) {
        self.presence.leave();
        if let Some(source) = self.source.take() {
            let grace = self.options.leave_grace;
            leaving::let_go(source, &self.presence, grace, self.guard.lifecycle());
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
