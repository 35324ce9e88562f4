//! The body of an event stream: what is sent when, and how it ends.
//!
//! One body drives one source. It sends what is ready in one frame, a keep-alive when nothing was
//! sent for a while, an orderly goodbye when the server stops, and an event about an error before
//! it cuts the stream. It closes the stream's account for exactly one reason. When the client
//! leaves, hyper drops the body: that is where the generator gets its moment, or is dropped too.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bellwether_topics::Subscription;
use bellwether_wire::ServerSentEvent;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::failure::{Chain, panic_error};
use super::options::{OnStop, StreamOptions};
use super::source::{Filled, Source};
use super::subscription::{SubscriptionEnd, first_retry, resumed_source};
use super::takeover::{self, Offer};
use crate::lifecycle::{
    CloseReason, DrainPlan, Presence, PresenceGuard, StreamGuard, StreamPath, Streams,
};

/// A frame is handed over when it holds this many bytes or the source waits.
const FRAME_BYTES: usize = 16 * 1024;

/// The id and name of the event that ends a finished stream; a reconnect that brings it gets 204.
pub(super) const FINISHED: &str = "bellwether.finished";

/// The last event of a stream that says it is finished. The id comes with data: Firefox and
/// WebKit lose the id of a block without data.
const FINISHED_EVENT: &[u8] = b"event: bellwether.finished\nid: bellwether.finished\ndata: \n\n";

/// How long a failed stream waits for its last words to leave.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the cut waits after the last words: a browser that finds both at once drops what it
/// has not yet handed to the page.
pub(crate) const READING: Duration = Duration::from_millis(100);

/// The body of one event stream.
pub(crate) struct EventBody {
    /// None once the delivery engine has the stream.
    stream: Option<Box<EventStream>>,
    state: BodyState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// Only there to be polled once; see [`takeover`].
    Measuring,
    Unpolled,
    Polled,
}

/// What a body does: everything but being one.
struct EventStream {
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
    timer: Option<Pin<Box<Sleep>>>,
}

/// Where a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The error is told, but its bytes may not be out yet.
    Failed {
        flushes: u64,
        at: Instant,
    },
    /// What is left is to cut, once the client has had time to read.
    Told {
        cut_at: Instant,
    },
    Ended,
}

impl EventBody {
    pub(crate) fn new(
        source: Pin<Box<dyn Source>>,
        options: StreamOptions,
        guard: StreamGuard,
        presence: Arc<Presence>,
    ) -> Self {
        Self {
            stream: Some(Box::new(EventStream::new(source, options, guard, presence))),
            state: BodyState::Unpolled,
        }
    }

    /// A body without a stream that says how far it is from the call that polls it.
    pub(super) fn measuring() -> Self {
        Self {
            stream: None,
            state: BodyState::Measuring,
        }
    }

    /// Polls the source until it has given something, at most for the head's wait.
    ///
    /// # Errors
    ///
    /// The source failed before its first event: the response can still have a real status.
    pub(crate) async fn prime(&mut self) -> Result<(), BoxError> {
        match &mut self.stream {
            Some(stream) => stream.prime().await,
            None => Ok(()),
        }
    }

    /// Logs the error with its causes, once.
    pub(super) fn log_failure(&self, error: &BoxError) {
        if let Some(stream) = &self.stream {
            stream.log_failure(error);
        }
    }

    /// A stream that the engine did not get after all; its first bytes are out.
    pub(crate) fn resumed(offer: Offer) -> Self {
        Streams::note_path(StreamPath::Body);
        Self {
            stream: Some(Box::new(EventStream::resumed(offer))),
            state: BodyState::Polled,
        }
    }

    /// Gives the stream to the delivery engine if the server's call allows it and nothing is in between. What is left
    /// to send is the stream's first bytes.
    #[inline(never)]
    fn give_up(&mut self, distance: Option<usize>) -> Vec<u8> {
        if self.state == BodyState::Measuring {
            takeover::note_distance(distance);
            return Vec::new();
        }
        self.state = BodyState::Polled;
        let Some(mut stream) = self.stream.take() else {
            return Vec::new();
        };
        let is_bare = distance.is_some_and(takeover::is_bare);
        match stream.take_subscription(is_bare) {
            Some(subscription) => {
                let primed = std::mem::take(&mut stream.primed);
                takeover::offer(stream.into_offer(subscription));
                primed
            }
            None => {
                Streams::note_path(StreamPath::Body);
                self.stream = Some(stream);
                Vec::new()
            }
        }
    }
}

