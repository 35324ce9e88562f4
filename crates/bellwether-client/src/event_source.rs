//! [`EventSource`]: the driver of the state machine. It owns socket, timer and token, and leaves all decisions to the
//! machine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::builder::{EventSourceBuilder, TokenProvider};
use crate::control::ControlEvent;
use crate::error::{Error, Kind};
use crate::inflate::{Coding, Decompressor, coding};
use crate::item::{Item, Message, State};
use crate::machine::{Action, Failure, Machine, Verdict};
use crate::messages::Messages;
use crate::transport::{Body, Transport, TransportError};

/// How much may be decoded in one poll without an item: a bomb of comments must not keep others of its thread waiting.
const POLL_BYTES: usize = 256 * 1024;

/// A stream of server-sent events that reconnects on its own.
///
/// It yields `Ok` items until it ends. The last item says why: `Ok(Item::Closed)` if the caller wished it,
/// otherwise an `Err` (see the table). After the last item the stream yields `None`, however often it is
/// polled.
///
/// | what happens | item | then |
/// |---|---|---|
/// | no connection, a timeout, a cut stream, the token provider fails | `Ok(Item::Waiting)` with its cause | reconnects |
/// | the server ends the stream | `Ok(Item::Waiting)` without a cause | reconnects |
/// | the same after an event `bellwether.error` or `bellwether.stopping` | `Ok(Item::Waiting)` with a cause | reconnects |
/// | 204 | `Err`, [`Error::is_finished`] | over |
/// | another status; a content type that is no stream | `Err`, [`Error::is_status`], [`Error::is_content_type`] | over, unless [`Retry`](crate::Retry) names the status |
/// | a redirect that must not be followed, a scheme or coding that cannot be read | `Err` | over |
/// | a line or event beyond the limits | `Err`, [`Error::is_limit`] | over |
/// | [`Retry::max_failures`](crate::Retry::max_failures) is reached | `Err`, [`Error::has_given_up`] | over |
///
/// Polling drives it: nothing happens while no item is asked for, and unread data stays in the socket.
/// Dropping the source closes its connection. [`next`](Self::next) and the stream are cancel-safe: a future
/// that is dropped before it is ready has lost nothing.
///
/// It needs the time driver of a tokio runtime, and with [`HyperTransport`](crate::HyperTransport) the
/// network driver.
///
/// ```no_run
/// use bellwether_client::{EventSource, Item};
///
/// # async fn run() -> Result<(), bellwether_client::Error> {
/// let mut source = EventSource::new("http://127.0.0.1:8000/events")?;
/// while let Some(item) = source.next().await {
///     match item? {
///         Item::Message(message) => println!("{}", message.data),
///         Item::Waiting(waiting) => eprintln!("reconnecting: {waiting:?}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct EventSource {
    machine: Machine,
    transport: Arc<dyn Transport>,
    token: Option<TokenProvider>,
    connection: ConnectionPhase,
    timer: Option<Pin<Box<Sleep>>>,
}

enum ConnectionPhase {
    None,
    Sending(Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>),
    Reading(Reading),
}

struct Reading {
    body: Body,
    decompressor: Option<Decompressor>,
    /// Arrived, and not decoded yet.
    chunk: Bytes,
}

impl EventSource {
    /// A source for this URL, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// The URL is no [`Address`](crate::Address): [`Error::is_invalid`].
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// Starts the settings of a source for this URL. A URL that cannot be used is an error of
    /// [`build`](EventSourceBuilder::build).
    pub fn builder(url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(url.as_ref())
    }

    pub(crate) fn with_parts(
        machine: Machine,
        transport: Arc<dyn Transport>,
        token: Option<TokenProvider>,
    ) -> Self {
        Self {
            machine,
            transport,
            token,
            connection: ConnectionPhase::None,
            timer: None,
        }
    }

