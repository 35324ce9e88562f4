//! What a handler learns from the request for a stream: its body, and the last event id of its client.

use axum::body::Body;
use axum::http::Request as HttpRequest;
use bellwether::{Application, Request, ServerSentEvent, stream};
use bytes::Bytes;
use tower::ServiceExt;

use super::{app, text};

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
    assert_eq!(ask("/".into(), Some(b"")).await, "data: None\n\n");
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
        "data: Some(\"7\")\n\n",
        "an empty header says nothing"
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