impl EventStream {
    fn new(
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
            timer: None,
        }
    }

    /// The subscription, if this stream is one that the delivery engine can take.
    fn take_subscription(&mut self, is_bare: bool) -> Option<Subscription> {
        if !is_bare || !self.options.engine || self.phase != Phase::Open {
            return None;
        }
        self.source.as_mut()?.as_mut().subscription()?.take()
    }

    fn into_offer(self, subscription: Subscription) -> Offer {
        Offer {
            subscription,
            options: self.options,
            guard: self.guard,
            presence: PresenceGuard::of(self.presence),
            share: self.share,
            next_beat: self.next_beat,
        }
    }

    fn resumed(offer: Offer) -> Self {
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
            timer: None,
        }
    }

    async fn prime(&mut self) -> Result<(), BoxError> {
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
        self.log_failure(error);
        self.options.write_error(error, out);
        self.guard.close_for(CloseReason::Error);
        let flushes = self.guard.connection().map_or(0, |c| c.flushes());
        self.phase = Phase::Failed {
            flushes,
            at: Instant::now(),
        };
    }

    /// Logs the error with its causes, once.
    fn log_failure(&self, error: &BoxError) {
        log_failure(&self.guard, error);
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

    /// Ends the stream in good order: its own time to come back, then the end.
    fn say_goodbye(&mut self, out: &mut Vec<u8>) {
        if let Some(plan) = self.guard.lifecycle().plan() {
            write_retry(out, plan.retry());
        }
        self.guard.close_for(CloseReason::Stopping);
        self.phase = Phase::Ended;
        self.retire();
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
            let timer = match &mut self.timer {
                Some(timer) => {
                    // A timer that fires early is set anew below; so traffic, which moves the
                    // next beat, costs nothing here.
                    if timer.deadline() > due || timer.is_elapsed() {
                        timer.as_mut().reset(due);
                    }
                    timer
                }
                none => none.insert(Box::pin(tokio::time::sleep_until(due))),
            };
            if timer.as_mut().poll(cx).is_pending() {
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

    /// Waits until the last words of a failed stream are out: hyper throws away what it has not
    /// yet written when a body fails.
    fn poll_last_words(&mut self, cx: &mut Context<'_>, flushes: u64, at: Instant) -> Poll<()> {
        if self
            .guard
            .connection()
            .is_some_and(|c| c.has_flushed_since(flushes, cx))
        {
            return Poll::Ready(());
        }
        self.poll_timer(cx, at + LAST_WORDS)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// Lets go of the source: a generator whose `Request` is held gets a moment for its clean-up,
    /// in which `is_disconnected()` is true; any other is dropped where it stands.
    fn retire(&mut self) {
        self.presence.leave();
        let Some(mut source) = self.source.take() else {
            return;
        };
        let grace = self.options.leave_grace;
        if grace.is_zero() || !self.presence.has_askers() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let lifecycle = self.guard.lifecycle();
        let leaving = Streams::leave(lifecycle);
        let farewell = async move {
            let _leaving = leaving;
            let end = poll_fn(|cx| source.as_mut().poll_discard(cx));
            if tokio::time::timeout(grace, end).await.is_err() {
                tracing::debug!(target: "bellwether::stream", "generator dropped after its moment");
            }
        };
        lifecycle
            .tracker()
            .spawn_on(lifecycle.scope(farewell), &runtime);
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
        if this.state != BodyState::Polled {
            let primed = this.give_up(takeover::distance());
            if !primed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(primed.into()))));
            }
        }
        match &mut this.stream {
            Some(stream) => stream.poll_frame(cx),
            // The engine's; this body is dropped before long.
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|s| s.phase == Phase::Ended && s.primed.is_empty())
    }
}

impl EventStream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self;
        loop {
            match this.phase {
                Phase::Ended if this.primed.is_empty() => return Poll::Ready(None),
                Phase::Failed { flushes, at } if this.primed.is_empty() => {
                    ready!(this.poll_last_words(cx, flushes, at));
                    this.phase = Phase::Told {
                        cut_at: Instant::now() + READING,
                    };
                    continue;
                }
                Phase::Told { cut_at } => {
                    ready!(this.poll_timer(cx, cut_at));
                    this.phase = Phase::Ended;
                    return Poll::Ready(Some(Err("the event stream has failed".into())));
                }
                Phase::Open => {}
                // What was primed before the end goes out first.
                _ => {
                    let primed = Bytes::from(std::mem::take(&mut this.primed));
                    return Poll::Ready(Some(Ok(Frame::data(primed))));
                }
            }
            let bytes = with_scratch(|out| {
                this.poll_open(cx, out);
                Bytes::copy_from_slice(out)
            });
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.phase == Phase::Open {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.retire();
        }
    }
}

/// Logs the error of a stream with its causes.
pub(crate) fn log_failure(guard: &StreamGuard, error: &BoxError) {
    tracing::error!(
        target: "bellwether::stream",
        path = guard.path(),
        error = %Chain(error),
        "stream failed"
    );
}

impl SubscriptionEnd {
    /// Appends when to come back, if that is to be said.
    pub(crate) fn write(&self, plan: Option<&DrainPlan>, out: &mut Vec<u8>) {
        let of_plan = || plan.map(DrainPlan::retry);
        if let Some(delay) = self.retry.or_else(of_plan) {
            write_retry(out, delay);
        }
    }
}

impl DrainPlan {
    /// A time to come back for one stream: never the same for all, so that whoever takes the
    /// reconnects is not met by all in one moment.
    pub(crate) fn retry(&self) -> Duration {
        const SOONEST: Duration = Duration::from_secs(1);
        let range = self.spread().max(Duration::from_secs(2));
        SOONEST + range.mul_f64(fastrand::f64())
    }
}

fn write_retry(out: &mut Vec<u8>, delay: Duration) {
    // An event that holds only a delay always encodes.
    let _ = ServerSentEvent::new().retry(delay).encode_into(out);
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
