//! What an event stream sends, when, and how it ends: the rules of responses, through a router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, Response, StatusCode, header};
use bellwether::{
    Application, HttpError, Json, Request, ServerEventsResponse, ServerSentEvent, Stream,
    StreamDefaults, event_name, get, stream,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

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
        Application::new()
            .route(("/", get($handler)))
            .into_router()
            .unwrap()
    };
}

/// The next frame as text; `None` at a clean end, an error where the stream was cut.
async fn frame(body: &mut Body) -> Option<Result<String, axum::Error>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}

async fn text(body: Body) -> String {
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

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn every_stream_has_the_headers_that_keep_proxies_from_holding_it_back() {
    let response = ask(app!(one)).await;
    let headers = response.headers();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream");
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
        "text/event-stream"
    );
    assert_eq!(text(response.into_body()).await, "");
    assert!(!ran.load(Ordering::SeqCst));
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
async fn an_error_before_the_first_event_reaches_the_client_with_its_real_status() {
    let fails = || {
        stream!(
            sleep(Duration::from_millis(1)).await;
            yield Err::<ServerSentEvent, HttpError>(HttpError::new(StatusCode::FORBIDDEN, "not yours"));
        )
    };
    for router in [
        app!(fails),
        app!(move || ServerEventsResponse::new(fails())),
    ] {
        let response = ask(router).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(text(response.into_body()).await.contains("not yours"));
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

#[tokio::test]
async fn an_error_after_the_first_event_is_told_in_band_and_cuts_the_stream() {
    let fails = || {
        stream!(
            yield Ok(ServerSentEvent::text("one").id(1u64));
            sleep(Duration::from_millis(1)).await;
            yield Err(std::io::Error::other("disk 7 is on fire"));
        )
    };
    let mut body = ask(app!(fails)).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "id: 1\ndata: one\n\n"
    );
    let told = frame(&mut body).await.unwrap().unwrap();
    let data = json!({ "status": 500, "message": "Internal Server Error" });
    assert_eq!(told, format!("event: bellwether.error\ndata: {data}\n\n"));
    assert!(
        frame(&mut body).await.unwrap().is_err(),
        "the stream is cut, not ended"
    );
    assert!(frame(&mut body).await.is_none());
}

#[tokio::test]
async fn an_error_tells_internals_only_with_show_error_details() {
    let fails = || {
        stream!(
            yield Ok("one");
            yield Err(std::io::Error::other("disk 7 is on fire"));
        )
    };
    for details in [false, true] {
        let router = Application::new()
            .show_error_details(details)
            .route(("/", get(fails)))
            .into_router()
            .unwrap();
        let mut body = ask(router).await.into_body();
        let told = frame(&mut body).await.unwrap().unwrap();
        assert_eq!(told.contains("disk 7"), details, "{told}");
    }
}

#[tokio::test]
async fn the_event_of_an_error_can_be_renamed_made_and_switched_off() {
    let fails = || {
        stream!(
            yield Ok("one");
            yield Err(std::io::Error::other("broken"));
        )
    };
    let renamed =
        app!(move || ServerEventsResponse::new(fails()).error_event_name(event_name!("oops")));
    let made = app!(move || ServerEventsResponse::new(fails())
        .error_event(|error| ServerSentEvent::text(error.to_string())));
    let silent = app!(move || ServerEventsResponse::new(fails()).no_error_event());
    let first = |router| async move { frame(&mut ask(router).await.into_body()).await };
    assert!(
        first(renamed)
            .await
            .unwrap()
            .unwrap()
            .contains("event: oops\ndata: {")
    );
    assert!(
        first(made)
            .await
            .unwrap()
            .unwrap()
            .ends_with("data: broken\n\n")
    );
    assert_eq!(first(silent).await.unwrap().unwrap(), "data: one\n\n");
}

#[tokio::test]
async fn json_that_does_not_exist_is_an_error_and_never_null() {
    let response = ask(app!(|| stream!(
        yield Json(f64::NAN);
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = ask(app!(|| stream!(
        yield ServerSentEvent::json(f64::INFINITY);
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_panic_of_a_generator_is_an_error_of_its_stream() {
    fn boom() -> ServerSentEvent {
        panic!("secret of the generator")
    }
    let response = ask(app!(|| stream!(
        yield boom();
    )))
    .await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

    let later = || {
        stream!(
            yield ServerSentEvent::text("one");
            sleep(Duration::from_millis(1)).await;
            yield boom();
        )
    };
    let mut body = ask(app!(later)).await.into_body();
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), "data: one\n\n");
    let told = frame(&mut body).await.unwrap().unwrap();
    assert!(
        told.starts_with("event: bellwether.error\n") && !told.contains("secret"),
        "{told}"
    );
    assert!(frame(&mut body).await.unwrap().is_err());
}

#[tokio::test]
async fn a_finished_stream_says_so_and_the_next_reconnect_gets_204() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let router = app!(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        ServerEventsResponse::new(one()).finish()
    });
    let streamed = text(ask(router.clone()).await.into_body()).await;
    let last = "event: bellwether.finished\nid: bellwether.finished\ndata: \n\n";
    assert_eq!(streamed, format!("data: one\n\n{last}"));

    let again = ask_with(router.clone(), &[("last-event-id", "bellwether.finished")]).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    let other = ask_with(router, &[("last-event-id", "7")]).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_generator_is_not_run_for_a_client_that_was_told_that_it_is_finished() {
    let router = app!(|| {
        panic!("the handler is not called");
        #[allow(unreachable_code)]
        one()
    });
    let again = ask_with(router, &[("last-event-id", "bellwether.finished")]).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_stream_that_fails_does_not_say_that_it_is_finished() {
    let router = app!(|| ServerEventsResponse::new(stream!(
        yield Ok("one");
        yield Err(std::io::Error::other("broken"));
    ))
    .finish());
    let told = frame(&mut ask(router).await.into_body())
        .await
        .unwrap()
        .unwrap();
    assert!(!told.contains("bellwether.finished"), "{told}");
}

#[tokio::test]
async fn the_initial_retry_comes_first() {
    let router = app!(|| ServerEventsResponse::new(one()).retry(Duration::from_millis(2500)));
    assert_eq!(
        text(ask(router).await.into_body()).await,
        "retry: 2500\n\ndata: one\n\n"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_sends_a_comment_line_every_fifteen_seconds_by_default() {
    let mut body = ask(app!(silent)).await.into_body();
    let opened = Instant::now();
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), ":\n");
    let first = opened.elapsed();
    assert!(
        first > Duration::from_secs(7) && first <= Duration::from_secs(15),
        "{first:?}"
    );
    for _ in 0..3 {
        let last = Instant::now();
        assert_eq!(frame(&mut body).await.unwrap().unwrap(), ":\n");
        assert_eq!(last.elapsed().as_secs(), 15);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_keep_alives_of_streams_opened_together_are_spread() {
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let mut body = ask(app!(silent)).await.into_body();
        let opened = Instant::now();
        frame(&mut body).await.unwrap().unwrap();
        firsts.insert(opened.elapsed().as_millis() / 10);
    }
    assert!(firsts.len() > 8, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn traffic_puts_the_keep_alive_off() {
    let ticks = || {
        stream!(for _ in 0..20 {
            sleep(Duration::from_secs(7)).await;
            yield ServerSentEvent::text("tick");
        })
    };
    let interval = Duration::from_secs(10);
    let router = app!(move || ServerEventsResponse::new(ticks()).keep_alive(interval));
    let mut body = ask(router).await.into_body();
    let mut seen = Vec::new();
    while let Some(Ok(frame)) = frame(&mut body).await {
        seen.push(frame);
    }
    let beats = seen.iter().filter(|frame| *frame == ":\n").count();
    assert_eq!(seen.len() - beats, 20);
    // Only the first one, whose phase is random, may come before the first tick.
    assert!(beats <= 1, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_can_be_an_event_or_off() {
    let beat = ServerSentEvent::text("").event(event_name!("heartbeat"));
    let router =
        app!(move || ServerEventsResponse::new(silent())
            .keep_alive_event(Duration::from_secs(5), &beat));
    let mut body = ask(router).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "event: heartbeat\ndata: \n\n"
    );

    let router = app!(|| ServerEventsResponse::new(silent()).no_keep_alive());
    let mut body = ask(router).await.into_body();
    assert_eq!(
        frame(&mut body).await.unwrap().unwrap(),
        "data: at last\n\n"
    );
}

#[tokio::test]
async fn events_that_are_ready_together_leave_in_one_frame_of_bounded_size() {
    let many = || {
        stream!(for i in 0..2_000u32 {
            yield Json(i);
        })
    };
    let mut body = ask(app!(many)).await.into_body();
    let mut frames = Vec::new();
    while let Some(frame) = frame(&mut body).await {
        frames.push(frame.unwrap());
    }
    assert!(frames.len() <= 3, "{}", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < 17 * 1024));
    let expected: String = (0..2_000).map(|i| format!("data: {i}\n\n")).collect();
    assert_eq!(frames.concat(), expected);
}

#[tokio::test]
async fn a_generator_that_never_asks_is_dropped_where_it_stands() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let router = app!(move || {
        let flag = Flag(Arc::clone(&flag));
        stream!(
            let _flag = flag;
            yield ServerSentEvent::text("one");
            std::future::pending::<()>().await;
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_holds_its_request_gets_a_moment_for_its_clean_up() {
    let (done, cleaned) = tokio::sync::oneshot::channel();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let router = app!(move |request: Request| {
        let done = done.lock().unwrap().take().unwrap();
        stream!(
            while !request.is_disconnected() {
                yield ServerSentEvent::text("tick");
                sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_secs(2)).await;
            let _ = done.send(());
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    cleaned.await.expect("the clean-up code runs to its end");
}

#[tokio::test(start_paused = true)]
async fn the_moment_of_a_generator_whose_client_has_left_is_bounded() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let router = app!(move |request: Request| {
        let flag = Flag(Arc::clone(&flag));
        stream!(
            let _held = (flag, request);
            loop {
                yield ServerSentEvent::text("I do not look");
                sleep(Duration::from_secs(1)).await;
            }
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    sleep(Duration::from_millis(4_900)).await;
    assert!(!dropped.load(Ordering::SeqCst));
    sleep(Duration::from_millis(200)).await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn disconnected_can_be_awaited_also_outside_the_generator() {
    let (done, left) = tokio::sync::oneshot::channel();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let router = app!(move |request: Request| {
        let done = done.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            request.disconnected().await;
            let _ = done.send(());
        });
        silent()
    });
    let body = ask(router).await.into_body();
    drop(body);
    left.await.unwrap();
}

#[tokio::test]
async fn the_body_of_a_request_can_still_be_read_after_asking_whether_its_client_is_there() {
    let echo = |mut request: Request| async move {
        assert!(!request.is_disconnected());
        let body = request.body(1024).await.unwrap();
        stream!(
            yield ServerSentEvent::text(String::from_utf8(body.to_vec()).unwrap());
        )
    };
    let router = Application::new()
        .route(("/", bellwether::post(echo)))
        .into_router()
        .unwrap();
    let request = HttpRequest::post("/")
        .body(Body::from(Bytes::from_static(b"hi")))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(text(response.into_body()).await, "data: hi\n\n");
}

#[tokio::test]
async fn the_last_event_id_comes_from_the_header_then_from_the_query() {
    let echo = |last: bellwether::LastEventId| {
        stream!(
            yield ServerSentEvent::text(format!("{:?}", last.as_deref()));
        )
    };
    let router = app!(echo);
    let ask = |uri: String, header: Option<&'static [u8]>| {
        let router = router.clone();
        async move {
            let mut request = HttpRequest::builder().uri(uri);
            if let Some(value) = header {
                request = request.header("last-event-id", value);
            }
            let response = router
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            text(response.into_body()).await
        }
    };
    assert_eq!(ask("/".into(), None).await, "data: None\n\n");
    for name in ["last_event_id", "lastEventId", "evs_last_event_id"] {
        assert_eq!(
            ask(format!("/?a=b&{name}=7%2F8"), None).await,
            "data: Some(\"7/8\")\n\n"
        );
    }
    assert_eq!(
        ask("/?last_event_id=7".into(), Some(b"9")).await,
        "data: Some(\"9\")\n\n"
    );
    assert_eq!(
        ask("/?last_event_id=7".into(), Some(b"")).await,
        "data: Some(\"\")\n\n"
    );
    assert_eq!(
        ask("/".into(), Some("\u{e9}".as_bytes())).await,
        "data: Some(\"\u{e9}\")\n\n"
    );
    assert_eq!(
        ask("/".into(), Some(&[0xff])).await,
        "data: Some(\"\u{fffd}\")\n\n"
    );
    assert_eq!(
        ask(format!("/?last_event_id={}", "x".repeat(257)), None).await,
        "data: None\n\n"
    );
}
