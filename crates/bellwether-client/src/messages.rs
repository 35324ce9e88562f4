//! [`Messages`]: the messages of a source alone, their data read as JSON.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::control::ControlEvent;
use crate::error::{Error, Kind};
use crate::event_source::EventSource;
use crate::gap::Gap;
use crate::item::Message;

/// From [`EventSource::messages`].
///
/// An `Err` is one of four things: data that is no such value ([`Error::is_json`]), lost history ([`Error::gap`]) and
/// a failure that the server tells ([`Error::is_error_event`]), after which the stream goes on; or the end
/// ([`Error::is_closed`]). Reconnects are not told here. Other events whose name begins with `bellwether.` are left
/// out.
pub struct Messages<T> {
    source: EventSource,
    data: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Messages<T> {
    pub(crate) fn new(source: EventSource) -> Self {
        Self {
            source,
            data: PhantomData,
        }
    }

    /// The next message; `None` after the end. The future is cancel-safe: dropping it loses no message.
    ///
    /// # Errors
    ///
    /// See [`Messages`]. Only an error with [`Error::is_closed`] is the last item.
    pub async fn next(&mut self) -> Option<Result<Message<T>, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The source below, for its last event id, its state or to close it.
    pub fn source(&mut self) -> &mut EventSource {
        &mut self.source
    }
}

impl<T: DeserializeOwned> Stream for Messages<T> {
    type Item = Result<Message<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(self.source.poll_message(cx));
        Poll::Ready(message.map(|message| {
            let message = message?;
            if ControlEvent::of(message.event.as_str()) == Some(ControlEvent::Gap) {
                let gap = Gap::told(&message.data, &message.last_event_id);
                return Err(Kind::Gap(gap).into());
            }
            message.json()
        }))
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.source).finish()
    }
}
