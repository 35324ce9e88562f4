//! The `text/event-stream` format, both ways, without a runtime and without I/O.
//!
//! A stream of server-sent events is UTF-8 text in lines (WHATWG HTML, section 9.2). A line is a field, and a blank
//! line ends an event:
//!
//! ```text
//! : a comment, which clients ignore: it keeps the connection busy
//! event: price
//! id: 42
//! retry: 3000
//! data: the first line of the data
//! data: the second
//!
//! ```
//!
//! | field | written from | meaning for the client |
//! |---|---|---|
//! | `data` | [`ServerSentEvent::text`], [`json`](ServerSentEvent::json) | what the event says; its lines are joined by LF. No event without it |
//! | `event` | [`EventName`] | the event's name, `message` without one |
//! | `id` | [`EventId`] | remembered, sent back as `Last-Event-ID` on a reconnect |
//! | `retry` | [`Duration`](std::time::Duration) | how long to wait before a reconnect, in milliseconds |
//!
//! A line ends with LF, CR or CRLF. One space after the colon belongs to the syntax. A byte-order mark at the
//! beginning is skipped, invalid UTF-8 is replaced, and what cannot be understood is ignored: to a client there are
//! no malformed streams, only ones that mean less than was hoped. So all care is the writer's. A line break in a name
//! or an id would be the next field, hence they are checked once ([`EventName`], [`EventId`]) and kept as checked
//! types, while line breaks in data and comments become lines.
//!
//! # To bytes
//!
//! ```
//! use bellwether_wire::{ServerSentEvent, event_name};
//!
//! let event = ServerSentEvent::json([20.5, 21.0]).event(event_name!("temperature")).id(42);
//! assert_eq!(event.encode()?, "event: temperature\ndata: [20.5,21.0]\nid: 42\n\n");
//! # Ok::<(), bellwether_wire::EncodeError>(())
//! ```
//!
//! # From bytes
//!
//! ```
//! use bellwether_wire::Decoder;
//!
//! let mut decoder = Decoder::new();
//! let mut input: &[u8] = b"id: 42\nevent: temperature\ndata: 20.5\n\ndata: unfin";
//!
//! let message = decoder.decode(&mut input)?.expect("one event is complete");
//! assert_eq!(message.event, "temperature");
//! assert_eq!(message.data, "20.5");
//! assert_eq!(message.last_event_id, "42");
//!
//! assert_eq!(decoder.decode(&mut input)?, None, "the other is not");
//! # Ok::<(), bellwether_wire::DecodeError>(())
//! ```
//!
//! Left to others: HTTP, time, reconnecting (the client), what ids mean (the topics).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod event;
mod field;
mod text;

mod encode;
#[cfg(feature = "json")]
mod json;

mod decode;
mod message;

mod block;
mod connection;
mod gathered;
mod limits;
mod scan;
mod scanned;

mod error;

pub use crate::decode::Decoder;
pub use crate::error::{DecodeError, EncodeError, FieldError};
pub use crate::event::ServerSentEvent;
pub use crate::field::{EventId, EventName, IntoEventId, IntoEventName};
pub use crate::limits::Limits;
pub use crate::message::{Message, MessageRef};
pub use crate::text::Text;

#[cfg(feature = "json")]
pub use crate::encode::encode_json_into;
#[cfg(feature = "json")]
pub use crate::json::JsonError;
