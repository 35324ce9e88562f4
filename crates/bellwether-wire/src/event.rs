//! [`ServerSentEvent`]: one event as the application means it, before it becomes bytes.

use std::time::Duration;

use crate::error::{EncodeError, FieldError};
use crate::field::{EventId, EventName, IntoEventId, IntoEventName};
use crate::text::Text;

#[cfg(feature = "json")]
use crate::json::{self, JsonError};
#[cfg(feature = "json")]
use serde::Serialize;

/// The longest delay that [`ServerSentEvent::retry`] sends, in milliseconds: browsers keep it in 31 bits.
pub(crate) const MAX_RETRY_MS: u32 = i32::MAX as u32;

/// One event: data, name, id, retry delay and comment, each of them optional.
///
/// A clone copies no more than 32 bytes of any text. Whether a field is absent or empty makes a difference and is
/// kept: empty data is delivered, an empty id resets the client's memory of the last one.
///
/// ```
/// use bellwether_wire::{ServerSentEvent, event_name};
///
/// let event = ServerSentEvent::text("two\nlines").event(event_name!("note")).id(7);
/// assert_eq!(event.encode()?, "event: note\ndata: two\ndata: lines\nid: 7\n\n");
/// # Ok::<(), bellwether_wire::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerSentEvent {
    pub(crate) data: Data,
    // Boxed, as most events are data alone: they are moved a lot, and smaller is faster.
    pub(crate) rest: Option<Box<Rest>>,
}

/// What an event has besides data. Invariant: one of the fields is set, since only the setters make one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rest {
    pub(crate) name: Option<EventName>,
    pub(crate) id: Option<EventId>,
    /// Milliseconds, at most `MAX_RETRY_MS`.
    pub(crate) retry: Option<u32>,
    pub(crate) comment: Option<Text>,
    /// The first invalid text that was given as a name or an id.
    pub(crate) mistake: Option<FieldError>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Data {
    #[default]
    None,
    Text(Text),
    #[cfg(feature = "json")]
    Failed(JsonError),
}

impl ServerSentEvent {
    /// An event with no field set, to which the other methods add.
    ///
    /// - `new().comment("still here")` is a comment alone: nothing happens in the browser, the connection is kept busy.
    /// - `new().retry(delay)` only sets the delay before the next reconnect.
    /// - `new().id(id)` only moves the client's last id. Firefox and WebKit lose an id in a block without data;
    ///   send ids together with data.
    ///
    /// As it is, it encodes to no bytes at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// An event with text as its data; empty text is delivered as such.
    ///
    /// Each CR, LF and CRLF is one line break, and all of them arrive as LF: the format has no way to tell them apart.
    /// A `String` is taken over, a `&str` above 32 bytes is copied once ([`Text`] has the whole table). U+0000 is legal
    /// and written as it is; Firefox drops it on arrival.
    pub fn text(data: impl Into<Text>) -> Self {
        Self::new().with_data(data)
    }

    /// An event with a value as JSON as its data.
    ///
    /// The value is serialized here and now. If that fails, the event holds the error, which [`error`](Self::error) and
    /// encoding return. [`try_json`](Self::try_json) is the same with the error in the caller's hands.
    ///
    /// What fails: a float that is NaN or infinite, a map whose keys are no strings or numbers, a `Serialize` that
    /// returns an error. `serde_json::json!` turns such a float into `null` before it gets here.
    ///
    /// ```
    /// use bellwether_wire::ServerSentEvent;
    ///
    /// assert_eq!(ServerSentEvent::json([1, 2]).data(), Some("[1,2]"));
    /// assert!(ServerSentEvent::json(f64::NAN).encode().is_err());
    /// ```
    #[cfg(feature = "json")]
    // By value, so that `json(json!({ .. }))` and `json(&value)` both read well.
    #[allow(clippy::needless_pass_by_value)]
    pub fn json<T: Serialize>(value: T) -> Self {
        let data = match json::to_text(&value) {
            Ok(text) => Data::Text(text),
            Err(error) => Data::Failed(error),
        };
        Self {
            data,
            ..Self::default()
        }
    }

    /// Like [`json`](Self::json), but returns the error at once when the value is no JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError`] in the cases that [`json`](Self::json) lists.
    #[cfg(feature = "json")]
    #[allow(clippy::needless_pass_by_value)]
    pub fn try_json<T: Serialize>(value: T) -> Result<Self, JsonError> {
        Ok(Self::new().with_data(json::to_text(&value)?))
    }

