//! [`Message`] and [`MessageRef`]: an event as a client sees it, owned and lent.

use std::borrow::Cow;

use crate::field::{EventId, EventName};

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The event's name; `message` if it has none or an empty one.
    pub event: EventName,
    /// The data; its lines are joined by LF.
    pub data: String,
    /// The last id that the stream has set, with this event or before it; empty if there is none.
    pub last_event_id: EventId,
}

/// An event as a client sees it, borrowed from the input and the decoder: from
/// [`Decoder::decode_ref`](crate::Decoder::decode_ref).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageRef<'a> {
    /// The event's name; `message` if it has none or an empty one.
    pub event: &'a EventName,
    /// The data; its lines are joined by LF. Borrowed from the input if it is one line that lies there whole; owned if
    /// bytes of it had to be replaced, or if it is long and came in pieces.
    pub data: Cow<'a, str>,
    /// The last id that the stream has set, with this event or before it; empty if there is none.
    pub last_event_id: &'a EventId,
}

impl MessageRef<'_> {
    /// The event as a value of its own. Copies data that is borrowed.
    #[inline]
    pub fn into_owned(self) -> Message {
        Message {
            event: self.event.clone(),
            data: self.data.into_owned(),
            last_event_id: self.last_event_id.clone(),
        }
    }
}
