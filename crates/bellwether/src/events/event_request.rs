//! One request for events, from its head to the response that answers it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use bellwether_topics::Resumption;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tower::ServiceExt;

use super::accept::accepts_event_stream;
use super::encoder::producer_of;
use super::item::IntoEvent;
use super::response::{EventsBody, Overrides, Pending, PendingEvents};
use crate::http_error::HttpError;
use crate::lifecycle::{DisconnectSignal, Lifecycle, StreamGuard, WeakDisconnectSignal};
use crate::request::sent_last_event_id;
use crate::send::{EventBody, EventProducer, StreamState};
use crate::stream::{FINISHED, StreamDefaults, StreamOptions};

/// What has to be known of a request to answer it with events.
pub(crate) struct EventRequest {
    acceptable: bool,
    /// The id after which the client wants to go on, cut to a length at which it is none of ours.
    last_event_id: Option<String>,
    signal: Arc<DisconnectSignal>,
    stream_state: Option<Arc<StreamState>>,
    defaults: Option<Arc<StreamDefaults>>,
    path: Arc<str>,
}

impl EventRequest {
    /// Reads a request before a handler that is known to stream events.
    ///
    /// # Errors
    ///
    /// The whole answer, where the handler is not needed for it: 406 for a client that takes no event stream, the head
    /// for `HEAD`.
    #[expect(
        clippy::result_large_err,
        reason = "the answer is used up by the only caller"
    )]
    pub(crate) fn open(request: &mut Request) -> Result<Self, Response> {
        let event_request = Self::watch(request);
        if let Some(answer) = event_request.not_acceptable() {
            return Err(answer);
        }
        if request.method() == Method::HEAD {
            // The length is unknown: an empty body would claim that GET answers with no bytes
            // (RFC 9110, section 8.6).
            let mut response = Response::new(Body::new(EventsBody::Taken));
            set_event_stream_headers(response.headers_mut());
            return Err(response);
        }
        Ok(event_request)
    }

    /// Reads a request before a handler that may return any response.
    pub(crate) fn watch(request: &mut Request) -> Self {
        // A client that posts and gets a stream, as the SDKs of language models do, asks for JSON and wants the stream.
        // RFC 9110, section 12.5.1 lets a server send it.
        let is_taken_at_its_word = matches!(*request.method(), Method::GET | Method::HEAD);
        let extensions = request.extensions();
        let linked = extensions
            .get::<WeakDisconnectSignal>()
            .and_then(WeakDisconnectSignal::upgrade);
        let stream_state = extensions.get::<Arc<StreamState>>().cloned();
        let defaults = extensions.get::<Arc<StreamDefaults>>().cloned();
        let path = match extensions.get::<MatchedPath>() {
            Some(matched) => Lifecycle::current().route(matched.as_str()),
            None => request.uri().path().into(),
        };
        let signal = linked.unwrap_or_else(|| {
            let signal = Arc::<DisconnectSignal>::default();
            request
                .extensions_mut()
                .insert(WeakDisconnectSignal::new(&signal));
            signal
        });
        Self {
            acceptable: !is_taken_at_its_word || accepts_event_stream(request.headers()),
            last_event_id: sent_last_event_id(request.headers(), request.uri()),
            signal,
            stream_state,
            defaults,
            path,
        }
    }

    /// Answers with the events of `stream`, once its first item or the head's wait is over.
    pub(crate) async fn events<S>(self, stream: S) -> Response
    where
        S: Stream + Send + 'static,
        S::Item: IntoEvent,
    {
        let mut response = Response::new(Body::empty());
        set_event_stream_headers(response.headers_mut());
        let options = self.options(Overrides::default());
        self.send(response, producer_of(stream), options).await
    }

    /// Completes a response that may have pending events; any other passes as it is.
    pub(crate) async fn finish(self, mut response: Response) -> Response {
        let Some(slot) = response.extensions_mut().remove::<PendingEvents>() else {
            return response;
        };
        let Some(Pending::EventProducer(producer, overrides)) = slot.take() else {
            return response;
        };
        if let Some(answer) = self.refusal(&overrides) {
            return answer;
        }
        let options = self.options(overrides);
        self.send(response, producer, options).await
    }

    /// The answer to a client that gets no events: it does not accept an event stream, or it has read this one to its
    /// end. Only a response with `finish` marks its end.
    pub(super) fn refusal(&self, overrides: &Overrides) -> Option<Response> {
        let is_finished = overrides.finishes() && self.last_event_id.as_deref() == Some(FINISHED);
        self.not_acceptable().or_else(|| {
            is_finished.then(|| {
                let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
                (StatusCode::NO_CONTENT, no_store).into_response()
            })
        })
    }

    fn not_acceptable(&self) -> Option<Response> {
        (!self.acceptable).then(|| {
            let message = "this resource is an event stream: accept text/event-stream";
            HttpError::new(StatusCode::NOT_ACCEPTABLE, message).into_response()
        })
    }

    pub(super) fn options(&self, overrides: Overrides) -> Arc<StreamOptions> {
        match &self.defaults {
            Some(defaults) => overrides.resolve(defaults),
            None => overrides.resolve(&StreamDefaults::default()),
        }
    }

    async fn send(
        self,
        response: Response,
        producer: EventProducer,
        options: Arc<StreamOptions>,
    ) -> Response {
        match self.body(producer, options).await {
            Ok(body) => response.map(|_| Body::new(EventsBody::Events(body))),
            Err(answer) => answer,
        }
    }

    /// The body of the events, primed; or the answer that tells why there are none.
    pub(super) async fn body(
        self,
        mut producer: EventProducer,
        options: Arc<StreamOptions>,
    ) -> Result<EventBody, Response> {
        let is_application = self.defaults.is_some();
        if let Some(id) = &self.last_event_id {
            producer.resume(Resumption::After(id.as_str().into()));
        }
        let has_id = self.last_event_id.is_some();
        let guard = StreamGuard::open(Lifecycle::current(), self.path);
        let mut body = EventBody::new(
            producer,
            options,
            guard,
            self.signal,
            self.stream_state,
            has_id,
        );
        match body.prime().await {
            Ok(()) => Ok(body),
            Err(error) => {
                // The error page of an application logs what it shows.
                if !is_application {
                    body.log_failure(&error);
                }
                Err(HttpError::from_boxed(error).into_response())
            }
        }
    }
}

/// Answers a request by `router`.
pub(crate) async fn answer(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The type of an event stream. The charset is always UTF-8; without the parameter several clients read Latin-1.
pub(crate) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The headers of every event stream. `no-transform` keeps proxies from compressing it,
/// `X-Accel-Buffering` keeps nginx from buffering it.
pub(crate) fn set_event_stream_headers(headers: &mut HeaderMap) {
    const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
    headers.reserve(4);
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (X_ACCEL_BUFFERING, "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
