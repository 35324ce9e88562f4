//! [`Item`]: what an event source yields: messages, gaps, and changes of its connection.

use std::sync::Arc;
use std::time::Duration;

use bellwether_wire::{EventId, EventName, MessageRef};
use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind};
use crate::gap::Gap;

/// An item of an [`EventSource`](crate::EventSource), in the order in which things happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// A request is on its way.
    Connecting,
    /// The server has answered with a stream.
    Open(Opened),
    /// An event.
    Message(Message),
    /// Events are lost at this position.
    Gap(Gap),
    /// The connection is over, and the next attempt is decided on.
    Waiting(Waiting),
    /// The stream is over as the caller wished: [`close`](crate::EventSource::close) was called, or the one answer of
    /// [`once`](crate::EventSourceBuilder::once) is complete. Nothing follows.
    Closed,
}

/// An event as it was received.
///
/// `T` is the data: text, or with [`messages`](crate::EventSource::messages) what was read from its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<T = String> {
    /// The event's name; `message` if it has none.
    pub event: EventName,
    /// The data.
    pub data: T,
    /// The last id that the server has set, with this event or before it; empty if there is none.
    pub last_event_id: EventId,
    /// Shared by all messages of a connection; without one, there is no count to keep for each message.
    origin: Option<Arc<str>>,
}

impl<T> Message<T> {
    /// The origin of the stream's URL after redirects, such as `https://example.com`; empty with
    /// [`read_events`](crate::read_events), which does not know it.
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or_default()
    }
}

impl Message {
    /// Reads the data as JSON.
    ///
    /// # Errors
    ///
    /// The data is no JSON, or not of this type: [`Error::is_json`].
    pub fn json<T: DeserializeOwned>(self) -> Result<Message<T>, Error> {
        let data = read_json(&self.event, &self.data)?;
        Ok(Message {
            event: self.event,
            data,
            last_event_id: self.last_event_id,
            origin: self.origin,
        })
    }

    #[inline]
    pub(crate) fn new(message: MessageRef<'_>, origin: Option<&Arc<str>>) -> Self {
        Self {
            event: message.event.clone(),
            data: message.data.into_owned(),
            last_event_id: message.last_event_id.clone(),
            origin: origin.cloned(),
        }
    }
}

impl<T: DeserializeOwned> Message<T> {
    /// Reads JSON without a copy of its text.
    pub(crate) fn read_json(message: &MessageRef<'_>) -> Result<Self, Error> {
        Ok(Self {
            data: read_json(message.event, &message.data)?,
            event: message.event.clone(),
            last_event_id: message.last_event_id.clone(),
            origin: None,
        })
    }
}

fn read_json<T: DeserializeOwned>(event: &EventName, data: &str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(|source| {
        let event = event.as_str().to_owned();
        Kind::Json { event, source }.into()
    })
}

/// The head of the response that opened the stream.
///
/// Compare `url` with the URL of the source to notice a redirect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// URL of the stream, after redirects.
    pub url: Uri,
    /// The header fields of the response.
    pub headers: HeaderMap,
}

/// A reconnect that the source waits for. No call is needed: the next item comes when the wait is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// Time until the reconnect, from the end of the connection on.
    pub delay: Duration,
    /// The failure that ended the connection; `None` if the server ended the stream in good order.
    pub cause: Option<Error>,
}

/// The state of an event source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Not asked for an item yet, or a request is on its way.
    Connecting,
    /// The stream is open.
    Open,
    /// Between two connections.
    Waiting,
    /// Over for good.
    Closed,
}
