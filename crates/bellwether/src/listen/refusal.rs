//! The response to a client that the server refuses because it is full.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::events::set_event_stream_headers;

/// Each client reconnects at a random time within these bounds, so that they do not return all at once.
const SOONEST: Duration = Duration::from_secs(15);
const LATEST: Duration = Duration::from_secs(45);

/// Answers a request that is not served.
///
/// To an `EventSource`, any status but 200 is final: it never tries again. So it gets an event
/// stream that only sets the reconnection time (WHATWG HTML, section 9.2.3).
pub(super) fn answer(method: &Method, headers: &HeaderMap) -> Response {
    let wait = Duration::from_millis(fastrand::u64(millis(SOONEST)..=millis(LATEST)));
    if *method == Method::GET && asks_for_events(headers) {
        let mut response = Response::new(Body::from(format!("retry: {}\n", millis(wait))));
        set_event_stream_headers(response.headers_mut());
        response
    } else {
        let mut response = Response::new(Body::from("the server is full, try again later\n"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

/// Whether `Accept` names the type itself, as every `EventSource` does. A client that sends
/// a wildcard accepts anything, and is better served with a status.
fn asks_for_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value.split(',').any(|range| {
                let kind = range.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("text/event-stream")
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn an_event_source_is_told_when_to_come_back_in_a_stream_that_ends() {
        for value in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/html, text/event-stream;q=1",
        ] {
            let response = answer(&Method::GET, &accept(value));
            assert_eq!(response.status(), 200);
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "text/event-stream; charset=utf-8"
            );
        }
    }

    #[test]
    fn everybody_else_is_told_by_the_status() {
        let cases = [
            (Method::GET, "*/*"),
            (Method::POST, "text/event-stream"),
            (Method::GET, ""),
        ];
        for (method, value) in cases {
            let response = answer(&method, &accept(value));
            assert_eq!(response.status(), 503);
            let seconds = response.headers()[header::RETRY_AFTER].to_str().ok();
            let seconds = seconds.and_then(|text| text.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| (15..=45).contains(&seconds)));
        }
    }
}
