//! What an error looks like from outside, with and without details.

#![allow(clippy::unwrap_used)]

use std::io;

use axum::Router;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

const SECRET: &str = "password=hunter2";

async fn fails() -> Result<&'static str, HttpError> {
    Err(io::Error::other(SECRET))?;
    Ok("never")
}

async fn refuses() -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, "quantity <must> be a number")
        .with_source(io::Error::other(SECRET))
}

async fn panics() -> &'static str {
    if std::hint::black_box(true) {
        panic!("{SECRET}");
    }
    "never"
}

fn app(details: bool) -> Router {
    Router::new()
        .route("/fails/{id}", get(fails))
        .route("/refuses", get(refuses))
        .route("/panics", get(panics))
        .route("/post", post(|| async { "posted" }))
        .route(
            "/own",
            get(|| async { (StatusCode::IM_A_TEAPOT, "my own page") }),
        )
        .route(
            "/bare",
            get(|| async { ([("retry-after", "7")], StatusCode::SERVICE_UNAVAILABLE) }),
        )
        .route(
            "/untyped",
            get(|| async { (StatusCode::NOT_FOUND, Body::from("raw")) }),
        )
        .route(
            "/typed",
            get(|| async { ([("content-type", "x/y")], StatusCode::NOT_FOUND) }),
        )
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/fine", get(|| async { "fine" }))
        .layer(error_pages(details))
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

async fn ask(details: bool, method: &str, path: &str, accept: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept);
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = app(details).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn without_details_internals_are_in_no_format() {
    for accept in ["text/html", "application/json", "*/*"] {
        for (path, status) in [("/fails/7", 500), ("/panics", 500), ("/refuses", 400)] {
            let answer = ask(false, "GET", path, accept).await;
            assert_eq!(answer.status, status, "{path}");
            for internal in [SECRET, "panic", "{id}", "show_error_details", path] {
                assert!(
                    !answer.body.contains(internal),
                    "{path} {accept}: {}",
                    answer.body
                );
            }
        }
    }
}

#[tokio::test]
async fn with_details_the_chain_the_panic_and_the_route_are_shown() {
    for accept in ["text/html", "application/json", "*/*"] {
        for path in ["/fails/7", "/panics", "/refuses"] {
            let answer = ask(true, "GET", &format!("{path}?token=t0k3n"), accept).await;
            assert!(
                answer.body.contains(SECRET),
                "{path} {accept}: {}",
                answer.body
            );
            assert!(
                answer.body.contains(path),
                "{path} {accept}: {}",
                answer.body
            );
            assert!(
                !answer.body.contains("t0k3n"),
                "the query may hold a secret"
            );
        }
        assert!(
            ask(true, "GET", "/fails/7", accept)
                .await
                .body
                .contains("/fails/{id}")
        );
        assert!(
            ask(true, "GET", "/panics", accept)
                .await
                .body
                .contains("handler panicked")
        );
    }
}

#[tokio::test]
async fn the_message_of_a_4xx_is_public_and_escaped() {
    let answer = ask(false, "GET", "/refuses", "text/html").await;
    assert!(
        answer.body.contains("quantity &lt;must&gt; be a number"),
        "{}",
        answer.body
    );
    let answer = ask(false, "GET", "/refuses", "application/json").await;
    assert_eq!(
        answer.body,
        r#"{"message":"quantity <must> be a number","status":400}"#
    );
}

#[tokio::test]
async fn a_page_runs_nothing_and_is_kept_nowhere() {
    for path in ["/fails/7", "/panics", "/refuses", "/nothing"] {
        let answer = ask(true, "GET", path, "text/html").await;
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("script"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let length: usize = answer.headers["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(length, answer.body.len());
    }
}

#[tokio::test]
async fn no_route_and_a_wrong_method_get_a_page_and_keep_allow() {
    let answer = ask(false, "GET", "/nothing", "application/json").await;
    assert_eq!(answer.body, r#"{"message":"Not Found","status":404}"#);
    let answer = ask(false, "GET", "/post", "*/*").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (405, "405 Method Not Allowed\n")
    );
    assert_eq!(answer.headers["allow"], "POST");
    let answer = ask(false, "GET", "/bare", "*/*").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "503 Service Unavailable\n")
    );
    assert_eq!(answer.headers["retry-after"], "7");
}

#[tokio::test]
async fn the_body_of_somebody_else_is_never_touched() {
    let answer = ask(true, "GET", "/own", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (418, "my own page"));
    assert!(!answer.headers.contains_key("content-security-policy"));
    let answer = ask(true, "GET", "/untyped", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "raw"));
    let answer = ask(true, "GET", "/typed", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, ""));
    assert_eq!(answer.headers["content-type"], "x/y");
    let answer = ask(true, "GET", "/fine", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "fine"));
    let answer = ask(true, "GET", "/empty", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let answer = ask(true, "HEAD", "/own", "text/html").await;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["content-length"], "11");
}

#[tokio::test]
async fn head_gets_the_head_of_the_page() {
    let page = ask(false, "GET", "/fails/7", "text/html").await;
    let answer = ask(false, "HEAD", "/fails/7", "text/html").await;
    assert_eq!((answer.status, answer.body.as_str()), (500, ""));
    assert_eq!(
        answer.headers["content-length"],
        page.body.len().to_string()
    );
}

#[tokio::test]
async fn a_status_changed_after_the_error_hides_its_message() {
    let router = Router::new()
        .route(
            "/",
            get(|| async { (StatusCode::BAD_GATEWAY, refuses().await) }),
        )
        .layer(error_pages(false));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "502 Bad Gateway\n");
}

#[test]
fn in_band_tells_the_status_and_nothing_else_without_details() {
    let error: BoxError = io::Error::other(SECRET).into();
    let (name, data) = in_band(&error, false);
    assert_eq!(name, "bellwether.error");
    assert_eq!(
        data,
        json!({
            "error": { "message": "Internal Server Error", "type": "server_error" },
            "status": 500,
            "message": "Internal Server Error",
        })
    );
    assert_eq!(in_band(&error, true).1["details"], json!([SECRET]));

    let error =
        HttpError::new(StatusCode::GONE, "room closed").with_source(io::Error::other(SECRET));
    let error: BoxError = error.into();
    assert_eq!(
        in_band(&error, false).1,
        json!({
            "error": { "message": "room closed", "type": "invalid_request_error" },
            "status": 410,
            "message": "room closed",
        })
    );
    assert_eq!(
        in_band(&error, true).1["details"],
        json!(["room closed", SECRET])
    );
}

#[test]
fn details_on_a_public_address_are_worth_a_warning() {
    let public = |details, address: &str| is_public(details, address.parse().unwrap());
    assert!(public(true, "0.0.0.0:80"));
    assert!(public(true, "192.0.2.1:80"));
    assert!(public(true, "[::]:80"));
    assert!(!public(false, "0.0.0.0:80"));
    for loopback in [
        "127.0.0.1:80",
        "127.8.8.8:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert!(!public(true, loopback), "{loopback}");
    }
}
