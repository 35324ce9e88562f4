//! Bellwether: a web framework for live event streams over HTTP (server-sent events).
//!
//! You write an async generator of events. Bellwether takes care of what is hard about keeping
//! many browsers up to date: the wire format, clients that leave, servers that stop, errors in the
//! middle of a stream, slow readers, abuse.
//!
//! ```no_run
//! use std::time::Duration;
//! use bellwether::{Application, ServerSentEvent, Stream, get, stream};
//! use serde_json::json;
//!
//! #[get("/events")]
//! fn events() -> impl Stream<Item = ServerSentEvent> {
//!     stream!(
//!         for i in 0..3 {
//!             yield ServerSentEvent::json(json!({ "message": format!("Hello World {i}") }));
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!         }
//!     )
//! }
//!
//! #[tokio::main]
//! async fn main() -> bellwether::Result<()> {
//!     Application::new().route(events).run().await
//! }
//! ```
//!
//! # Where to look
//!
//! | I want | look at |
//! |---|---|
//! | a route that streams | [`get`](fn@get) and its siblings, the attribute [`macro@get`], [`stream!`] |
//! | to yield something else than events | [`IntoEvent`], [`Json`] |
//! | a generator without a macro | [`events_from`] |
//! | status, headers, keep-alive of a stream | [`ServerEventsResponse`] |
//! | to know that the client has left | [`Request::is_disconnected`], [`ClientConnection`] beside `Json` |
//! | to know that the server is stopping | [`is_stopping`], [`stopping`] |
//! | to publish once to many readers, who resume exactly | [`Topics`], [`Topic`], [`Subscription`] |
//! | the id after which a client goes on | [`LastEventId`] |
//! | errors with a status | [`HttpError`] |
//! | one more route in an axum app | [`get`](fn@get) returns axum's `MethodRouter`; [`shutdown_signal`] |
//! | limits, time limits, the end | [`Limits`], [`Timeouts`], [`Drain`] |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `testing` | no | the module `testing`: ask an application in a test, read its events, check that readers resume; no further crates |
//! | `tls` | no | HTTPS by rustls (ring), HTTP/2 by ALPN |

mod admission;
mod application;
mod client_connection;
mod error;
mod error_page;
mod events;
mod files;
// Open to the fuzz target; no part of the API.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(doctest)]
mod guide;
mod handler;
mod health;
mod http_error;
mod lifecycle;
mod listen;
mod request;
mod routing;
mod running;
mod screen;
mod send;
mod stderr;
mod stream;
mod streamed;
#[cfg(feature = "testing")]
pub mod testing;

pub use application::{Application, StateGiven};
pub use client_connection::{ClientConnection, Disconnected};
pub use error::{Error, Result};
pub use events::{
    ErrorShape, EventBuffer, EventSender, IntoEvent, ServerEventsResponse, events_from,
};
pub use handler::{Adapter, Handler, events};
pub use http_error::HttpError;
pub use lifecycle::{CloseReason, Stopping, StreamCounts, is_stopping, shutdown_signal, stopping};
#[cfg(feature = "tls")]
pub use listen::Tls;
pub use listen::{Drain, Limits, Listener, ListenerAddress, Timeouts};
pub use request::{LastEventId, Request};
pub use routing::{IntoRoute, Route, any, delete, get, head, on, options, patch, post, put};
pub use running::Running;
pub use stream::{OnStop, StreamDefaults};
pub use streamed::StreamedContent;

#[doc(hidden)]
pub use routing::__private;

pub use async_stream::{stream, try_stream};
pub use axum::{BoxError, Json};
pub use bellwether_macros::{delete, get, patch, post, put};
pub use bellwether_topics::{
    AfterGap, Cursor, Delivery, Frame, Gap, GapReason, Policy, PublishOptions, Published,
    Retention, SetupError, Slow, Subscribe, Subscription, Topic, Topics, TypedTopic,
};
pub use bellwether_wire::{
    EncodeError, EventId, EventName, FieldError, IntoEventId, IntoEventName, JsonError,
    ServerSentEvent, event_id, event_name,
};
pub use futures_core::Stream;
