//! The response of an event stream, with the settings that a handler can make.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bellwether_topics::Resumption;
use bellwether_wire::{EventName, ServerSentEvent};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;

use super::encoder::producer_of;
use super::error_shape::ErrorShape;
use super::event_request::set_event_stream_headers;
use super::item::IntoEvent;
use crate::http_error::HttpError;
use crate::lifecycle::{Lifecycle, StreamGuard};
use crate::send::{EventBody, EventProducer};
use crate::stream::options::{ErrorEvent, KeepAlive, OnStop, StreamDefaults, StreamOptions};

/// A response that streams events, with a status, headers and behaviour of its own.
///
/// Settings that are not made here come from the application's [`StreamDefaults`]. The headers of an event
/// stream (`text/event-stream`, `Cache-Control: no-store, no-transform`, `X-Accel-Buffering: no`,
/// `X-Content-Type-Options: nosniff`) are always set.
///
/// It is an `IntoResponse` and so works in any axum app. Returned from a handler that
/// [`bellwether::get`](fn@crate::get) made, or served by an [`Application`](crate::Application), it also
/// waits for the first item, so that an early error has its real status. It answers clients that do not
/// accept an event stream with 406, and after [`finish`](Self::finish) a client that has read the whole
/// stream with 204.
///
/// ```
/// use std::time::Duration;
/// use bellwether::{ServerEventsResponse, ServerSentEvent, Stream, get, stream};
///
/// fn provider() -> impl Stream<Item = ServerSentEvent> {
///     stream!( yield ServerSentEvent::text("hello"); )
/// }
///
/// #[get("/events")]
/// async fn events() -> ServerEventsResponse {
///     ServerEventsResponse::new(provider())
///         .header("x-feed", "demo")
///         .keep_alive(Duration::from_secs(5))
/// }
/// ```
#[must_use]
pub struct ServerEventsResponse {
    producer: EventProducer,
    status: StatusCode,
    headers: HeaderMap,
    mistake: Option<String>,
    overrides: Overrides,
}

