//! What a page gets of a stream in a real browser: events exactly as sent, ends, errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use bellwether::{
    Application, CloseReason, HttpError, ServerEventsResponse, ServerSentEvent, Stream, event_id,
    event_name, get, stream,
};
use bellwether_testkit::eventually;
use serde_json::json;

use crate::browser::{Tap, browser, page, serve, strings};

const SOON: Duration = Duration::from_millis(10);

/// What is sent, and what a page must see of it: name, data, last id.
fn cases() -> Vec<(ServerSentEvent, Option<[String; 3]>)> {
    let seen = |name: &str, data: &str, id: &str| Some([name, data, id].map(str::to_owned));
    let long = "0123456789\n".repeat(20_000);
    vec![
        (ServerSentEvent::text("plain"), seen("message", "plain", "")),
        (
            ServerSentEvent::text("named").event(event_name!("price")),
            seen("price", "named", ""),
        ),
        (
            ServerSentEvent::text("with an id").id(event_id!("a 1/é")),
            seen("message", "with an id", "a 1/é"),
        ),
        (
            ServerSentEvent::text("one\ntwo\r\nthree\rfour\n\n"),
            seen("message", "one\ntwo\nthree\nfour\n\n", "a 1/é"),
        ),
        (ServerSentEvent::text(""), seen("message", "", "a 1/é")),
        (ServerSentEvent::new().comment("no page sees this"), None),
        (
            ServerSentEvent::text(" \tdata: : "),
            seen("message", " \tdata: : ", "a 1/é"),
        ),
        // Line ends elsewhere, but not in this format.
        (
            ServerSentEvent::text("a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f"),
            seen("message", "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f", "a 1/é"),
        ),
        (
            ServerSentEvent::text("\u{feff}🔔\u{fffd}").id(7),
            seen("message", "\u{feff}🔔\u{fffd}", "7"),
        ),
        (
            ServerSentEvent::json(json!([false, null, "\u{2028}\r\n"])),
            seen("message", "[false,null,\"\u{2028}\\r\\n\"]", "7"),
        ),
        (
            ServerSentEvent::text(long.clone()),
            seen("message", &long, "7"),
        ),
        (
            ServerSentEvent::text("no id again").id(event_id!("")),
            seen("message", "no id again", ""),
        ),
    ]
}

fn all_kinds() -> ServerEventsResponse {
    let beat = ServerSentEvent::text("still here").event(event_name!("beat"));
    ServerEventsResponse::new(stream!(
        for (event, _) in cases() {
            yield event;
        }
        std::future::pending::<()>().await;
    ))
    .keep_alive_event(Duration::from_millis(50), &beat)
}

#[tokio::test]
async fn events_arrive_exactly_as_they_were_sent() {
    let Some(browser) = browser().await else {
        return;
    };
    let (_running, address) = serve(Application::new().route(("/events", get(all_kinds)))).await;
    let tab = page(&browser, &address).await;
    tab.eval("globalThis.w = watch('/events', 'price', 'beat'); null")
        .await;
    tab.wait_until("w.log.filter((type) => type == 'beat').length >= 2")
        .await;
    assert_eq!(
        tab.eval("w.seen.find(([type]) => type == 'beat')").await,
        json!(["beat", "still here", ""])
    );
    let seen = tab.eval("w.seen.filter(([type]) => type != 'beat')").await;
    let expected: Vec<_> = cases().into_iter().filter_map(|(_, seen)| seen).collect();
    assert_eq!(seen, json!(expected));
    assert_eq!(tab.eval("w.log[0]").await, "open");
    browser.quit().await;
}

#[tokio::test]
async fn a_finished_stream_is_asked_for_once_more_and_then_never_again() {
    let Some(browser) = browser().await else {
        return;
    };
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let count = from_fn(move |request: Request, next: Next| {
        if request.uri().path() == "/events" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        next.run(request)
    });
    let finished = || {
        let events = stream!(
            yield ServerSentEvent::text("the only one");
        );
        ServerEventsResponse::new(events).retry(SOON).finish()
    };
    let application = Application::new()
        .route(("/events", get(finished)))
        .layer(count);
    let (running, address) = serve(application).await;
    let tab = page(&browser, &address).await;

    // A second stream, after the first, lasts longer than any reconnect of the first would wait.
    for (name, asked) in [("first", 2), ("second", 4)] {
        tab.eval(&format!("globalThis.{name} = watch('/events'); null"))
            .await;
        tab.wait_until(&format!("{name}.source.readyState == EventSource.CLOSED"))
            .await;
        assert_eq!(requests.load(Ordering::SeqCst), asked, "{name}");
    }
    for name in ["first", "second"] {
        assert_eq!(
            strings(&tab, &format!("{name}.log")).await,
            ["open", "message", "error 0", "error 2"],
            "{name}"
        );
        assert_eq!(
            tab.eval(&format!("{name}.source.readyState")).await,
            json!(2)
        );
    }
    assert_eq!(running.streams().closed(CloseReason::Finished), 2);
    browser.quit().await;
}

