//! Waking many readers without making the publisher do it.

use crate::log::waiters::Wakes;

/// Maximum number of readers that the publisher wakes itself, which takes a few microseconds.
const INLINE: usize = 64;
/// The number of readers that are woken before other tasks get their turn, which takes a fraction of a millisecond.
///
/// Not fewer: the streams of one HTTP/2 connection may be far apart in the list. Those that are woken before the
/// connection writes share one write.
const SLICE: usize = 2048;

/// Wakes the readers: at most [`INLINE`] in this call, more than that in a task of their own.
///
/// The task ends when the last reader is woken. If it is dropped earlier, with its runtime, it wakes the rest at once.
/// Outside of a runtime this call wakes them all.
pub(crate) fn wake_all(mut wakes: Wakes) {
    if wakes.len() > INLINE
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn(async move {
            while wakes.wake_some(SLICE) {
                tokio::task::yield_now().await;
            }
        });
    }
}
