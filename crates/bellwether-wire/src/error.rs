//! The errors of this crate: one small type for each thing that can fail.

use std::fmt;

/// Text that cannot be an event id or an event name, from their constructors.
///
/// It is a mistake of the caller, or of the peer that sent the text to the caller.
///
/// ```
/// use bellwether_wire::EventName;
///
/// let error = EventName::new("pri\nce").unwrap_err();
/// assert_eq!((error.found(), error.position()), ('\n', 3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub(crate) field: Field,
    pub(crate) found: u8,
    pub(crate) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    Name,
}

impl FieldError {
    /// The character that is not allowed: `'\r'`, `'\n'` or `'\0'`.
    pub fn found(&self) -> char {
        char::from(self.found)
    }

    /// Position of the character, in bytes from the start of the text.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.field {
            Field::Id => "event id must not contain a line break or U+0000",
            Field::Name => "event name must not contain a line break",
        };
        write!(f, "{rule}: found U+{:04X} at byte {}", self.found, self.at)
    }
}

impl std::error::Error for FieldError {}

/// An event that cannot be encoded.
///
/// Either the value given to [`ServerSentEvent::json`](crate::ServerSentEvent::json) or
/// [`encode_json_into`](crate::encode_json_into) is no JSON, or the text given as a name or an id is invalid.
/// No other event can fail.
///
/// ```
/// use bellwether_wire::ServerSentEvent;
///
/// let error = ServerSentEvent::json(f64::NAN).encode().unwrap_err();
/// assert!(error.json().is_some() && error.field().is_none());
///
/// let error = ServerSentEvent::text("108").id("4\n2").encode().unwrap_err();
/// assert_eq!(error.field().map(|field| field.found()), Some('\n'));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    kind: EncodeErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EncodeErrorKind {
    #[cfg(feature = "json")]
    Json(crate::json::JsonError),
    Field(FieldError),
}

impl EncodeError {
    /// The error of the JSON value, if that is what failed.
    #[cfg(feature = "json")]
    pub fn json(&self) -> Option<&crate::json::JsonError> {
        match &self.kind {
            EncodeErrorKind::Json(error) => Some(error),
            EncodeErrorKind::Field(_) => None,
        }
    }

    /// The error of the name or the id, if that is what failed.
    pub fn field(&self) -> Option<&FieldError> {
        match &self.kind {
            #[cfg(feature = "json")]
            EncodeErrorKind::Json(_) => None,
            EncodeErrorKind::Field(error) => Some(error),
        }
    }
}

impl From<FieldError> for EncodeError {
    fn from(error: FieldError) -> Self {
        Self {
            kind: EncodeErrorKind::Field(error),
        }
    }
}

#[cfg(feature = "json")]
impl From<crate::json::JsonError> for EncodeError {
    fn from(error: crate::json::JsonError) -> Self {
        Self {
            kind: EncodeErrorKind::Json(error),
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            #[cfg(feature = "json")]
            EncodeErrorKind::Json(error) => fmt::Display::fmt(error, f),
            EncodeErrorKind::Field(error) => fmt::Display::fmt(error, f),
        }
    }
}

// The message is that of the error inside, so that is no separate source.
impl std::error::Error for EncodeError {}

/// A stream that is beyond the decoder's [`Limits`](crate::Limits): the peer's fault, or a limit that is too
/// low.
///
/// ```
/// use bellwether_wire::{Decoder, Limits};
///
/// let limits = Limits::default().max_line_bytes(8);
/// let mut decoder = Decoder::with_limits(limits);
/// let error = decoder.decode(&mut &b"data: far too long\n\n"[..]).unwrap_err();
/// assert!(error.is_line_too_long());
/// assert_eq!(error.allowed_bytes(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub(crate) limit: Limit,
    pub(crate) allowed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Limit {
    Line,
    Event,
}

impl DecodeError {
    /// Whether a line was longer than `max_line_bytes`.
    pub fn is_line_too_long(&self) -> bool {
        self.limit == Limit::Line
    }

    /// Whether an event was larger than `max_event_bytes`.
    pub fn is_event_too_large(&self) -> bool {
        self.limit == Limit::Event
    }

    /// The limit that was in force, in bytes.
    pub fn allowed_bytes(&self) -> usize {
        self.allowed
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.limit {
            Limit::Line => "a line",
            Limit::Event => "an event",
        };
        write!(
            f,
            "cannot decode the event stream: found {what} of more than {} bytes",
            self.allowed
        )
    }
}

impl std::error::Error for DecodeError {}
