//! Waking many readers without making the publisher do it.

use crate::log::waiters::Wakes;

/// Up to this many readers are woken by the publisher itself, which takes a few microseconds.
const INLINE: usize = 64;
/// This many are woken between two chances for other tasks, which takes a fraction of a millisecond.
///
/// Not fewer: the streams of one HTTP/2 connection may stand far apart in the list. Whoever of them is woken before the
/// connection writes leaves in the same write.
const SLICE: usize = 2048;

/// Wakes the readers: a few here and now, a crowd by a task of its own.
///
/// The task ends by itself when the last one is woken; dropped before that, with its runtime, it wakes the rest at once.
/// Outside of a runtime all are woken here.
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
