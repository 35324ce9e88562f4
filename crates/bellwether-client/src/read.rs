//! [`read_events`]: the events of one body, without a connection of its own.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bellwether_wire::{Decoder, Limits, MessageRef};
use bytes::Buf;
use futures_core::Stream;
use http_body::Frame;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;

use crate::control::{ControlEvent, StreamEnding};
use crate::error::{BoxError, Error, Kind};
use crate::gap::Gap;
use crate::item::Message;
use crate::transport::TransportError;

/// Reads the events of a response body that any HTTP client got: hyper, reqwest, or a test.
///
/// Looks at nothing but the bytes: status and content type are the caller's to check, and the body must not be
/// compressed any more. Ends with the body; an event that is not finished by then is discarded, as the standard says.
/// Where a server of Bellwether has said whether the stream is whole, by `bellwether.finished` or `bellwether.error`,
/// its word counts more than how the body ended. Its opening event is not shown.
///
/// ```
/// use bellwether_client::read_events;
/// use http_body_util::Full;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let body = Full::new(&b"data: Hel\n\ndata: lo\n\ndata: [DONE]\n\n"[..]);
/// let mut events = read_events(body).until_data("[DONE]");
/// let mut answer = String::new();
/// while let Some(event) = events.next().await {
///     answer += &event?.data;
/// }
/// assert_eq!(answer, "Hello");
/// # Ok::<(), bellwether_client::Error>(())
/// # }).unwrap();
/// ```
pub fn read_events<B>(body: B) -> Events<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    Events {
        body,
        decoder: Decoder::new(),
        piece: None,
        used: 0,
        until_data: None,
        ending: StreamEnding::default(),
        is_over: false,
    }
}

/// Reads the events of a stream of byte pieces, as [`read_events`] does those of a body.
pub fn read_event_bytes<S, D, E>(pieces: S) -> Events<Pieces<S>>
where
    S: Stream<Item = Result<D, E>>,
    D: Buf,
    E: Into<BoxError>,
{
    read_events(Pieces { pieces })
}

pin_project! {
    /// From [`read_events`] and [`read_event_bytes`]: a stream of messages.
    ///
    /// An `Err` is the last item: the body broke off ([`Error::is_transport`]), is beyond the limits
    /// ([`Error::is_limit`]), or ended cleanly after the server had told a failure ([`Error::is_error_event`]).
    /// Afterwards it yields `None`.
    pub struct Events<B: http_body::Body> {
        #[pin]
        body: B,
        decoder: Decoder,
        piece: Option<B::Data>,
        // How many bytes of the piece's first chunk have been decoded and are still to be stepped over.
        used: usize,
        until_data: Option<String>,
        ending: StreamEnding,
        is_over: bool,
    }
}

impl<B: http_body::Body> Events<B> {
    /// Maximum length of a line and maximum size of an event, in bytes. Default: 4 MiB each. Call it before
    /// the first event.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.decoder = Decoder::with_limits(limits);
        self
    }

    /// Data of the event before which the stream ends, such as `[DONE]`, even if the body goes on. Default:
    /// none.
    #[must_use]
    pub fn until_data(mut self, data: impl Into<String>) -> Self {
        self.until_data = Some(data.into());
        self
    }

    /// The last event id so far; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }
}

impl<B> Events<B>
where
    B: http_body::Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// The next event; `None` after the end. Cancel-safe. A body that is not `Unpin` is pinned first, by `Box::pin`.
    ///
    /// # Errors
    ///
    /// See [`Events`].
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next event with its data read as JSON; `None` after the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and [`Error::is_json`], [`Error::gap`] and [`Error::is_error_event`], after which the
    /// stream goes on. Other events whose name begins with `bellwether.` are left out.
    pub async fn next_json<T: DeserializeOwned>(&mut self) -> Option<Result<Message<T>, Error>> {
        // Read right from the bytes that have come: the text itself is not kept.
        let read = |message: MessageRef<'_>| match ControlEvent::of(message.event.as_str()) {
            None => Some(Message::read_json(&message)),
            Some(ControlEvent::Gap) => {
                let gap = Gap::told(&message.data, message.last_event_id);
                Some(Err(Kind::Gap(gap).into()))
            }
            Some(ControlEvent::Failed) => {
                let data = message.data.into_owned();
                Some(Err(Kind::ErrorEvent { data }.into()))
            }
            Some(_) => None,
        };
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_as(cx, read)).await?;
            match next {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<B> Events<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    /// The next event, as `make` makes it.
    #[inline(always)]
    fn poll_as<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        make: impl FnOnce(MessageRef<'_>) -> T,
    ) -> Poll<Option<Result<T, Error>>> {
        let mut this = self.project();
        loop {
            if *this.is_over {
                return Poll::Ready(None);
            }
            if let Some(piece) = this.piece.as_mut() {
                piece.advance(std::mem::take(this.used));
                let chunk = piece.chunk();
                let mut input = chunk;
                match this.decoder.decode_ref(&mut input) {
                    Ok(Some(message)) if this.until_data.as_deref() == Some(&*message.data) => {
                        *this.is_over = true;
                    }
                    Ok(Some(message)) => {
                        *this.used = chunk.len() - input.len();
                        match ControlEvent::of(message.event.as_str()) {
                            None => {}
                            Some(ControlEvent::Open) => continue,
                            Some(control) => this.ending.observe(control, &message.data),
                        }
                        // The event is made where it stays: to hand it on costs more than to decode it.
                        return Poll::Ready(Some(Ok(make(message))));
                    }
                    Ok(None) => {
                        *this.used = chunk.len();
                        if *this.used == piece.remaining() {
                            *this.piece = None;
                            *this.used = 0;
                        }
                    }
                    Err(error) => {
                        *this.is_over = true;
                        return Poll::Ready(Some(Err(Error::from(error).closed())));
                    }
                }
                continue;
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                None => {
                    *this.is_over = true;
                    if let Err(error) = std::mem::take(this.ending).clean() {
                        return Poll::Ready(Some(Err(error.closed())));
                    }
                }
                Some(Ok(frame)) => *this.piece = frame.into_data().ok(),
                Some(Err(_)) if this.ending.is_finished() => *this.is_over = true,
                Some(Err(error)) => {
                    *this.is_over = true;
                    let cut = Kind::Transport(TransportError::cut(error.into()));
                    return Poll::Ready(Some(Err(Error::from(cut).closed())));
                }
            }
        }
    }
}

impl<B> Stream for Events<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    type Item = Result<Message, Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_as(cx, |message| Message::new(message, None))
    }
}

impl<B: http_body::Body> fmt::Debug for Events<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

pin_project! {
    /// A stream of byte pieces as a body.
    #[derive(Debug)]
    pub struct Pieces<S> {
        #[pin]
        pieces: S,
    }
}

impl<S, D, E> http_body::Body for Pieces<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Buf,
{
    type Data = D;
    type Error = E;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<D>, E>>> {
        let piece = ready!(self.project().pieces.poll_next(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}
