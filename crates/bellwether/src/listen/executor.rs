//! Runs the requests of an HTTP/2 connection, each as a task of its own, and ends those whose
//! client takes nothing.
//!
//! HTTP/2 has a window for each stream. A client that closes one and keeps answering pings stalls
//! that stream only; the socket does not show it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::ServerContext;
use super::connection_state::{ConnectionState, Http2Stream};

/// Spawns hyper's HTTP/2 streams within the server's scope and accounts.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    shared: Arc<ServerContext>,
    state: Arc<ConnectionState>,
}

impl StreamExecutor {
    pub(super) fn new(shared: Arc<ServerContext>, state: Arc<ConnectionState>) -> Self {
        Self { shared, state }
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let stream = self.state.take_http2_stream();
        let task = Http2StreamTask {
            task,
            stream,
            shared: Arc::clone(&self.shared),
            timer: None,
        };
        let lifecycle = &self.shared.lifecycle;
        lifecycle.tracker().spawn(lifecycle.scope(task));
    }
}

pin_project! {
    /// One HTTP/2 stream. Dropping the task resets the stream.
    struct Http2StreamTask<F> {
        #[pin]
        task: F,
        stream: Option<Arc<Http2Stream>>,
        shared: Arc<ServerContext>,
        // Runs while the client's window keeps the body from going on.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Http2StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // After a panic the task is only dropped, so no broken state of it can be seen.
        match catch_unwind(AssertUnwindSafe(|| this.task.poll(cx))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => return Poll::Ready(()),
            Err(_) => {
                tracing::error!("stream closed by a panic");
                return Poll::Ready(());
            }
        }
        let Some(stream) = this.stream.as_ref().filter(|stream| stream.has_unsent()) else {
            *this.timer = None;
            return Poll::Pending;
        };
        let Some(due) = Instant::now().checked_add(this.shared.timeouts.write_stall) else {
            return Poll::Pending;
        };
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        ready!(timer.as_mut().poll(cx));
        stream.stream_state.note_timed_out();
        tracing::debug!(reason = "too_slow", "stream closed");
        Poll::Ready(())
    }
}
