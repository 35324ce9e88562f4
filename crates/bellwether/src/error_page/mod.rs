//! The error page: gives an error response a body that its client can read.
//!
//! A layer around the whole application. It writes a body where there is none (no route, wrong method,
//! a bare status) and where the response has an [`HttpError`]; it turns a panic of a handler into a
//! 500. A body that a handler or layer has written is never touched, and headers are kept, `Allow` among
//! them.
//!
//! Without details a page shows the status and, below 500, the message of the [`HttpError`]. With
//! details, for a developer, it also shows the chain of sources, the panic's message, the method, the
//! path and the route. [`render`] is the pure part.
//!
//! A success passes through with its body unwrapped: the delivery engine must be able to recognise
//! its own bodies.

mod accept;
mod render;

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body as _;
use pin_project_lite::pin_project;
use serde_json::{Value, json};
use tower::{Layer, Service};

use crate::http_error::{HttpError, HttpErrorExtension, reason};
use render::{Details, Page};

/// The layer that gives error responses their page; with `details`, internals are on it.
///
/// Laid over a `Router` by `Router::layer` it knows the matched route.
pub(crate) fn error_pages(details: bool) -> ErrorPagesLayer {
    ErrorPagesLayer { details }
}

/// The name and the data of the event that reports an error in the middle of a stream.
///
/// The data is `{"error":{"message":…,"type":"server_error"},"message":"Internal Server Error","status":500}`. The
/// object `error` is what the SDKs of language models look for: they raise it instead of an odd chunk. An [`HttpError`]
/// below 500 says its own status and message. With `details` there is also `"details"`, the chain of sources.
pub(crate) fn in_band(error: &BoxError, details: bool) -> (&'static str, Value) {
    let (status, message) = public(error);
    let mut data = json!({
        "error": { "message": message, "type": error_kind(status) },
        "status": status.as_u16(),
        "message": message,
    });
    if details {
        let chain = std::iter::successors(
            Some(error.as_ref() as &(dyn std::error::Error + 'static)),
            |&error| error.source(),
        );
        data["details"] = chain.map(ToString::to_string).collect();
    }
    ("bellwether.error", data)
}

/// The status and the message of an error that a client may see.
pub(crate) fn public(error: &BoxError) -> (StatusCode, &str) {
    match HttpError::find(error.as_ref()) {
        Some(known) => (known.status(), known.public_message()),
        None => (
            StatusCode::INTERNAL_SERVER_ERROR,
            reason(StatusCode::INTERNAL_SERVER_ERROR),
        ),
    }
}

/// The kind of an error as OpenAI's API names it.
pub(crate) fn error_kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

/// Logs a warning if internals would be shown to more than this machine.
pub(crate) fn warn_if_public(details: bool, address: SocketAddr) {
    if is_public(details, address) {
        tracing::warn!(
            %address,
            "error details are shown to everybody who reaches this address; \
             turn show_error_details off or bind to 127.0.0.1"
        );
    }
}

fn is_public(details: bool, address: SocketAddr) -> bool {
    // An IPv4 loopback may come written as IPv6 (`::ffff:127.0.0.1`).
    details && !address.ip().to_canonical().is_loopback()
}

/// The layer of [`error_pages`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorPagesLayer {
    details: bool,
}

impl<S> Layer<S> for ErrorPagesLayer {
    type Service = ErrorPagesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorPagesService {
            inner,
            details: self.details,
        }
    }
}

/// A service whose errors get a page.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPagesService<S> {
    inner: S,
    details: bool,
}

impl<S> Service<Request<Body>> for ErrorPagesService<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ErrorPagesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = PageRequest::of(&request, self.details);
        // Own, and not tower-http's catch-panic: that one boxes the body of every response.
        match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
            Ok(future) => ErrorPagesFuture {
                future: Some(future),
                panicked: None,
                asked,
            },
            Err(panic) => ErrorPagesFuture {
                future: None,
                panicked: Some(panic),
                asked,
            },
        }
    }
}