/// Fails before its first event.
fn forbidden() -> impl Stream<Item = Result<ServerSentEvent, HttpError>> {
    stream!(
        yield Err(HttpError::new(StatusCode::FORBIDDEN, "not for you"));
        yield Ok(ServerSentEvent::text("never sent"));
    )
}

fn broken() -> impl Stream<Item = Result<ServerSentEvent, std::io::Error>> {
    stream!(
        yield Err(std::io::Error::other("the password is 123"));
    )
}

#[tokio::test]
async fn an_error_before_the_first_event_has_its_status_and_closes_the_source() {
    let Some(browser) = browser().await else {
        return;
    };
    let application = Application::new()
        .route(("/forbidden", get(forbidden)))
        .route(("/broken", get(broken)));
    let (running, address) = serve(application).await;
    let tab = page(&browser, &address).await;
    for (path, status) in [("/forbidden", 403), ("/broken", 500)] {
        tab.eval(&format!("globalThis.w = watch('{path}'); null"))
            .await;
        tab.wait_until("w.source.readyState == EventSource.CLOSED")
            .await;
        tab.wait_until("w.log.length > 0").await;
        assert_eq!(strings(&tab, "w.log").await, ["error 2"], "{path}");
        let answer = format!(
            "fetch('{path}', {{ headers: {{ accept: 'text/event-stream' }} }})\
             .then((response) => response.status)"
        );
        assert_eq!(tab.eval(&answer).await, json!(status), "{path}");
    }
    assert_eq!(running.streams().open, 0);
    assert_eq!(running.streams().closed(CloseReason::Error), 4);
    browser.quit().await;
}

#[tokio::test]
async fn an_error_in_the_middle_is_told_then_cut_and_the_browser_comes_back() {
    let Some(browser) = browser().await else {
        return;
    };
    let opened = Arc::new(AtomicUsize::new(0));
    let fails_once = move || {
        let fails = opened.fetch_add(1, Ordering::SeqCst) == 0;
        let events = stream!(
            yield Ok(ServerSentEvent::text("before"));
            if fails {
                yield Err(std::io::Error::other("the password is 123"));
            }
            yield Ok(ServerSentEvent::text("after"));
            std::future::pending::<()>().await;
        );
        ServerEventsResponse::new(events).retry(SOON)
    };
    let (running, server) = serve(Application::new().route(("/events", get(fails_once)))).await;
    let tap = Tap::before(server).await;
    let tab = page(&browser, &tap.address).await;
    tab.eval("globalThis.w = watch('/events', 'bellwether.error'); null")
        .await;
    tab.wait_until("w.seen.some(([, data]) => data == 'after')")
        .await;

    let told = "event: bellwether.error\n\
                data: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"server_error\"},\
                \"message\":\"Internal Server Error\",\"status\":500}\n\n";
    // Not always the first connection: the browser may come back on one that it had opened earlier.
    let streams = tap.streams();
    let failed = streams.iter().find(|stream| stream.contains(told));
    let failed = failed.unwrap_or_else(|| panic!("none tells the error: {streams:?}"));
    assert!(!failed.contains("\r\n0\r\n"), "it is cut: {failed:?}");
    let log = strings(&tab, "w.log").await;
    assert_eq!(
        log,
        [
            "open",
            "message",
            "bellwether.error",
            "error 0",
            "open",
            "message",
            "message"
        ]
    );
    assert_eq!(running.streams().closed(CloseReason::Error), 1);
    assert_eq!(running.streams().open, 1);
    browser.quit().await;
}

#[tokio::test]
async fn every_way_to_leave_a_page_frees_its_stream() {
    let Some(browser) = browser().await else {
        return;
    };
    // Silent, so that only the closed connection shows that the page was closed.
    let silent = || {
        ServerEventsResponse::new(stream!(
            yield ServerSentEvent::text("the only one");
            std::future::pending::<()>().await;
        ))
    };
    let (running, address) = serve(Application::new().route(("/events", get(silent)))).await;
    for (left, way) in (1..).zip(["tab", "w.source.close()", "location.replace('about:blank')"]) {
        let tab = page(&browser, &address).await;
        tab.eval("globalThis.w = watch('/events'); null").await;
        tab.wait_until("w.seen.length == 1").await;
        assert_eq!(running.streams().open, 1, "{way}");
        if way == "tab" {
            tab.close().await;
        } else {
            tab.eval(way).await;
        }
        eventually(way, Duration::from_secs(10), || {
            running.streams().open == 0 && running.streams().leaving == 0
        })
        .await;
        assert_eq!(
            running.streams().closed(CloseReason::ClientLeft),
            left,
            "{way}"
        );
    }
    browser.quit().await;
}
