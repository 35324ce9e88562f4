//! Whether the client of one request is still there, and whether any code watches for it.
//!
//! The body of a response owns the [`DisconnectSignal`]; a `Request` or `ClientConnection` that a handler keeps
//! holds a [`DisconnectWatcher`]. When the client leaves and a watcher exists, the generator gets a bounded moment for
//! its clean-up; without one it is dropped where it stands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The client's side of one request: here, or left.
#[derive(Debug, Default)]
pub(crate) struct DisconnectSignal {
    disconnected: CancellationToken,
    watchers: AtomicUsize,
}

impl DisconnectSignal {
    /// Notes that the client has left, and wakes the watchers.
    pub(crate) fn signal_disconnect(&self) {
        self.disconnected.cancel();
    }

    /// Whether there is a watcher, or may be one later.
    pub(crate) fn is_needed(self: &Arc<Self>) -> bool {
        self.has_watchers() || Arc::weak_count(self) > 0
    }

    /// Whether a handler or generator holds the request.
    pub(crate) fn has_watchers(&self) -> bool {
        self.watchers.load(Ordering::Acquire) > 0
    }
}

/// The way from a request's extensions to its disconnect signal, without keeping it alive.
#[derive(Debug, Clone)]
pub(crate) struct WeakDisconnectSignal(Weak<DisconnectSignal>);

impl WeakDisconnectSignal {
    /// A link to `signal`.
    pub(crate) fn new(signal: &Arc<DisconnectSignal>) -> Self {
        Self(Arc::downgrade(signal))
    }

    /// The signal, while the request is being answered.
    pub(crate) fn upgrade(&self) -> Option<Arc<DisconnectSignal>> {
        self.0.upgrade()
    }
}

/// Held by a `ClientConnection`: the way to ask, counted for as long as it exists.
#[derive(Debug)]
pub(crate) struct DisconnectWatcher(Arc<DisconnectSignal>);

impl DisconnectWatcher {
    /// A watcher of `signal`.
    pub(crate) fn new(signal: Arc<DisconnectSignal>) -> Self {
        signal.watchers.fetch_add(1, Ordering::AcqRel);
        Self(signal)
    }

    /// Whether the client has left.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.0.disconnected.is_cancelled()
    }

    /// Keeps the response telling of the leaving, but does not keep a generator running on.
    pub(crate) fn link(&self) -> WeakDisconnectSignal {
        WeakDisconnectSignal::new(&self.0)
    }

    /// Resolves when the client has left.
    pub(crate) fn disconnected(&self) -> WaitForCancellationFutureOwned {
        self.0.disconnected.clone().cancelled_owned()
    }
}

impl Clone for DisconnectWatcher {
    /// Counted like the first.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for DisconnectWatcher {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}
