//! From the return value of a handler to a response: items, producers, negotiation.
//!
//! An [`IntoEvent`] is what a stream may yield. A producer polls such a stream and encodes what is ready into one
//! buffer. An event request checks the request: whether the client accepts events, whether it has read the stream to its
//! end, and whether the first item fails. The times and the senders are decided by [`stream`](crate::stream) and
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
