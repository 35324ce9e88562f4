//! How a stream ends that has failed: its error is told, and the cut waits until the client has had time to read it.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use crate::lifecycle::StreamGuard;

/// How long a failed stream waits for its last words to leave.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the cut waits after the last words: a browser that finds both at once drops what it
/// has not yet handed to the page.
pub(crate) const READING: Duration = Duration::from_millis(100);

/// Where a failed stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastWords {
    /// The error is told, but its bytes may not be out yet.
    Leaving { flushes: u64, at: Instant },
    /// What is left is to cut, once the client has had time to read.
    Told { cut_at: Instant },
}

impl LastWords {
    /// The error is handed over for sending now.
    pub(super) fn of(guard: &StreamGuard) -> Self {
        Self::Leaving {
            flushes: guard.connection().map_or(0, |c| c.flushes()),
            at: Instant::now(),
        }
    }

    /// Ready when the stream is to be cut.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        guard: &StreamGuard,
        alarm: &mut Alarm,
    ) -> Poll<()> {
        loop {
            match *self {
                Self::Leaving { flushes, at } => {
                    // hyper throws away what it has not yet written when a body fails.
                    let connection = guard.connection();
                    if !connection.is_some_and(|c| c.has_flushed_since(flushes, cx)) {
                        ready!(alarm.poll_at(cx, at + LAST_WORDS));
                    }
                    *self = Self::Told {
                        cut_at: Instant::now() + READING,
                    };
                }
                Self::Told { cut_at } => return alarm.poll_at(cx, cut_at),
            }
        }
    }
}
