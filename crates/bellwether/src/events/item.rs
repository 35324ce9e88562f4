//! What a stream may yield: anything that can be written as one event.

use axum::{BoxError, Json};
use bellwether_wire::{ServerSentEvent, encode_json_into};
use serde::Serialize;

/// A value that a stream of a handler may yield: it can be sent as one server-sent event.
///
/// Implemented for [`ServerSentEvent`], for [`Json`] of any `Serialize`, for `serde_json::Value`, for text
/// (`&'static str`, `String`), and for `Result` of these: an `Err` ends the stream as the rules for errors say (its
/// real status if nothing was sent yet, else an event in band and a cut).
///
/// `yield Json(value)` is the fastest form: the value is written straight into the buffer that is
/// sent, without an event in between.
///
/// ```
/// use bellwether::{IntoEvent, Json, ServerSentEvent};
///
/// fn sendable<T: IntoEvent>(_: T) {}
///
/// sendable(ServerSentEvent::text("as it is"));
/// sendable(Json([1, 2, 3]));
/// sendable(serde_json::json!({ "cents": 108 }));
/// sendable("text");
/// sendable(Err::<String, std::io::Error>(std::io::Error::other("the feed has failed")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a server-sent event",
    label = "this stream yields `{Self}`",
    note = "yield a `ServerSentEvent`, `Json(value)` of a `Serialize` type, a `serde_json::Value`, a `String` or `&'static str`, or a `Result` of one of these"
)]
pub trait IntoEvent {
    /// Appends the encoded event to `buffer`.
    ///
    /// # Errors
    ///
    /// The item is an `Err`, or it cannot be encoded, such as NaN as JSON. The buffer is then as it
    /// was before.
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError>;
}

/// The end of a buffer of encoded events, to which an item appends itself.
#[derive(Debug)]
pub struct EventBuffer<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> EventBuffer<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Appends an event.
    ///
    /// # Errors
    ///
    /// The event holds an error of its making; see [`ServerSentEvent::error`].
    pub fn push(&mut self, event: &ServerSentEvent) -> Result<(), BoxError> {
        Ok(event.encode_into(self.bytes)?)
    }

    /// Appends an event that is encoded already.
    pub(crate) fn push_encoded(&mut self, event: &[u8]) {
        self.bytes.extend_from_slice(event);
    }

    /// Appends an event whose data is `value` as JSON and that has nothing else.
    ///
    /// # Errors
    ///
    /// `value` cannot be written as JSON.
    pub fn push_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BoxError> {
        Ok(encode_json_into(value, self.bytes)?)
    }
}

impl IntoEvent for ServerSentEvent {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        buffer.push(&self)
    }
}

impl<T: Serialize> IntoEvent for Json<T> {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        buffer.push_json(&self.0)
    }
}

impl IntoEvent for serde_json::Value {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        buffer.push_json(&self)
    }
}

impl IntoEvent for &'static str {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        buffer.push(&ServerSentEvent::text(self))
    }
}

impl IntoEvent for String {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        buffer.push(&ServerSentEvent::text(self))
    }
}

impl<T: IntoEvent, E: Into<BoxError>> IntoEvent for Result<T, E> {
    fn write_to(self, buffer: &mut EventBuffer<'_>) -> Result<(), BoxError> {
        self.map_err(Into::into)?.write_to(buffer)
    }
}
