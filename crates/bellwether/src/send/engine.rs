//! The delivery engine: a shard for each thread of the runtime, and the handover of streams to them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shard::{Handover, Mailbox, Shard, ShardSocket};
use crate::admission::Permit;
use crate::lifecycle::Lifecycle;

/// The engine of one server. It starts with the first stream that it is given.
#[derive(Debug)]
pub(crate) struct Engine {
    config: Arc<EngineConfig>,
    shards: Box<[Arc<Mailbox>]>,
    next: AtomicUsize,
}

/// The settings for every stream of a server.
pub(crate) struct EngineConfig {
    pub(crate) lifecycle: Lifecycle,
    /// Cancelled when what is left has to be cut.
    pub(crate) cut: CancellationToken,
    /// How long a socket may take nothing.
    pub(crate) write_stall: Duration,
    /// Takes the connections whose response is complete and whose client may send another request.
    pub(crate) give_back: Box<dyn Fn(ReturnedConnection) + Send + Sync>,
}

/// A connection after an event stream.
#[derive(Debug)]
pub(crate) struct ReturnedConnection {
    pub(crate) socket: ShardSocket,
    pub(crate) permit: Permit,
    /// What was read of the next request.
    pub(crate) ahead: Vec<u8>,
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("write_stall", &self.write_stall)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with one shard for each thread of the present runtime.
    pub(crate) fn new(config: EngineConfig) -> Self {
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        Self {
            config: Arc::new(config),
            shards: (0..threads.max(1)).map(|_| Arc::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Takes a stream over, with its socket.
    ///
    /// Nothing of its response has been written; nothing else of the connection is in use any more.
    pub(crate) fn take(&self, handover: Handover) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let mailbox = &self.shards[next];
        if mailbox.deliver(handover) {
            return;
        }
        let lifecycle = &self.config.lifecycle;
        match Shard::new(Arc::clone(&self.config), Arc::clone(mailbox)) {
            Ok(shard) => {
                // The shard has budgets of its own. The runtime's would be used up by the bodies' timers and channels.
                let shard = tokio::task::unconstrained(lifecycle.scope(shard));
                lifecycle.tracker().spawn(shard);
            }
            Err(error) => {
                // Without an epoll instance nothing can be sent; the clients reconnect.
                tracing::error!(%error, "the delivery engine cannot start");
                drop(mailbox.close());
            }
        }
    }
}