impl ServerEventsResponse {
    /// A response that streams what `events` yields, with status 200.
    pub fn new<S>(events: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: IntoEvent,
    {
        Self {
            producer: producer_of(events),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            mistake: None,
            overrides: Overrides::default(),
        }
    }

    /// HTTP status of the response. Default: 200.
    ///
    /// Browsers treat every other status as the end of the stream and do not reconnect (WHATWG HTML, section
    /// 9.2.3).
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Header of the response. It replaces one of the same name that was set before.
    ///
    /// The default headers stay unless one of them is set by its name. `Content-Type` and hop-by-hop headers
    /// (`Connection`, `Keep-Alive`, `Transfer-Encoding`, `Upgrade`) cannot be set, since the response would
    /// no longer be an event stream. A header that cannot be sent makes the response a 500, and the log names
    /// it.
    ///
    /// ```
    /// use bellwether::{ServerEventsResponse, ServerSentEvent, stream};
    /// use http::StatusCode;
    /// use axum::response::IntoResponse;
    ///
    /// let events = || stream!( yield ServerSentEvent::text("hello"); );
    /// let response = ServerEventsResponse::new(events()).header("x-feed", "demo").into_response();
    /// assert_eq!(response.headers()["x-feed"], "demo");
    ///
    /// let refused = ServerEventsResponse::new(events()).header("connection", "close").into_response();
    /// assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    /// ```
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: fmt::Display,
        V: TryInto<HeaderValue>,
        V::Error: fmt::Display,
    {
        let fixed = |name: &HeaderName| {
            [
                header::CONTENT_TYPE,
                header::CONNECTION,
                header::TRANSFER_ENCODING,
                header::UPGRADE,
            ]
            .contains(name)
                || name == "keep-alive"
        };
        let mistake = match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(_)) if fixed(&name) => {
                format!("the header {name} of an event stream cannot be set")
            }
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
                return self;
            }
            (Err(error), _) => format!("a header name cannot be sent: {error}"),
            (Ok(name), Err(error)) => {
                format!("the value of the header {name} cannot be sent: {error}")
            }
        };
        self.mistake.get_or_insert(mistake);
        self
    }

    /// Interval after which this stream sends a comment if it was idle. Default: that of the application, 15
    /// s.
    ///
    /// See [`StreamDefaults::keep_alive`] for what a too short or too long interval costs.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        let bytes = KeepAlive::COMMENT;
        self.overrides.keep_alive = Some(Some(KeepAlive { interval, bytes }));
        self
    }

    /// Event that is sent when nothing was sent for `interval`: a keep-alive that scripts can see. Default: a
    /// comment, which they cannot.
    ///
    /// Give the event a name of its own and no id, because an id would move the client's position in the
    /// stream. An event that cannot be encoded makes the response a 500.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bellwether::{ServerEventsResponse, ServerSentEvent, event_name, stream};
    ///
    /// let heartbeat = ServerSentEvent::text("").event(event_name!("heartbeat"));
    /// let events = stream!( yield ServerSentEvent::text("hello"); );
    /// let response =
    ///     ServerEventsResponse::new(events).keep_alive_event(Duration::from_secs(5), &heartbeat);
    /// # drop(response);
    /// ```
    pub fn keep_alive_event(mut self, interval: Duration, event: &ServerSentEvent) -> Self {
        match event.encode() {
            Ok(bytes) => self.overrides.keep_alive = Some(Some(KeepAlive { interval, bytes })),
            Err(error) => {
                self.mistake
                    .get_or_insert(format!("the keep-alive event: {error}"));
            }
        }
        self
    }

    /// Sends nothing while the stream is idle; see [`StreamDefaults::no_keep_alive`].
    pub fn no_keep_alive(mut self) -> Self {
        self.overrides.keep_alive = Some(None);
        self
    }

    /// Time that the client waits before it reconnects, in milliseconds on the wire. It is sent at the start
    /// of the stream.
    ///
    /// Default: a random time from 2 to 4 s, so that the clients of a server that was killed do not all
    /// reconnect at once. A fixed time gives this up. A short one makes clients ask a server that is down
    /// very often; a long one leaves gaps.
    pub fn retry(mut self, delay: Duration) -> Self {
        self.overrides.retry = Some(delay);
        self
    }

    /// Marks the end of the stream as final: the client shall not reconnect.
    ///
    /// After the last item the stream sends an event `bellwether.finished` with an id of the same text. Every
    /// `EventSource` reconnects and sends that id back. The answer is then 204, which makes it stop. A stream
    /// that fails or that a stop ends is not marked.
    pub fn finish(mut self) -> Self {
        self.overrides.finish = true;
        self
    }

    /// Function that writes the event for an error after the first item.
    ///
    /// Default: an event `bellwether.error` with the data
    /// `{"error":{"message":…,"type":…},"message":…,"status":…}`. An id in the event is sent as it is; an
    /// event without one leaves the client's position where it was, so that the client resumes after the last
    /// good event.
    ///
    /// ```
    /// use bellwether::{ServerEventsResponse, ServerSentEvent, event_name, stream};
    ///
    /// let events = stream!( yield ServerSentEvent::text("hello"); );
    /// let response = ServerEventsResponse::new(events)
    ///     .error_event(|_| ServerSentEvent::text("try again later").event(event_name!("failed")));
    /// # drop(response);
    /// ```
    pub fn error_event<F>(mut self, make: F) -> Self
    where
        F: Fn(&BoxError) -> ServerSentEvent + Send + Sync + 'static,
    {
        self.overrides.error_event = Some(Arc::new(make));
        self
    }

    /// Writes an error after the first event in the shape that the clients of a vendor's API raise as their own.
    /// Default: none, `bellwether.error` with an object `error` in its data, which OpenAI's SDKs raise too.
    ///
    /// ```
    /// use bellwether::{ErrorShape, ServerEventsResponse, ServerSentEvent, post, stream};
    ///
    /// #[post("/v1/messages")]
    /// async fn messages() -> ServerEventsResponse {
    ///     let tokens = stream!( yield ServerSentEvent::text("{}"); );
    ///     ServerEventsResponse::new(tokens).error_shape(ErrorShape::Anthropic)
    /// }
    /// ```
    pub fn error_shape(self, shape: ErrorShape) -> Self {
        self.error_event(move |error| shape.event(error))
    }

    /// Name of the event that reports an error. Default: `bellwether.error`.
    ///
    /// The name `error` alone would reach a browser's handler for connection errors.
    pub fn error_event_name(mut self, name: EventName) -> Self {
        self.overrides.error_name = Some(Some(name));
        self
    }

    /// Name of the event that reports lost history to the reader of a subscription ([`Gap`](crate::Gap)).
    /// Default: `bellwether.gap`.
    pub fn gap_event_name(mut self, name: EventName) -> Self {
        self.overrides.gap_name = Some(Some(name));
        self
    }

    /// Sends no `bellwether.open`; see [`StreamDefaults::no_open_event`].
    pub fn no_open_event(mut self) -> Self {
        self.overrides.no_open = true;
        self
    }

    /// Sends no event for lost history. Readers then cannot know that events are missing.
    pub fn no_gap_event(mut self) -> Self {
        self.overrides.gap_name = Some(None);
        self
    }

    /// Sends no event for an error. The client sees only that the stream is cut.
    pub fn no_error_event(mut self) -> Self {
        self.overrides.error_name = Some(None);
        self.overrides.error_event = None;
        self
    }

    /// Maximum time that the head waits for the first item; see [`StreamDefaults::head_wait`].
    pub fn head_wait(mut self, wait: Duration) -> Self {
        self.overrides.head_wait = Some(wait);
        self
    }

    /// Time for the clean-up of a generator whose client has disconnected; see
    /// [`StreamDefaults::leave_grace`].
    pub fn leave_grace(mut self, grace: Duration) -> Self {
        self.overrides.leave_grace = Some(grace);
        self
    }

    /// What happens to this stream when the server begins to stop. Default: [`OnStop::EndSoon`].
    pub fn on_stop(mut self, on_stop: OnStop) -> Self {
        self.overrides.on_stop = on_stop;
        self
    }
}

