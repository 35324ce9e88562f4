//! The rules of one event stream: when a keep-alive is due, what a stop does, how an error is reported, and the one end.
//!
//! Pure. The machine takes the time and what happened as arguments and appends bytes to a buffer. It performs no I/O,
//! reads no clock and knows nothing of HTTP. The driver of the stream asks it three things: what is due
//! ([`Machine::tick`]), when to ask again ([`Machine::deadline`]), and whether it has ended ([`Machine::end`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::closing::{SubscriptionEnd, write_finished, write_retry};
use super::options::{OnStop, StreamOptions};
use super::{CloseReason, DrainPlan, StreamError};

/// How long a failed stream waits until its error event has left, where nothing reports that.
const ERROR_FLUSH_WAIT: Duration = Duration::from_millis(100);

/// How long the cut waits after the error event: a browser that finds both at once drops what it
/// has not yet handed to the page.
const ERROR_READ_WAIT: Duration = Duration::from_millis(100);

/// The shortest interval between two keep-alives, whatever was asked for: an interval of zero would fill the socket.
const MIN_KEEP_ALIVE: Duration = Duration::from_millis(10);

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Machine {
    options: Arc<StreamOptions>,
    phase: StreamPhase,
    /// The generator asks whether a stop has begun, so it is trusted to end by its own decision.
    checks_stop: bool,
    /// This stream's position in the drain window, in 0..1.
    share: f32,
    /// When the next keep-alive is due, or the cut of a stream that has failed. One field, since ten thousand streams
    /// wait at once.
    due_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamPhase {
    Open,
    /// The error is sent. The cut comes when it is due, or earlier once the error is known to have left.
    Failing {
        is_flushed: bool,
    },
    Ended(StreamEnd),
}

/// How a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// Every byte was given, and the body ends in good order.
    Whole,
    /// The body is cut, so that the client can tell it from a finished one.
    Cut,
}

/// What became of the producer of events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ProducerOutcome<'a> {
    /// It came to its end.
    Ended,
    /// The subscription behind it was closed.
    Closed(SubscriptionEnd),
    /// It failed or panicked.
    Failed(&'a StreamError),
}

impl Machine {
    /// A stream that opens now. `phase` and `share`, both in 0..1, spread streams that opened together: the first over
    /// their keep-alives, the second over a drain.
    pub(crate) fn new(options: Arc<StreamOptions>, now: Instant, phase: f64, share: f32) -> Self {
        let due_at = options.keep_alive.as_ref().and_then(|keep_alive| {
            let interval = keep_alive.interval.max(MIN_KEEP_ALIVE);
            let seconds = interval.as_secs_f64() * (0.5 + 0.5 * phase);
            now.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
        });
        Self {
            options,
            phase: StreamPhase::Open,
            checks_stop: false,
            share,
            due_at,
        }
    }

    /// The options that the stream follows.
    pub(crate) fn options(&self) -> &Arc<StreamOptions> {
        &self.options
    }

