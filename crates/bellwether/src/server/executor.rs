//! Runs the requests of an HTTP/2 connection, each as a task of its own.

use std::future::Future;
use std::sync::Arc;

use super::Shared;
use super::pulse::Pulse;

/// Spawns hyper's HTTP/2 streams within the server's scope and accounts.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    shared: Arc<Shared>,
    _pulse: Arc<Pulse>,
}

impl StreamExecutor {
    pub(super) fn new(shared: Arc<Shared>, pulse: Arc<Pulse>) -> Self {
        Self {
            shared,
            _pulse: pulse,
        }
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let lifecycle = &self.shared.lifecycle;
        lifecycle.tracker().spawn(lifecycle.scope(stream));
    }
}