    /// Data of the event, as text; see [`text`](Self::text). It replaces the data that was set before.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Text>) -> Self {
        self.data = Data::Text(data.into());
        self
    }

    /// Name under which the browser dispatches the event. Default: none, which browsers dispatch as
    /// `message`.
    ///
    /// It takes an [`EventName`], or text, which is checked: text with a line break could inject an event.
    /// The event then holds the error, which [`error`](Self::error) and encoding return. `event_name!` checks
    /// a literal when the program is compiled.
    ///
    /// ```
    /// use bellwether_wire::{ServerSentEvent, event_name};
    ///
    /// let event = ServerSentEvent::text("108").event("price");
    /// assert_eq!(event, ServerSentEvent::text("108").event(event_name!("price")));
    /// assert!(ServerSentEvent::text("108").event("pri\nce").encode().is_err());
    /// ```
    #[must_use]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        let name = name.into_event_name();
        let rest = self.rest_mut();
        match name {
            Ok(name) => rest.name = Some(name),
            Err(mistake) => rest.mistake = rest.mistake.or(Some(mistake)),
        }
        self
    }

    /// Id of the event, which the browser sends back as `Last-Event-ID` when it reconnects. Default: none,
    /// which leaves the client's last id as it is.
    ///
    /// It takes an [`EventId`], an integer, or text, which is checked like that of a [name](Self::event).
    ///
    /// ```
    /// use bellwether_wire::ServerSentEvent;
    ///
    /// let event = ServerSentEvent::text("108").id(42);
    /// assert_eq!(event.encode()?, "data: 108\nid: 42\n\n");
    /// # Ok::<(), bellwether_wire::EncodeError>(())
    /// ```
    #[must_use]
    pub fn id(mut self, id: impl IntoEventId) -> Self {
        let id = id.into_event_id();
        let rest = self.rest_mut();
        match id {
            Ok(id) => rest.id = Some(id),
            Err(mistake) => rest.mistake = rest.mistake.or(Some(mistake)),
        }
        self
    }

    /// Time that the browser waits before it reconnects, in whole milliseconds, rounded down. Default: none,
    /// which leaves the browser's own time.
    ///
    /// The largest value is 2³¹ − 1 ms, nearly 25 days; a larger one is sent as that. With zero the browser
    /// reconnects at once (Firefox waits 500 ms at least). Browsers do not spread their reconnects: give each
    /// client its own delay, or all clients of a failed server return in the same moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bellwether_wire::ServerSentEvent;
    ///
    /// let event = ServerSentEvent::text("108").retry(Duration::from_micros(2_999));
    /// assert_eq!(event.retry_delay(), Some(Duration::from_millis(2)));
    /// ```
    #[must_use]
    pub fn retry(mut self, delay: Duration) -> Self {
        let millis = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        self.rest_mut().retry = Some(millis.min(MAX_RETRY_MS));
        self
    }

    /// Comment, which browsers do not show to scripts. It may have several lines and may be empty. Default:
    /// none.
    ///
    /// ```
    /// use bellwether_wire::ServerSentEvent;
    ///
    /// let event = ServerSentEvent::new().comment("still here");
    /// assert_eq!(event.encode()?, ": still here\n");
    /// # Ok::<(), bellwether_wire::EncodeError>(())
    /// ```
    #[must_use]
    pub fn comment(mut self, text: impl Into<Text>) -> Self {
        self.rest_mut().comment = Some(text.into());
        self
    }

    /// The data, if set: text as it was given, JSON as it was serialized.
    pub fn data(&self) -> Option<&str> {
        self.data_text().map(Text::as_str)
    }

    /// The name, if set.
    pub fn event_name(&self) -> Option<&EventName> {
        self.rest.as_ref()?.name.as_ref()
    }

    /// The id, if set.
    pub fn event_id(&self) -> Option<&EventId> {
        self.rest.as_ref()?.id.as_ref()
    }

    /// The delay before the next reconnect as it is sent, if set: whole milliseconds, no more than 2³¹ − 1.
    pub fn retry_delay(&self) -> Option<Duration> {
        let millis = self.rest.as_ref()?.retry?;
        Some(Duration::from_millis(millis.into()))
    }

    /// The comment, if set.
    pub fn comment_text(&self) -> Option<&str> {
        self.rest.as_ref()?.comment.as_ref().map(Text::as_str)
    }

    /// Error with which the event will fail to encode, if any: the value given to [`json`](Self::json) is no
    /// JSON, or the text given as a name or an id is invalid.
    pub fn error(&self) -> Option<EncodeError> {
        match &self.data {
            #[cfg(feature = "json")]
            Data::Failed(error) => Some(EncodeError::from(error.clone())),
            Data::None | Data::Text(_) => {
                let mistake = self.rest.as_ref()?.mistake?;
                Some(EncodeError::from(mistake))
            }
        }
    }

    /// Whether no field is set, so that the event encodes to no bytes.
    pub fn is_empty(&self) -> bool {
        matches!(self.data, Data::None) && self.rest.is_none()
    }

    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    pub(crate) fn data_text(&self) -> Option<&Text> {
        match &self.data {
            Data::Text(text) => Some(text),
            Data::None => None,
            #[cfg(feature = "json")]
            Data::Failed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_small() {
        assert!(
            size_of::<ServerSentEvent>() <= 48,
            "{}",
            size_of::<ServerSentEvent>()
        );
    }

    #[test]
    fn a_retry_delay_is_clamped_and_rounded_down() {
        let delay = |d| ServerSentEvent::new().retry(d).retry_delay().unwrap();
        assert_eq!(delay(Duration::from_micros(1999)), Duration::from_millis(1));
        assert_eq!(delay(Duration::MAX), Duration::from_millis(2_147_483_647));
    }
}