    /// Whether the producer is still to be asked.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == StreamPhase::Open
    }

    /// How the stream has ended, once all its bytes were taken.
    pub(crate) fn end(&self) -> Option<StreamEnd> {
        match self.phase {
            StreamPhase::Ended(end) => Some(end),
            _ => None,
        }
    }

    // --- Time ---

    /// Ends the stream if the stop has come to it, before the producer is asked. Returns the reason if it did.
    pub(crate) fn stop(
        &mut self,
        now: Instant,
        plan: Option<&DrainPlan>,
        out: &mut Vec<u8>,
    ) -> Option<CloseReason> {
        let plan = plan?;
        if !self.is_open() || self.stop_moment(plan) > now {
            return None;
        }
        write_retry(out, plan.retry(now, self.share));
        self.phase = StreamPhase::Ended(StreamEnd::Whole);
        Some(CloseReason::Stopping)
    }

    /// Appends the keep-alive if it is due. For a stream whose producer has nothing.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<u8>) {
        match self.phase {
            StreamPhase::Open => {
                if self.is_due(now)
                    && let Some(keep_alive) = &self.options.keep_alive
                {
                    out.extend_from_slice(&keep_alive.bytes);
                    self.reset_keep_alive(now);
                }
            }
            StreamPhase::Failing { .. } if self.is_due(now) => {
                self.phase = StreamPhase::Ended(StreamEnd::Cut);
            }
            StreamPhase::Failing { .. } | StreamPhase::Ended(_) => {}
        }
    }

    /// When something is due next. `None` if only the producer, the client or a stop can change anything.
    pub(crate) fn deadline(&self, plan: Option<&DrainPlan>) -> Option<Instant> {
        match self.phase {
            StreamPhase::Open => {
                let stop = plan.map(|plan| self.stop_moment(plan));
                [stop, self.due_at].into_iter().flatten().min()
            }
            StreamPhase::Failing { .. } => self.due_at,
            StreamPhase::Ended(_) => None,
        }
    }

    /// When the stop ends this stream.
    fn stop_moment(&self, plan: &DrainPlan) -> Instant {
        if self.checks_stop || self.options.on_stop == OnStop::LetFinish {
            plan.last_moment()
        } else {
            plan.moment(self.share)
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due_at.is_some_and(|at| at <= now)
    }

    fn reset_keep_alive(&mut self, now: Instant) {
        let keep_alive = self.options.keep_alive.as_ref();
        self.due_at = keep_alive.and_then(|k| now.checked_add(k.interval.max(MIN_KEEP_ALIVE)));
    }

    // --- What the producer did ---

    /// The producer gave bytes, which put the next keep-alive off.
    pub(crate) fn note_sent(&mut self, now: Instant) {
        self.reset_keep_alive(now);
    }

    /// The generator asked whether a stop has begun.
    pub(crate) fn note_stop_checked(&mut self) {
        self.checks_stop = true;
    }

    /// The producer is done. Appends the closing bytes, and returns the reason of the end.
    pub(crate) fn producer_is_done(
        &mut self,
        outcome: ProducerOutcome<'_>,
        now: Instant,
        plan: Option<&DrainPlan>,
        out: &mut Vec<u8>,
    ) -> CloseReason {
        self.phase = StreamPhase::Ended(StreamEnd::Whole);
        let of_plan = || plan.map(|plan| plan.retry(now, self.share));
        match outcome {
            ProducerOutcome::Closed(end) => {
                if let Some(delay) = end.retry.or_else(of_plan) {
                    write_retry(out, delay);
                }
                end.reason
            }
            ProducerOutcome::Ended if self.checks_stop && plan.is_some() => {
                if let Some(delay) = of_plan() {
                    write_retry(out, delay);
                }
                CloseReason::Stopping
            }
            ProducerOutcome::Ended => {
                if self.options.finish {
                    write_finished(out, self.share);
                }
                CloseReason::Finished
            }
            ProducerOutcome::Failed(error) => {
                self.options.write_error(error, out);
                self.phase = StreamPhase::Failing { is_flushed: false };
                self.due_at = Some(now + ERROR_FLUSH_WAIT + ERROR_READ_WAIT);
                CloseReason::Error
            }
        }
    }

    // --- What the driver did ---

    /// Whether the end waits until everything given so far has left.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.phase == StreamPhase::Failing { is_flushed: false }
    }

    /// Everything given so far has left.
    pub(crate) fn flushed(&mut self, now: Instant) {
        if self.awaits_flush() {
            self.phase = StreamPhase::Failing { is_flushed: true };
            self.due_at = Some(now + ERROR_READ_WAIT);
        }
    }

    /// The producer failed before the head was written: the response reports the error, and the stream sends nothing.
    pub(crate) fn abandon(&mut self) {
        self.phase = StreamPhase::Ended(StreamEnd::Whole);
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