pin_project! {
    /// The future of [`ErrorPagesService`].
    pub(crate) struct ErrorPagesFuture<F> {
        #[pin]
        future: Option<F>,
        panicked: Option<Box<dyn Any + Send>>,
        asked: PageRequest,
    }
}

impl<F> Future for ErrorPagesFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.future.as_mut().as_pin_mut() {
            Some(future) => catch_unwind(AssertUnwindSafe(|| future.poll(cx))),
            None => Ok(Poll::Pending),
        };
        let response = match (polled, this.panicked.take()) {
            (Ok(Poll::Ready(Ok(response))), _) => response,
            (Err(panic), _) | (Ok(_), Some(panic)) => {
                // Never polled again: a future that has panicked may be in any state.
                this.future.set(None);
                panic_error(panic.as_ref()).into_response()
            }
            (Ok(Poll::Pending), None) => return Poll::Pending,
        };
        Poll::Ready(Ok(this.asked.answered(response)))
    }
}

fn panic_error(panic: &(dyn Any + Send)) -> HttpError {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(a value that is no text)");
    HttpError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("handler panicked: {message}"),
    )
}

/// What a page says about the request. Its parts are shared with the request, not copied.
#[derive(Debug)]
struct PageRequest {
    details: bool,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    accept: Option<HeaderValue>,
}

impl PageRequest {
    fn of(request: &Request<Body>, details: bool) -> Self {
        Self {
            details,
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get().cloned(),
            accept: request.headers().get(header::ACCEPT).cloned(),
        }
    }

    /// The response, with a page as its body if it is an error that needs one.
    fn answered(&self, mut response: Response) -> Response {
        let failure = response.extensions_mut().remove::<HttpErrorExtension>();
        if let Some(HttpErrorExtension(error)) = &failure {
            self.log(error);
        } else if !is_bare_error(&response) {
            return response;
        }
        let error = failure.map(|HttpErrorExtension(error)| error);
        let page = self.page(response.status(), error.as_ref());
        let format = accept::preferred(self.accept.as_ref());
        let headers = response.headers_mut();
        let page = page.rendered(format);
        // The old length belongs to the old body; an answer to `HEAD` needs the new one, too.
        headers.insert(header::CONTENT_LENGTH, page.len().into());
        for (name, value) in [
            (header::CONTENT_TYPE, format.content_type()),
            (header::CACHE_CONTROL, "no-store"),
            (
                header::CONTENT_SECURITY_POLICY,
                render::CONTENT_SECURITY_POLICY,
            ),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        *response.body_mut() = Body::from(page);
        response
    }

    fn page<'a>(&'a self, status: StatusCode, error: Option<&'a Arc<HttpError>>) -> Page<'a> {
        // A handler may have changed the status of the response after the error was made; then
        // its message is no longer known to be public.
        let error = error.map(Arc::as_ref);
        let public = error
            .filter(|_| status.is_client_error())
            .map(HttpError::public_message);
        let details = self.details.then(|| Details {
            method: self.method.as_str(),
            path: self.uri.path(),
            route: self.route.as_ref().map(MatchedPath::as_str),
            chain: error.map(HttpError::chain).unwrap_or_default(),
        });
        Page {
            status,
            message: public.unwrap_or(reason(status)),
            details,
        }
    }

    /// Logs what the client is not told. The query is left out: it may hold a secret.
    fn log(&self, error: &HttpError) {
        if error.status().is_client_error() {
            return;
        }
        tracing::error!(
            status = error.status().as_u16(),
            method = %self.method,
            path = self.uri.path(),
            error = error.chain().join(": "),
            "request failed"
        );
    }
}

/// Whether this is an error without a body of its own.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    // Who states a type has meant the body to be empty, or had it taken away in an answer to `HEAD`.
    (status.is_client_error() || status.is_server_error())
        && response.body().size_hint().exact() == Some(0)
        && !response.headers().contains_key(header::CONTENT_TYPE)
}

#[cfg(test)]
mod tests;
