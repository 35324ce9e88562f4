//! What may handle a request: functions that stream events beside every handler that axum knows.
//!
//! The return type alone decides how a function is treated. rustc finds the way through a marker, the
//! parameter `K` of [`Handler`], which users never write. An impl's where-clause holds only what tells
//! the kinds apart (is it a stream? a future?); what must be true besides (the future is `Send`, the
//! item is an event) is asked by [`get`](crate::get) and [`events`](crate::events()) themselves, so
//! that a mistake there is named and not answered by "not a handler".

mod adapter;
mod function;
mod kind;

use std::pin::Pin;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_core::Stream;

use crate::events::IntoEvent;

pub use adapter::{Adapter, events};
pub(crate) use kind::Sealed;

/// The future of a handled request, boxed once as axum boxes its own.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A function or closure that can answer requests.
///
/// It is never implemented by hand. It holds for a plain `fn` or closure whose arguments are up to
/// sixteen axum extractors, the last of which may take the body, and that returns, directly or as an
/// `async fn`:
///
/// - a `Stream` whose items are [`IntoEvent`](crate::IntoEvent): a stream of events;
/// - `Result<Stream, E>` with `E: IntoResponse`: a stream, or an answer with a status of its own;
/// - anything that is `IntoResponse`.
///
/// Whatever axum itself accepts as a handler, such as a handler with a layer around it, is one too.
///
/// `K` says which of these it is and is always inferred. `S` is the type of the state, as in axum.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle requests",
    label = "not a handler",
    note = "a handler is a `fn` or closure, sync or async, with 0 to 16 axum extractors as arguments, \
            that returns one of:",
    note = "`impl Stream<Item = E>` where `E: IntoEvent`, such as `ServerSentEvent`",
    note = "`Result<impl Stream<Item = E>, R>` where `R: IntoResponse`",
    note = "anything that is `IntoResponse`, such as `ServerEventsResponse`",
    note = "each argument must be an extractor, only the last may take the body (`Request`, `Json`, \
            `String` …; `ClientConnection` knows whether the client is there and leaves the body alone), and the \
            future of an `async fn` must be `Send`"
)]
pub trait Handler<K, S>: Sized {
    /// What is streamed; a stand-in for a handler that gives a ready response.
    #[doc(hidden)]
    type Stream;

    /// What the function returns before it is awaited; a stand-in if nothing is.
    #[doc(hidden)]
    type Future;

    /// What is answered in place of a stream; a stand-in if there is always one.
    #[doc(hidden)]
    type Error;

    /// Whether the function is one that streams.
    #[doc(hidden)]
    const STREAMS: bool;

    /// Answers one request.
    #[doc(hidden)]
    fn handle(self, request: Request, state: S, _: Sealed) -> ResponseFuture
    where
        Self: Send + 'static,
        Self::Stream: Stream<Item: IntoEvent> + Send + 'static,
        Self::Future: Send + 'static,
        Self::Error: IntoResponse,
        S: Send + Sync + 'static;
}
