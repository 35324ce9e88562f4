//! From hyper's request to the router's response: limits on the head, extensions, the accounts.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::events;

use super::ServerContext;
use super::connection_state::{BodyProgress, ConnectionState, Detached, Http2Stream, RequestGuard};
use super::refusal;

/// The service that hyper calls for each request of one connection.
#[derive(Clone)]
pub(super) struct ConnectionService {
    shared: Arc<ServerContext>,
    state: Arc<ConnectionState>,
}

impl ConnectionService {
    pub(super) fn new(shared: Arc<ServerContext>, state: Arc<ConnectionState>) -> Self {
        Self { shared, state }
    }

    /// The response to a request whose head is enough to refuse it.
    fn rejection(&self, request: &Request<Incoming>) -> Option<Response> {
        if self.state.refusal.is_some() {
            self.state.note_refused();
            // A probe that gets 503 would cause the restart of a server that serves its clients well.
            if !self
                .shared
                .probes
                .iter()
                .any(|path| path == request.uri().path())
            {
                return Some(refusal::answer(request.method(), request.headers()));
            }
        }
        if !has_valid_host_count(request) {
            return Some(invalid_host_response());
        }
        let limits = &self.shared.limits;
        if target_bytes(request.uri()) > limits.max_uri_bytes {
            return Some(status(StatusCode::URI_TOO_LONG));
        }
        // HTTP/1 requests with too many fields do not get here; hyper has answered them.
        if request.headers().len() > limits.max_head_fields {
            return Some(status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        None
    }
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    /// Boxed, so that an idle event stream does not keep the space that its handler needed.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = RequestGuard::begin(&self.state);
        let is_http1 = request.version() < Version::HTTP_2;
        // HTTP/1.0 knows no chunks; hyper frames its streams by the end of the connection.
        let is_http11 = request.version() == Version::HTTP_11;
        let keeps_alive = !asks_to_close(request.headers());
        let http2 = (!is_http1).then(|| self.state.open_http2_stream());
        if let Some(response) = self.rejection(&request) {
            let response = response.map(|body| ResponseBody {
                body,
                http2,
                _open: open,
            });
            return Box::pin(std::future::ready(Ok(response)));
        }
        let router = self.shared.router.clone();
        let state = Arc::clone(&self.state);
        let is_connect = request.method() == Method::CONNECT;
        let late = Arc::<AtomicBool>::default();
        let time = self.shared.timeouts.body_read;
        let mut request = request.map(|body| request_body(body, is_http1, time, &state, &late));
        let extensions = request.extensions_mut();
        let stream_state = http2
            .as_ref()
            .map_or_else(|| state.stream_state(), |stream| &stream.stream_state);
        extensions.insert(Arc::clone(stream_state));
        if let Some(peer) = state.peer {
            extensions.insert(ConnectInfo(peer));
        }
        Box::pin(async move {
            let mut response = events::answer(router, request).await;
            if late.load(Ordering::Relaxed) && !response.status().is_success() {
                response = status(StatusCode::REQUEST_TIMEOUT);
                if is_http1 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
            }
            if is_http1
                && (response.status() == StatusCode::SWITCHING_PROTOCOLS
                    || is_connect && response.status().is_success())
            {
                state.note_upgrade();
            }
            let is_read = state.is_request_read();
            // Bytes of the body may arrive for as long as the stream lasts. They must never be read as a request, so
            // this connection takes no further one.
            if is_http1 && state.is_streaming() && !is_read {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            if is_http11 && state.is_streaming() && !state.is_body_open() && is_chunked(&response) {
                let is_reusable = is_read && keeps_alive && !asks_to_close(response.headers());
                state.detach(Detached {
                    response,
                    is_reusable,
                });
                // The connection takes the answer away, and drops this future with the rest of hyper.
                return std::future::pending().await;
            }
            Ok(response.map(|body| ResponseBody {
                body,
                http2,
                _open: open,
            }))
        })
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Whether the request has the `Host` that it must have: one field on HTTP/1.1, at most one elsewhere (RFC 9112, section
/// 3.2). Two readers of two fields might route by different ones.
fn has_valid_host_count<B>(request: &Request<B>) -> bool {
    let fields = request.headers().get_all(header::HOST).iter().count();
    fields == 1 || fields == 0 && request.version() != Version::HTTP_11
}

fn invalid_host_response() -> Response {
    let mut response = Response::new(Body::from("a request has exactly one Host field\n"));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The length of a request's target as it was written, near enough for a limit.
fn target_bytes(uri: &Uri) -> usize {
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// Whether hyper sends an answer of unknown length on HTTP/1.1 as chunks, with nothing else to its framing.
fn is_chunked(response: &Response) -> bool {
    let status = response.status();
    let headers = response.headers();
    !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && !headers.contains_key(header::TRAILER)
}

/// Whether the client wants the connection closed after the answer.
fn asks_to_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

fn request_body(
    body: Incoming,
    is_http1: bool,
    time: Duration,
    state: &Arc<ConnectionState>,
    late: &Arc<AtomicBool>,
) -> Body {
    if http_body::Body::is_end_stream(&body) {
        if is_http1 {
            state.set_body(BodyProgress::Read);
        }
        return Body::empty();
    }
    // On HTTP/2 the socket is always read and nothing depends on this.
    let open = is_http1.then(|| BodyTracker::new(state));
    Body::new(RequestBody {
        body,
        time,
        timer: None,
        late: Arc::clone(late),
        open,
    })
}

/// A request body that fails when the next bytes take too long.
struct RequestBody {
    body: Incoming,
    time: Duration,
    /// Exists while the body waits for bytes.
    timer: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
    open: Option<BodyTracker>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.timer = None;
                if (frame.is_none() || this.body.is_end_stream())
                    && let Some(open) = this.open.take()
                {
                    open.end();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let Some(deadline) = Instant::now().checked_add(this.time) else {
                    return Poll::Pending;
                };
                let timer = this
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                ready!(timer.as_mut().poll(cx));
                this.late.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err("the request body did not arrive in time".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reports to the connection, when it is dropped, how far its request was read.
struct BodyTracker {
    state: Arc<ConnectionState>,
    progress: BodyProgress,
}

impl BodyTracker {
    fn new(state: &Arc<ConnectionState>) -> Self {
        state.set_body(BodyProgress::Open);
        Self {
            state: Arc::clone(state),
            progress: BodyProgress::Dropped,
        }
    }

    /// The body has come to its end.
    fn end(mut self) {
        self.progress = BodyProgress::Read;
    }
}

impl Drop for BodyTracker {
    fn drop(&mut self) {
        self.state.set_body(self.progress);
    }
}

/// A response body that ends its request's account when hyper drops it.
pub(super) struct ResponseBody {
    body: Body,
    http2: Option<Arc<Http2Stream>>,
    _open: RequestGuard,
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(stream) = &self.http2 {
            stream.set_unsent(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