impl fmt::Debug for ServerEventsResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEventsResponse")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl IntoResponse for ServerEventsResponse {
    fn into_response(self) -> Response {
        if let Some(mistake) = self.mistake {
            tracing::error!(target: "bellwether::stream", mistake, "response cannot be sent");
            return HttpError::from_boxed(mistake.into()).into_response();
        }
        let pending = PendingEvents::new(Pending::EventProducer(self.producer, self.overrides));
        let mut response = Response::new(Body::new(EventsBody::Pending(pending.clone())));
        *response.status_mut() = self.status;
        set_event_stream_headers(response.headers_mut());
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(pending);
        response
    }
}

/// What a response sets; the rest is the application's.
#[derive(Default)]
pub(super) struct Overrides {
    keep_alive: Option<Option<KeepAlive>>,
    retry: Option<Duration>,
    finish: bool,
    on_stop: OnStop,
    head_wait: Option<Duration>,
    leave_grace: Option<Duration>,
    error_name: Option<Option<EventName>>,
    error_event: Option<ErrorEvent>,
    gap_name: Option<Option<EventName>>,
    no_open: bool,
}

impl Overrides {
    /// Whether the stream says at its end that it is finished.
    pub(super) fn finishes(&self) -> bool {
        self.finish
    }

    /// The settings of the stream: these over `defaults`.
    pub(super) fn resolve(self, defaults: &StreamDefaults) -> Arc<StreamOptions> {
        let base = defaults.options();
        if self.is_none() {
            return base;
        }
        let base = StreamOptions::clone(&base);
        Arc::new(StreamOptions {
            keep_alive: self.keep_alive.unwrap_or(base.keep_alive),
            retry: self.retry,
            finish: self.finish,
            on_stop: self.on_stop,
            head_wait: self.head_wait.unwrap_or(base.head_wait),
            leave_grace: self.leave_grace.unwrap_or(base.leave_grace),
            error_name: self.error_name.unwrap_or(base.error_name),
            error_event: self.error_event,
            show_error_details: base.show_error_details,
            gap_name: self.gap_name.unwrap_or(base.gap_name),
            open_name: base.open_name.filter(|_| !self.no_open),
            engine: base.engine,
        })
    }

