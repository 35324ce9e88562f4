//! [`EventId`] and [`EventName`]: checked once where they are made, and written without a further check.
//!
//! A line break in either would let its author inject whole fields and events, and a client ignores an id
//! with U+0000 (WHATWG HTML 9.2.6), so that the position to resume from would be lost silently.

use std::fmt;
use std::str::FromStr;

use crate::error::{Field, FieldError};
use crate::scanned::Scanned;
use crate::text::Text;

/// The id of an event: any text without CR, LF and U+0000.
///
/// The browser keeps the id of the last event and sends it as `Last-Event-ID` when it reconnects. The empty id is
/// allowed: it resets that memory. An integer becomes its decimal digits, without a heap allocation:
///
/// ```
/// use bellwether_wire::{EventId, event_id};
///
/// assert_eq!(EventId::from(42_u64), event_id!("42"));
/// assert!(EventId::new("1\ndata: forged").is_err());
/// ```
///
/// Ids of printable ASCII without spaces and quotes, up to 128 bytes, travel best: the id comes back in a header.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Text);

/// The name of an event, which a browser passes to `addEventListener`: any text without CR and LF.
///
/// An empty name is allowed and written; clients treat it as `message`, as if no name were given (WHATWG HTML 9.2.6).
///
/// ```
/// use bellwether_wire::{EventName, event_name};
///
/// let name = EventName::new("price")?;
/// assert_eq!(name, event_name!("price"));
///
/// let error = EventName::new("pri\rce").unwrap_err();
/// assert_eq!(error.to_string(), "event name must not contain a line break: found U+000D at byte 3");
/// # Ok::<(), bellwether_wire::FieldError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(Text);

/// An [`EventId`] of a literal, checked when the program is compiled.
///
/// ```
/// let id = bellwether_wire::event_id!("42");
/// assert_eq!(id.as_str(), "42");
/// ```
///
/// A literal that is no id does not compile:
///
/// ```compile_fail
/// let id = bellwether_wire::event_id!("4\02");
/// ```
#[macro_export]
macro_rules! event_id {
    ($text:expr) => {
        const { $crate::EventId::__of_literal($text) }
    };
}

/// An [`EventName`] of a literal, checked when the program is compiled.
///
/// ```
/// let name = bellwether_wire::event_name!("price");
/// assert_eq!(name.as_str(), "price");
/// ```
///
/// A literal that is no name does not compile:
///
/// ```compile_fail
/// let name = bellwether_wire::event_name!("pri\nce");
/// ```
#[macro_export]
macro_rules! event_name {
    ($text:expr) => {
        const { $crate::EventName::__of_literal($text) }
    };
}

impl EventId {
    // For `event_id!`, which calls it in a const block: a bad literal fails the build, never the program.
    #[doc(hidden)]
    pub const fn __of_literal(text: &'static str) -> Self {
        assert!(
            check(Field::Id, text.as_bytes()).is_none(),
            "event id must not contain a line break or U+0000"
        );
        Self(Text::from_static(text))
    }
}

impl EventName {
    /// Becomes empty.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// `message`, the name of an event that names none.
    pub const MESSAGE: Self = Self(Text::from_static("message"));

    // For `event_name!`, like `EventId::__of_literal`.
    #[doc(hidden)]
    pub const fn __of_literal(text: &'static str) -> Self {
        assert!(
            check(Field::Name, text.as_bytes()).is_none(),
            "event name must not contain a line break"
        );
        Self(Text::from_static(text))
    }
}

/// Finds the first byte that the field must not have.
///
/// A plain loop, since it also runs at compile time; ids and names are short.
const fn check(field: Field, text: &[u8]) -> Option<FieldError> {
    let mut at = 0;
    while at < text.len() {
        let found = text[at];
        if matches!(found, b'\r' | b'\n') || (found == 0 && matches!(field, Field::Id)) {
            return Some(FieldError { field, found, at });
        }
        at += 1;
    }
    None
}

