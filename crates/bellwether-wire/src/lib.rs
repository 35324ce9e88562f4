//! The `text/event-stream` format, both ways, without a runtime and without I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod encode;
mod error;
mod event;
mod field;
#[cfg(feature = "json")]
mod json;
mod text;

pub use crate::error::{EncodeError, FieldError};
pub use crate::event::ServerSentEvent;
pub use crate::field::{EventId, EventName};
pub use crate::text::Text;

#[cfg(feature = "json")]
pub use crate::encode::encode_json_into;
#[cfg(feature = "json")]
pub use crate::json::JsonError;
