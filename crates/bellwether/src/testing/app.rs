//! What can be asked, and how a test asks it.

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, header};
use tower::ServiceExt;

use super::response::TestResponse;
use crate::application::{Application, StateGiven};

/// What [`oneshot`] can ask: an [`Application`] or an axum `Router`, both with their state given.
///
/// A router is cheap to clone, so a test that asks several times keeps one and gives `&router`.
pub trait App: sealed::SealedApp {
    // Hidden: a name for what `oneshot` does first, no call for users.
    #[doc(hidden)]
    fn into_test_router(self) -> Router;
}

mod sealed {
    use super::{Application, Router};

    pub trait SealedApp {}
    impl<S> SealedApp for Application<S> {}
    impl SealedApp for Router {}
    impl SealedApp for &Router {}
}

impl<S> App for Application<S>
where
    Self: StateGiven,
{
    fn into_test_router(self) -> Router {
        self.into_router()
            .unwrap_or_else(|error| panic!("the application cannot be served: {error}"))
    }
}

impl App for Router {
    fn into_test_router(self) -> Router {
        self
    }
}

impl App for &Router {
    fn into_test_router(self) -> Router {
        self.clone()
    }
}

/// Sends one request, without a socket, and waits for the head of the response.
///
/// The events come while the test reads them from the [`TestResponse`]; dropping it is what a client does that leaves. The
/// head comes with the first item of the stream, or after [`head_wait`](crate::StreamDefaults::head_wait), as on a
/// socket. Needs a tokio runtime with time.
///
/// # Panics
///
/// If the application cannot be served, because the directory of its static files is missing.
///
/// ```
/// use bellwether::testing::{oneshot, request};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let router = axum::Router::new().route("/", bellwether::get(|| "no stream"));
/// let response = oneshot(&router, request("/")).await;
/// assert_eq!(response.text().await, "no stream");
/// assert_eq!(oneshot(&router, request("/nowhere")).await.status(), 404);
/// # });
/// ```
pub async fn oneshot(app: impl App, request: Request<Body>) -> TestResponse {
    match app.into_test_router().oneshot(request).await {
        Ok(response) => TestResponse::new(response),
        Err(never) => match never {},
    }
}

/// A GET for `path` as an `EventSource` sends it.
///
/// # Panics
///
/// If `path` is no path.
#[must_use]
pub fn request(path: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path
        .parse()
        .unwrap_or_else(|error| panic!("{path:?} is no path: {error}"));
    let accept = HeaderValue::from_static("text/event-stream");
    request.headers_mut().insert(header::ACCEPT, accept);
    request
}

/// As [`request`], by a client that comes back after the event with this id.
///
/// # Panics
///
/// If `path` is no path, or `id` cannot be the value of a header.
#[must_use]
pub fn request_after(path: &str, id: impl AsRef<str>) -> Request<Body> {
    let mut request = request(path);
    set_last_event_id(&mut request, id.as_ref());
    request
}

/// Makes it the request of a client that has seen this id last.
pub(super) fn set_last_event_id(request: &mut Request<Body>, id: &str) {
    // By bytes: an id may hold any text but line breaks and NUL, and goes out in UTF-8.
    let id = HeaderValue::from_bytes(id.as_bytes())
        .unwrap_or_else(|_| panic!("the id {id:?} cannot be the value of a header"));
    request.headers_mut().insert("last-event-id", id);
}
