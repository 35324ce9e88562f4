//! What is not an event stream: files, error pages, readiness, streamed content, through an application.

use std::error::Error as _;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Path as Captures;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether::{
    Application, BoxError, HttpError, ServerSentEvent, Stream, StreamedContent, get, post, stream,
};
use http_body_util::BodyExt;
use tower::ServiceExt;

const SECRET: &str = "the password is hunter2";

/// The answer to a request with this `Accept`: status, head and body.
async fn ask(app: &Router, method: &str, path: &str, accept: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty());
    let response = app.clone().oneshot(request.unwrap()).await.unwrap();
    Answer::of(response).await
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

fn refused() -> impl Stream<Item = Result<ServerSentEvent, HttpError>> {
    stream!(
        yield Err(HttpError::new(StatusCode::GONE, "the room is closed")
            .with_source(std::io::Error::other(SECRET)));
    )
}

fn broken() -> impl Stream<Item = Result<ServerSentEvent, BoxError>> {
    stream!(
        yield Err(SECRET.into());
    )
}

async fn panics(Captures(id): Captures<u32>) -> String {
    assert_ne!(id, 7, "{SECRET}");
    id.to_string()
}

fn app(details: bool) -> Router {
    Application::new()
        .show_error_details(details)
        .serve_files(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .health("/ready")
        .route(("/refused", get(refused)))
        .route(("/broken", get(broken)))
        .route(("/panics/{id}", get(panics)))
        .route(("/lib.rs", get(|| "a route")))
        .route(("/post", post(|| "posted")))
        .into_router()
        .unwrap()
}

#[tokio::test]
async fn an_error_before_the_first_event_gets_its_status_and_its_page() {
    let answer = ask(&app(false), "GET", "/refused", "*/*").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (410, "410 Gone\nthe room is closed\n")
    );
    let answer = ask(&app(false), "GET", "/broken", "text/event-stream").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "500 Internal Server Error\n")
    );
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert!(
        !answer.headers.contains_key("x-accel-buffering"),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn internals_are_shown_only_when_asked_for() {
    for path in ["/refused", "/broken", "/panics/7"] {
        for accept in [
            "*/*",
            "text/event-stream, text/html",
            "application/json, */*;q=0.1",
        ] {
            let hidden = ask(&app(false), "GET", path, accept).await;
            assert!(hidden.status >= 400, "{path}");
            assert!(!hidden.body.contains("hunter2"), "{path}: {}", hidden.body);
            let shown = ask(&app(true), "GET", path, accept).await;
            assert!(
                shown.body.contains("hunter2"),
                "{path} {accept}: {}",
                shown.body
            );
        }
    }
}

#[tokio::test]
async fn a_panic_of_one_request_is_a_500_and_leaves_the_others_alone() {
    let app = app(true);
    let answer = ask(&app, "GET", "/panics/7", "text/html").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("/panics/{id}"),
        "the matched route: {}",
        answer.body
    );
    let answer = ask(&app, "GET", "/panics/8", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "8"));
}

#[tokio::test]
async fn a_route_wins_over_a_file_and_a_file_over_not_found() {
    let app = app(false);
    assert_eq!(ask(&app, "GET", "/lib.rs", "*/*").await.body, "a route");
    let file = ask(&app, "GET", "/error.rs", "*/*").await;
    assert_eq!(
        (file.status, file.headers["cache-control"].to_str().unwrap()),
        (200, "no-cache")
    );
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/events",
    ] {
        let answer = ask(&app, "GET", path, "*/*").await;
        let status = if path == "/events" { 307 } else { 404 };
        assert_eq!(answer.status, status, "{path}");
    }
    let answer = ask(&app, "GET", "/nothing", "*/*").await;
    assert_eq!(answer.body, "404 Not Found\n");
}

#[tokio::test]
async fn a_wrong_method_is_a_405_with_a_page_and_allow() {
    let answer = ask(&app(false), "GET", "/post", "text/html").await;
    assert_eq!(
        (answer.status, answer.headers["allow"].to_str().unwrap()),
        (405, "POST")
    );
    assert!(
        answer.body.contains("Method Not Allowed"),
        "{}",
        answer.body
    );
    let answer = ask(&app(false), "DELETE", "/error.rs", "*/*").await;
    assert_eq!(
        (answer.status, answer.headers["allow"].to_str().unwrap()),
        (405, "GET, HEAD")
    );
}

#[tokio::test]
async fn readiness_answers_where_it_was_asked_for() {
    let answer = ask(&app(false), "GET", "/ready", "*/*").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready"));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
}

#[test]
fn a_missing_directory_of_files_is_an_error_at_the_start() {
    let missing = Application::<()>::new().serve_files("no-such-directory");
    let error = missing.into_router().unwrap_err();
    assert!(error.is_configuration(), "{error}");
    assert!(
        error.source().is_some() || error.to_string().contains("no-such-directory"),
        "{error}"
    );
}

#[tokio::test]
async fn streamed_content_is_sent_as_it_is() {
    fn rows() -> impl IntoResponse {
        let rows = stream!(
            yield "name,price\n".to_owned();
            yield String::new();
            yield "tea,4\n".to_owned();
        );
        StreamedContent::new("text/csv", rows).status(StatusCode::ACCEPTED)
    }
    let app = Application::new().route(("/", get(async || rows())));
    let answer = ask(&app.into_router().unwrap(), "GET", "/", "*/*").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (202, "name,price\ntea,4\n")
    );
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/csv");
}

#[tokio::test]
async fn the_fallback_of_a_merged_router_answers_where_no_file_is() {
    let own = |body: String| async move { (StatusCode::NOT_FOUND, format!("my own 404 {body}")) };
    let merged = || Router::new().fallback(own);
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let both = Application::new()
        .serve_files(files)
        .route(("/here", get(|| "a route")))
        .merge(merged());
    for app in [both, Application::new().merge(merged())] {
        let router = app.into_router().unwrap();
        let request = Request::post("/nope")
            .body(Body::from("and the body"))
            .unwrap();
        let answer = Answer::of(router.oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, "my own 404 and the body");
    }
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let router = Application::new().serve_files(files).merge(merged());
    let router = router.into_router().unwrap();
    assert_eq!(ask(&router, "GET", "/lib.rs", "*/*").await.status, 200);
}
