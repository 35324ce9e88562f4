//! The one timer of an event stream: for its next beat, for the stop, for the pauses after its last words.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A timer that exists once it was needed; a stream that always has something to send never needs it.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at this time.
    #[inline]
    pub(super) fn poll_at(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.timer(due);
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// Ready at this time at the latest, and perhaps early: then whoever finds nothing due asks again. So traffic, which
    /// moves the next beat, costs nothing here; a timer that is set for an earlier time is set anew once it has fired.
    #[inline]
    pub(super) fn poll_by(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.timer(due);
        if timer.deadline() > due || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    #[inline]
    fn timer(&mut self, due: Instant) -> &mut Pin<Box<Sleep>> {
        self.0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)))
    }
}
