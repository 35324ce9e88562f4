//! [`events`]: any handler of ours as a handler of axum's.

use std::{fmt, marker::PhantomData};

use axum::{extract::Request, response::IntoResponse};
use futures_core::Stream;

use super::{Handler, ResponseFuture, Sealed};
use crate::events::IntoEvent;

/// Makes an axum handler of a function that streams events.
///
/// Use it where axum's own methods want a handler: `get(page).post(events(progress))`,
/// `Router::fallback(events(f))`. [`get`](fn@crate::get) and its siblings need no wrapper. It takes what
/// [`Handler`] describes, so handlers that do not stream pass through it too.
///
/// ```
/// use axum::{Router, routing};
/// use bellwether::{ServerSentEvent, events, stream};
/// use futures_core::Stream;
///
/// async fn page() -> &'static str {
///     "POST here to start the job"
/// }
///
/// fn progress() -> impl Stream<Item = ServerSentEvent> {
///     stream!(
///         yield ServerSentEvent::text("done");
///     )
/// }
///
/// let app: Router = Router::new().route("/job", routing::get(page).post(events(progress)));
/// assert!(app.has_routes());
/// ```
pub fn events<H, K, S>(handler: H) -> Adapter<H, K, S>
where
    H: Handler<K, S> + Clone + Send + Sync + 'static,
    H::Future: Send + 'static,
    H::Stream: Stream + Send + 'static,
    <H::Stream as Stream>::Item: IntoEvent,
    H::Error: IntoResponse,
{
    Adapter {
        handler,
        kind: PhantomData,
    }
}

/// The axum handler that [`events`] makes; `H` is the function, `K` its kind and `S` the state,
/// both inferred.
pub struct Adapter<H, K, S> {
    handler: H,
    kind: PhantomData<fn() -> (K, S)>,
}

impl<H: Clone, K, S> Clone for Adapter<H, K, S> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            kind: PhantomData,
        }
    }
}

impl<H, K, S> fmt::Debug for Adapter<H, K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").finish_non_exhaustive()
    }
}

/// Axum's marker for an [`Adapter`]. It is named for the one place where it is read: axum's message about a function that
/// streams events and was given to a routing function of axum's.
#[derive(Debug)]
pub struct WrappedInBellwetherEvents<K>(PhantomData<K>);

// Recommended on purpose: the compiler then names it to those who give axum a function that streams.
impl<H, K, S> axum::handler::Handler<WrappedInBellwetherEvents<K>, S> for Adapter<H, K, S>
where
    H: Handler<K, S> + Clone + Send + Sync + 'static,
    H::Future: Send + 'static,
    H::Stream: Stream + Send + 'static,
    <H::Stream as Stream>::Item: IntoEvent,
    H::Error: IntoResponse,
    K: 'static,
    S: Send + Sync + 'static,
{
    type Future = ResponseFuture;

    fn call(self, request: Request, state: S) -> ResponseFuture {
        self.handler.handle(request, state, Sealed(()))
    }
}
