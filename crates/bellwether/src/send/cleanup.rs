//! How a generator is dropped whose client has disconnected: at once, or after a time for its clean-up.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use super::producer::EventEncoder;
use crate::lifecycle::{DisconnectSignal, Lifecycle, Streams};

/// Ends a generator whose client has disconnected. If it holds its `Request`, it gets a bounded time for its
/// clean-up, in which `is_disconnected()` is true; any other is dropped where it stands.
pub(super) fn spawn_cleanup(
    mut producer: Pin<Box<dyn EventEncoder>>,
    signal: &DisconnectSignal,
    grace: Duration,
    lifecycle: &Lifecycle,
) {
    if grace.is_zero() || !signal.has_watchers() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let guard = Streams::begin_cleanup(lifecycle);
    let cleanup = async move {
        let _guard = guard;
        let end = poll_fn(|cx| producer.as_mut().poll_discard(cx));
        if tokio::time::timeout(grace, end).await.is_err() {
            tracing::debug!(target: "bellwether::stream", "generator dropped after its moment");
        }
    };
    lifecycle
        .tracker()
        .spawn_on(lifecycle.scope(cleanup), &runtime);
}
