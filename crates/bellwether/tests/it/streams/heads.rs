//! The head of an event stream: its status, its headers, and when it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode, header};
use bellwether::{Application, HttpError, ServerEventsResponse, StreamDefaults, stream};
use tokio::time::Instant;
use tower::ServiceExt;

use super::{app, ask, ask_with, one, silent, text};

#[tokio::test]
async fn every_stream_has_the_headers_that_keep_proxies_from_holding_it_back() {
    let response = ask(app!(one)).await;
    let headers = response.headers();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(headers[header::CACHE_CONTROL], "no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(!headers.contains_key(header::CONNECTION));
    assert_eq!(text(response.into_body()).await, "data: one\n\n");
}

#[tokio::test]
async fn adding_a_header_never_loses_a_default() {
    let response = ask(app!(|| {
        ServerEventsResponse::new(one())
            .status(StatusCode::ACCEPTED)
            .header("x-feed", "demo")
            .header(header::VARY, "cookie")
    }))
    .await;
    let headers = response.headers();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(
        (&headers["x-feed"], &headers[header::VARY]),
        (&"demo".parse().unwrap(), &"cookie".parse().unwrap())
    );
    assert_eq!(headers[header::CACHE_CONTROL], "no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
}

#[tokio::test]
async fn headers_that_would_break_the_stream_or_cannot_be_sent_are_a_500_and_no_panic() {
    for (name, value) in [
        ("connection", "keep-alive"),
        ("content-type", "application/json"),
        ("transfer-encoding", "chunked"),
        ("x feed", "demo"),
        ("x-feed", "a\nb"),
    ] {
        let answer = app!(move || ServerEventsResponse::new(one()).header(name, value));
        assert_eq!(
            ask(answer).await.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{name}"
        );
    }
}

#[tokio::test]
async fn head_is_answered_with_the_headers_and_without_running_the_generator() {
    let ran = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    let router = app!(move || {
        seen.store(true, Ordering::SeqCst);
        one()
    });
    let request = HttpRequest::head("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(text(response.into_body()).await, "");
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_post_gets_its_stream_whatever_it_says_that_it_accepts() {
    let router = bellwether::Application::new()
        .route(("/", bellwether::post(one)))
        .into_router()
        .unwrap();
    let request = http::Request::post("/")
        .header("accept", "application/json")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
}

#[tokio::test]
async fn a_client_that_does_not_accept_event_streams_gets_406() {
    for handler in [app!(one), app!(|| ServerEventsResponse::new(one()))] {
        let refused = ask_with(handler.clone(), &[("accept", "application/json")]).await;
        assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
        let welcome = ask_with(handler, &[("accept", "text/*;q=0.3")]).await;
        assert_eq!(welcome.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_plain_axum_route_of_an_application_follows_the_same_rules() {
    let fails = || async {
        ServerEventsResponse::new(stream!(
            yield Err::<&'static str, HttpError>(HttpError::new(StatusCode::GONE, "over"));
        ))
    };
    let router = Router::new().route("/", axum::routing::get(fails));
    let router = Application::new().merge(router).into_router().unwrap();
    assert_eq!(ask(router).await.status(), StatusCode::GONE);

    let router = Router::new().route(
        "/",
        axum::routing::get(|| async { ServerEventsResponse::new(one()) }),
    );
    let router = Application::new().merge(router).into_router().unwrap();
    let refused = ask_with(router.clone(), &[("accept", "text/html")]).await;
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
    assert_eq!(text(ask(router).await.into_body()).await, "data: one\n\n");
}

#[tokio::test]
async fn under_a_plain_axum_router_a_response_streams_all_the_same() {
    let router = Router::new().route(
        "/",
        axum::routing::get(|| async { ServerEventsResponse::new(one()) }),
    );
    let response = ask(router).await;
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "no-store, no-transform"
    );
    assert_eq!(text(response.into_body()).await, "data: one\n\n");
}

#[tokio::test(start_paused = true)]
async fn the_head_waits_a_bounded_moment_for_the_first_item() {
    let start = Instant::now();
    let response = ask(app!(silent)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(start.elapsed(), StreamDefaults::HEAD_WAIT);

    let start = Instant::now();
    let wait = Duration::from_secs(2);
    ask(app!(
        move || ServerEventsResponse::new(silent()).head_wait(wait)
    ))
    .await;
    assert_eq!(start.elapsed(), wait);
}
