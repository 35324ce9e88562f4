//! What an event stream sends, when, and how it ends: the rules of responses, through a router.

mod errors;
mod finishing;
mod heads;
mod leaving;
mod requests;
mod timing;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, Response};
use bellwether::{ServerSentEvent, Stream, stream};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::support::after_retry;

/// The answer of one route to a plain GET.
async fn ask(router: Router) -> Response<Body> {
    ask_with(router, &[]).await
}

async fn ask_with(router: Router, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = HttpRequest::builder().uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

/// An application with one route.
macro_rules! app {
    ($handler:expr) => {
        bellwether::Application::new()
            .route(("/", bellwether::get($handler)))
            .into_router()
            .unwrap()
    };
}

use app;

/// The next frame as text, without the `retry:` with which a stream begins; `None` at a clean end, an error where the
/// stream was cut.
async fn frame(body: &mut Body) -> Option<Result<String, axum::Error>> {
    loop {
        let frame = match body.frame().await? {
            Ok(frame) => frame.into_data().unwrap(),
            Err(error) => return Some(Err(error)),
        };
        let text = std::str::from_utf8(&frame).unwrap();
        match text.starts_with("retry: ").then(|| after_retry(text)) {
            Some("") => {}
            Some(rest) => return Some(Ok(rest.to_owned())),
            None => return Some(Ok(text.to_owned())),
        }
    }
}

/// The whole body, without the `retry:` with which a stream begins.
async fn text(body: Body) -> String {
    let whole = whole(body).await;
    match whole.starts_with("retry: ") {
        true => after_retry(&whole).to_owned(),
        false => whole,
    }
}

async fn whole(body: Body) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn one() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("one");
    )
}

/// Says nothing for a long time.
fn silent() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        sleep(Duration::from_secs(100_000)).await;
        yield ServerSentEvent::text("at last");
    )
}
