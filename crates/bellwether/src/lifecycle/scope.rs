//! Which server the running code belongs to, so that `is_stopping()` needs no argument.
//!
//! The server wraps every task it runs in a [`Scoped`] future. It sets a thread-local for the
//! length of one poll; several servers in one process (as in tests) so keep apart.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Lifecycle;

thread_local! {
    static CURRENT: RefCell<Option<Lifecycle>> = const { RefCell::new(None) };
    static STOP_CHECKED: Cell<bool> = const { Cell::new(false) };
}

/// The lifecycle of the server whose task is being polled, or the process's own.
pub(super) fn current() -> Lifecycle {
    CURRENT
        .with_borrow(Clone::clone)
        .unwrap_or_else(Lifecycle::process)
}

/// Notes that the running code asked whether a stop has begun.
pub(super) fn note_stop_checked() {
    STOP_CHECKED.set(true);
}

/// Whether the question was asked since the last call.
///
/// A generator that asks is trusted to end on its own; the body checks this after each poll.
pub(crate) fn take_stop_checked() -> bool {
    STOP_CHECKED.take()
}

pin_project! {
    /// A future that runs within the scope of one lifecycle.
    #[derive(Debug)]
    pub(crate) struct Scoped<F> {
        lifecycle: Lifecycle,
        #[pin]
        future: F,
    }
}

impl<F> Scoped<F> {
    pub(super) fn new(lifecycle: Lifecycle, future: F) -> Self {
        Self { lifecycle, future }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = ScopeGuard::new(this.lifecycle.clone());
        this.future.poll(cx)
    }
}

/// Restores the outer scope when the poll ends, by return or by panic.
struct ScopeGuard {
    outer: Option<Lifecycle>,
}

impl ScopeGuard {
    fn new(lifecycle: Lifecycle) -> Self {
        Self {
            outer: CURRENT.replace(Some(lifecycle)),
        }
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        CURRENT.set(self.outer.take());
    }
}