    /// Whether nothing is set, so that streams share the options of the application.
    fn is_none(&self) -> bool {
        self.keep_alive.is_none()
            && self.retry.is_none()
            && !self.finish
            && self.on_stop == OnStop::default()
            && self.head_wait.is_none()
            && self.leave_grace.is_none()
            && self.error_name.is_none()
            && self.error_event.is_none()
            && self.gap_name.is_none()
            && !self.no_open
    }
}

/// The events of a response before its body is polled.
pub(super) enum Pending {
    /// As the handler gave them.
    EventProducer(EventProducer, Overrides),
    /// Completed by an event request.
    Body(EventBody),
}

/// The slot in the response's extensions from which an event request takes the pending events and
/// where the body finds them.
#[derive(Clone)]
pub(super) struct PendingEvents(Arc<Mutex<Option<Pending>>>);

impl PendingEvents {
    fn new(pending: Pending) -> Self {
        Self(Arc::new(Mutex::new(Some(pending))))
    }

    /// The events, for the first taker.
    pub(super) fn take(&self) -> Option<Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts completed events back for the body.
    pub(super) fn put(&self, pending: Pending) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
    }
}

/// The body that goes into a response: events, or the slot where they are found when it is first polled,
/// completed by an event request, or, under a foreign router, as the handler gave them.
#[expect(
    clippy::large_enum_variant,
    reason = "events are the usual case, a box of their own would cost more"
)]
pub(super) enum EventsBody {
    Pending(PendingEvents),
    Events(EventBody),
    /// The events went into another response.
    Taken,
}

impl EventsBody {
    fn events(pending: &PendingEvents) -> Self {
        match pending.take() {
            Some(Pending::Body(body)) => Self::Events(body),
            Some(Pending::EventProducer(mut producer, overrides)) => {
                // Nothing of ours has seen the request, so what the client has had is not known.
                producer.resume(Resumption::Unknown);
                warn_of_doubt(&producer);
                let options = overrides.resolve(&StreamDefaults::default());
                let guard = StreamGuard::open(Lifecycle::current(), "".into());
                Self::Events(EventBody::new(
                    producer,
                    options,
                    guard,
                    Arc::default(),
                    None,
                    false,
                ))
            }
            None => Self::Taken,
        }
    }
}

/// Warns, once in a process, of a route that cannot resume its subscriptions.
fn warn_of_doubt(producer: &EventProducer) {
    static WARNING: Once = Once::new();
    if matches!(producer, EventProducer::Subscription(subscription) if subscription.begins_in_doubt())
    {
        WARNING.call_once(|| {
            tracing::warn!(
                target: "bellwether::stream",
                "a handler of a plain axum route returned a subscription, which cannot see the client's Last-Event-ID: \
                 every client is told a gap first; route the handler with bellwether::get, or say `after` when it subscribes"
            );
        });
    }
}

impl http_body::Body for EventsBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Self::Pending(pending) = &*self {
            let events = Self::events(pending);
            *self = events;
        }
        match &mut *self {
            Self::Events(body) => Pin::new(body).poll_frame(cx),
            Self::Pending(_) | Self::Taken => Poll::Ready(None),
        }
    }
}
