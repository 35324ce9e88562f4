//! Waking many readers without making the publisher do it.

use crate::waiting::Wakes;

/// Up to this many readers are woken by the publisher itself, which takes a few microseconds.
const INLINE: usize = 64;
/// This many are woken between two chances for other tasks.
const SLICE: usize = 256;

/// Wakes the readers: a few here and now, a crowd by a task of its own.
///
/// The task ends by itself when the last one is woken; dropped before that, with its runtime, it wakes the rest at once.
/// Outside of a runtime all are woken here.
pub(crate) fn ring(mut wakes: Wakes) {
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
