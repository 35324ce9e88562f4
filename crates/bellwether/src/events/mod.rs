//! From what a handler returns to a response: items, producers, negotiation.
//!
//! An [`IntoEvent`] is what a stream may yield. A producer polls such a stream and encodes what is ready into one
//! buffer. An event request looks at the request: may this client have events, has it been told that the stream is
//! finished, does the first item fail. What is sent when, and by whom, is up to [`stream`](crate::stream) and
//! [`send`](crate::send). Nothing here knows of `Application` or the server, so all of it works in any axum app.

mod accept;
mod encoder;
mod error_shape;
mod event_request;
mod item;
mod pending_events;
mod response;
mod sender;

pub use error_shape::ErrorShape;
pub(crate) use event_request::{EventRequest, answer, set_event_stream_headers};
pub use item::{EventBuffer, IntoEvent};
pub(crate) use pending_events::PendingEventsLayer;
pub use response::ServerEventsResponse;
pub use sender::{EventSender, events_from};