    /// The next item; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next message or gap, without the state changes; `None` when the source was closed. Cancel-safe.
    ///
    /// Leaves out what a server of Bellwether says about the stream itself, such as `bellwether.finished`.
    ///
    /// # Errors
    ///
    /// A gap, as [`Error::gap`], and an event `bellwether.error`, as [`Error::is_error_event`], after which the
    /// stream goes on; and what ends the stream, then [`Error::is_closed`] is true.
    pub async fn next_message(&mut self) -> Option<Result<Message, Error>> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The messages alone, with their data read as JSON.
    ///
    /// ```no_run
    /// # use bellwether_client::EventSource;
    /// #[derive(serde::Deserialize)]
    /// struct Price { cents: u64 }
    ///
    /// # async fn run() -> Result<(), bellwether_client::Error> {
    /// let mut prices = EventSource::new("https://example.com/prices")?.messages::<Price>();
    /// while let Some(price) = prices.next().await {
    ///     match price {
    ///         Ok(price) => println!("{}", price.data.cents),
    ///         Err(error) if error.is_closed() => return Err(error),
    ///         Err(error) => eprintln!("{error:#}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages<T: DeserializeOwned>(self) -> Messages<T> {
        Messages::new(self)
    }

    /// Closes the connection at once. Items that were not taken are dropped. The last item is
    /// `Ok(Item::Closed)`, unless the source was over before.
    ///
    /// ```
    /// use bellwether_client::{EventSource, Item};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let mut source = EventSource::new("http://127.0.0.1:1/events")?;
    /// source.close();
    /// assert!(matches!(source.next().await, Some(Ok(Item::Closed))));
    /// assert!(source.next().await.is_none());
    /// # Ok::<(), bellwether_client::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn close(&mut self) {
        self.machine.stop();
        self.connection = ConnectionPhase::None;
        self.timer = None;
    }

    /// State of the source: that after the items which were taken, or a later one.
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// Last event id, to be stored for [`last_event_id`](EventSourceBuilder::last_event_id). It is empty if
    /// there is none.
    ///
    /// It belongs to the last event that was read to its end: after a message was taken, to that message or a
    /// later one.
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        loop {
            match std::task::ready!(Pin::new(&mut *self).poll_next(cx)) {
                Some(Ok(Item::Message(message))) => {
                    match ControlEvent::of(message.event.as_str()) {
                        // A gap gets here only where the caller takes gaps for events like any other.
                        None | Some(ControlEvent::Gap) => return Poll::Ready(Some(Ok(message))),
                        Some(ControlEvent::Failed) => {
                            let data = message.data;
                            return Poll::Ready(Some(Err(Kind::ErrorEvent { data }.into())));
                        }
                        Some(_) => {}
                    }
                }
                Some(Ok(Item::Gap(gap))) => return Poll::Ready(Some(Err(Kind::Gap(gap).into()))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, until: std::time::Instant) -> Poll<()> {
        if !matches!(self.connection, ConnectionPhase::Sending(_)) {
            let Some((request, is_trusted)) = self.machine.request() else {
                return Poll::Ready(());
            };
            let token = self.token.clone().filter(|_| is_trusted);
            let transport = Arc::clone(&self.transport);
            self.connection = ConnectionPhase::Sending(Box::pin(send(transport, token, request)));
        }
        let ConnectionPhase::Sending(sending) = &mut self.connection else {
            return Poll::Ready(());
        };
        let Poll::Ready(sent) = sending.as_mut().poll(cx) else {
            return self.poll_time(cx, Some(until));
        };
        self.connection = ConnectionPhase::None;
        let now = now();
        match sent {
            Err(failure) => self.machine.on_failure(now, failure),
            Ok(response) => {
                let (head, body) = response.into_parts();
                let coding = coding(&head.headers);
                let can_decode = coding != Coding::Unknown;
                let verdict = self
                    .machine
                    .on_response(now, head.status, head.headers, can_decode);
                if verdict == Verdict::Read {
                    self.open(now, body, coding);
                }
            }
        }
        Poll::Ready(())
    }

    fn open(&mut self, now: std::time::Instant, body: Body, coding: Coding) {
        let decompressor = match coding {
            Coding::Coded(encoding) => Decompressor::new(encoding).map(Some),
            Coding::Plain | Coding::Unknown => Ok(None),
        };
        match decompressor {
            Err(error) => self.machine.on_failure(now, Kind::Coding(error)),
            Ok(decompressor) => {
                self.connection = ConnectionPhase::Reading(Reading {
                    body,
                    decompressor,
                    chunk: Bytes::new(),
                });
            }
        }
    }

    /// Decodes what there is, or gets more. Takes what it has decoded from `budget`.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        until: Option<std::time::Instant>,
        budget: &mut usize,
    ) -> Poll<()> {
        let ConnectionPhase::Reading(reading) = &mut self.connection else {
            // The machine reads, and there is nothing to read from: as good as an end.
            self.machine.on_end(now());
            return Poll::Ready(());
        };
        let now = now();
        match reading.plain() {
            Err(error) => self.machine.on_failure(now, Kind::Coding(error)),
            Ok(Some(mut input)) => {
                let before = input.len();
                self.machine.decode(now, &mut input);
                let taken = before - input.len();
                *budget = budget.saturating_sub(taken.max(1));
                reading.consume(taken);
            }
            Ok(None) => match Pin::new(&mut reading.body).poll_frame(cx) {
                Poll::Pending => return self.poll_time(cx, until),
                Poll::Ready(None) => {
                    match reading.decompressor.as_ref().map(Decompressor::finish) {
                        Some(Err(error)) => self.machine.on_failure(now, Kind::Coding(error)),
                        Some(Ok(())) | None => self.machine.on_end(now),
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let cut = TransportError::cut(error);
                    self.machine.on_failure(now, cut);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers say nothing about events.
                    if let Ok(chunk) = frame.into_data() {
                        self.machine.on_bytes(now);
                        reading.chunk = chunk;
                    }
                    *budget = budget.saturating_sub(1);
                }
            },
        }
        Poll::Ready(())
    }

    /// Tells the machine when the moment has come. Without one there is nothing to wait for.
    fn poll_time(&mut self, cx: &mut Context<'_>, until: Option<std::time::Instant>) -> Poll<()> {
        let Some(until) = until.map(Instant::from_std) else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        // A deadline that has moved away, as with every byte, is looked at when the old one has come.
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                self.timer = None;
                self.machine.on_time(now());
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Stream for EventSource {
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut budget = POLL_BYTES;
        loop {
            // A source that waits or is over has no connection; it is closed here.
            let action = this.machine.action(now());
            if matches!(action, Action::Wait(_) | Action::Stop) {
                this.connection = ConnectionPhase::None;
            }
            if let Some(item) = this.machine.take_item() {
                return Poll::Ready(Some(item));
            }
            if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            std::task::ready!(match action {
                Action::Connect(until) => this.poll_send(cx, until),
                Action::Read(until) => this.poll_read(cx, until, &mut budget),
                Action::Wait(until) => this.poll_time(cx, Some(until)),
                Action::Stop => return Poll::Ready(None),
            });
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("state", &self.state())
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// Bytes ready to be decoded; `None` if more must arrive first.
    fn plain(&mut self) -> std::io::Result<Option<&[u8]>> {
        if let Some(decompressor) = &mut self.decompressor {
            while decompressor.unread().is_empty() && decompressor.can_step(self.chunk.len()) {
                let taken = decompressor.step(&self.chunk)?;
                self.chunk.advance(taken);
            }
        }
        let bytes = self
            .decompressor
            .as_ref()
            .map_or(&*self.chunk, Decompressor::unread);
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn consume(&mut self, bytes: usize) {
        match &mut self.decompressor {
            Some(decompressor) => decompressor.consume(bytes),
            None => self.chunk.advance(bytes),
        }
    }
}

async fn send(
    transport: Arc<dyn Transport>,
    token: Option<TokenProvider>,
    mut request: Request<Bytes>,
) -> Result<Response<Body>, Failure> {
    if let Some(TokenProvider(provider)) = token {
        let token = provider().await.map_err(Kind::Token)?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|error| Kind::Token(error.into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(transport.send(request).await?)
}

/// The time of tokio's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
