//! Whether the client of one request is still there, and whether anybody wants to know.
//!
//! The body of a response owns the [`Presence`]; a `Request` that a handler keeps holds an
//! [`Asker`]. When the client leaves and an asker exists, the generator gets a bounded moment for
//! its clean-up; without one it is dropped where it stands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The client's side of one request: here, or left.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    left: CancellationToken,
    askers: AtomicUsize,
}

impl Presence {
    /// Notes that the client has left; whoever asked is told.
    pub(crate) fn leave(&self) {
        self.left.cancel();
    }

    /// Whether somebody asks, or holds what it takes to ask later.
    pub(crate) fn is_needed(self: &Arc<Self>) -> bool {
        self.has_askers() || Arc::weak_count(self) > 0
    }

    /// Whether somebody holds the request and could ask.
    pub(crate) fn has_askers(&self) -> bool {
        self.askers.load(Ordering::Acquire) > 0
    }
}

/// The way from a request's extensions to its presence, without keeping it alive.
#[derive(Debug, Clone)]
pub(crate) struct PresenceLink(Weak<Presence>);

impl PresenceLink {
    /// A link to `presence`.
    pub(crate) fn new(presence: &Arc<Presence>) -> Self {
        Self(Arc::downgrade(presence))
    }

    /// The presence, while the request is being answered.
    pub(crate) fn upgrade(&self) -> Option<Arc<Presence>> {
        self.0.upgrade()
    }
}

/// Held by a `Request`: the right to ask, and the fact that somebody may.
#[derive(Debug)]
pub(crate) struct Asker(Arc<Presence>);

impl Asker {
    /// An asker about `presence`.
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        presence.askers.fetch_add(1, Ordering::AcqRel);
        Self(presence)
    }

    /// Whether the client has left.
    pub(crate) fn is_left(&self) -> bool {
        self.0.left.is_cancelled()
    }

    /// Keeps the response telling of the leaving, but does not keep a generator running on.
    pub(crate) fn link(&self) -> PresenceLink {
        PresenceLink::new(&self.0)
    }

    /// Resolves when the client has left.
    pub(crate) fn left(&self) -> WaitForCancellationFutureOwned {
        self.0.left.clone().cancelled_owned()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.askers.fetch_sub(1, Ordering::AcqRel);
    }
}
