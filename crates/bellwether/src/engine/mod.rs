//! The delivery engine: a few tasks write the shared bytes of each event to the sockets of all its readers.
//!
//! axum and hyper answer the request as usual. Once the head of a subscription's answer is out, the connection is taken
//! apart and its socket comes here, to one of the [`shard`]s. A shard is one task. It has an epoll instance of its own for
//! all its sockets, one watch for all its topics, one wheel for all its deadlines, and a table of readers. When
//! something was published it reads the log once and writes the same bytes to every reader that stands where it began; a
//! reader that stands elsewhere, because it was blocked, replays or has a filter, reads for itself.
//!
//! Nothing is queued for a reader but what is left of a write that its socket did not take whole. A blocked reader is left
//! out of walks; once its socket takes something again it reads on from its own place, if its policy lets it.
//!
//! What a client sees is the same as from the ordinary body, event for event. Only its end differs: the connection is
//! closed after the last chunk.

mod closing;
mod group;
mod mailbox;
mod poller;
mod reader;
mod shard;
mod slots;
mod wheel;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lifecycle::Lifecycle;
use mailbox::Mailbox;
pub(crate) use reader::Arrival;
use shard::Shard;

/// The engine of one server. It starts with the first stream that it is given.
#[derive(Debug)]
pub(crate) struct Engine {
    rules: Arc<Rules>,
    shards: Box<[Arc<Mailbox>]>,
    next: AtomicUsize,
}

/// What holds for every stream of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) lifecycle: Lifecycle,
    /// Cancelled when what is left has to be cut.
    pub(crate) cut: CancellationToken,
    /// How long a socket may take nothing.
    pub(crate) write_stall: Duration,
}

impl Engine {
    /// An engine with one shard for each thread of the present runtime.
    pub(crate) fn new(rules: Rules) -> Self {
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        Self {
            rules: Arc::new(rules),
            shards: (0..threads.max(1)).map(|_| Arc::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Takes a stream over, with its socket.
    ///
    /// Its head has been written; nothing else of the connection is in use any more.
    pub(crate) fn take(&self, arrival: Arrival) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let mailbox = &self.shards[next];
        if mailbox.deliver(arrival) {
            return;
        }
        let lifecycle = &self.rules.lifecycle;
        match Shard::new(Arc::clone(&self.rules), Arc::clone(mailbox)) {
            Ok(shard) => {
                lifecycle.tracker().spawn(lifecycle.scope(shard));
            }
            Err(error) => {
                // Without an epoll instance nothing can be sent; the clients come back.
                tracing::error!(%error, "the delivery engine cannot start");
                mailbox.close();
            }
        }
    }
}
