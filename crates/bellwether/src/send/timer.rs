//! The one timer of an event body that no shard drives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::lifecycle::Lifecycle;

/// Wakes for the next deadline and for the start of a stop.
pub(super) struct Timer {
    /// Exists once it was needed; a stream that always has something to send never needs it.
    sleep: Option<Pin<Box<Sleep>>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Timer {
    pub(super) fn new(lifecycle: &Lifecycle) -> Self {
        Self {
            sleep: None,
            stopping: Box::pin(lifecycle.stopping()),
        }
    }

    /// Ready when the deadline has come, and once when a stop begins.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        is_stopping: bool,
    ) -> Poll<()> {
        if !is_stopping && self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(due) = deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // Traffic moves the next keep-alive, and a timer that fires too early costs less than setting it each time.
        if sleep.deadline() > due || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        loop {
            std::task::ready!(sleep.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}