/// What the two types share. A macro, as each is to have its own documentation and no trait in between.
macro_rules! checked_text {
    ($type:ident, $field:expr, $what:literal) => {
        impl $type {
            #[doc = concat!("Checks the text of an ", $what, ".")]
            ///
            /// A `String` above 32 bytes is kept without a copy.
            ///
            /// # Errors
            ///
            /// [`FieldError`] names the first character that is not allowed and where it stands.
            pub fn new(text: impl Into<Text>) -> Result<Self, FieldError> {
                let text = text.into();
                // Invariant: nothing gets past this check, and no other code makes a value of unchecked text.
                match check($field, text.as_bytes()) {
                    None => Ok(Self(text)),
                    Some(error) => Err(error),
                }
            }

            /// Becomes the value of a line that was received.
            ///
            /// Invariant: it is part of a line and so has no CR and LF, and the decoder ignores ids with U+0000.
            #[inline]
            pub(crate) fn set_line(&mut self, value: Scanned<'_>) {
                debug_assert!(check($field, value.bytes()).is_none());
                self.0.set(value.text());
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The bytes of the text.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// Whether the text is empty.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl TryFrom<&str> for $type {
            type Error = FieldError;

            fn try_from(text: &str) -> Result<Self, FieldError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = FieldError;

            fn try_from(text: String) -> Result<Self, FieldError> {
                Self::new(text)
            }
        }

        impl FromStr for $type {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::new(text)
            }
        }

        impl From<&$type> for $type {
            fn from(value: &$type) -> Self {
                value.clone()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.0 == **other
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        #[cfg(feature = "json")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "json")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_text!(EventId, Field::Id, "event id");
checked_text!(EventName, Field::Name, "event name");

// All integers, since a bare literal in `.id(42)` is an `i32`.
macro_rules! id_of_integer {
    ($($integer:ty)*) => {$(
        impl From<$integer> for EventId {
            fn from(number: $integer) -> Self {
                Self(Text::from(itoa::Buffer::new().format(number)))
            }
        }
    )*};
}

id_of_integer!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

/// What [`ServerSentEvent::event`](crate::ServerSentEvent::event) takes: a checked name, or text to be checked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event name",
    note = "give an `EventName`, such as `event_name!(\"price\")`, or text, which is checked when the event is encoded"
)]
pub trait IntoEventName {
    /// The name.
    ///
    /// # Errors
    ///
    /// The text is no name.
    fn into_event_name(self) -> Result<EventName, FieldError>;
}

/// What [`ServerSentEvent::id`](crate::ServerSentEvent::id) takes: a checked id, an integer, or text to be checked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event id",
    note = "give an `EventId`, such as `event_id!(\"a1\")`, an integer, or text, which is checked when the event is encoded"
)]
pub trait IntoEventId {
    /// The id.
    ///
    /// # Errors
    ///
    /// The text is no id.
    fn into_event_id(self) -> Result<EventId, FieldError>;
}

macro_rules! into_field {
    ($trait:ident::$method:ident -> $type:ident, checked: $($text:ty)+, taken: $($value:ty)+) => {
        $(impl $trait for $text {
            fn $method(self) -> Result<$type, FieldError> {
                $type::new(self)
            }
        })+
        $(impl $trait for $value {
            fn $method(self) -> Result<$type, FieldError> {
                Ok(self.into())
            }
        })+
    };
}

into_field!(
    IntoEventName::into_event_name -> EventName,
    checked: &str String,
    taken: EventName &EventName
);
into_field!(
    IntoEventId::into_event_id -> EventId,
    checked: &str String,
    taken: EventId &EventId u8 u16 u32 u64 usize i8 i16 i32 i64 isize
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_what_was_found_and_where() {
        let error = EventId::new("ab\0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "event id must not contain a line break or U+0000: found U+0000 at byte 2"
        );
        let error = EventName::new("\nab").unwrap_err();
        assert_eq!(
            error.to_string(),
            "event name must not contain a line break: found U+000A at byte 0"
        );
    }

    #[test]
    fn empty_text_and_other_unicode_breaks_are_allowed() {
        assert!(EventId::new("").is_ok());
        assert!(EventName::new("").is_ok());
        assert!(EventName::new("a\0b").is_ok());
        assert!(EventId::new("\u{2028}\u{85}\u{b}\u{feff}").is_ok());
    }

    #[test]
    fn an_integer_is_an_id_of_its_digits() {
        assert_eq!(EventId::from(u64::MAX), "18446744073709551615");
        assert_eq!(EventId::from(i64::MIN), "-9223372036854775808");
    }
}
