//! The examples that are one feed: `hello`, `response`, `inside_axum`.

use std::time::Duration;

use bellwether_testkit::{BodyEnd, RawClient};
use serde_json::json;

use crate::{next_json, started};

#[tokio::test]
async fn hello_sends_three_events_and_ends() {
    let program = started("hello").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/events").await;
    let head = client.read_head().await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    for i in 0..3 {
        let message = format!("Hello World {i}");
        assert_eq!(next_json(&mut client).await, json!({ "message": message }));
    }
    assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
}

#[tokio::test]
async fn response_keeps_the_defaults_beside_its_own_header() {
    let program = started("response").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/events").await;
    let head = client.read_head().await;
    assert_eq!(head.header("x-feed"), Some("demo"));
    assert_eq!(head.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(
        next_json(&mut client).await,
        json!({ "message": "Hello World 0" })
    );
}

#[tokio::test]
async fn inside_axum_resumes_where_the_client_was_and_stops_with_an_open_stream() {
    let mut program = started("inside_axum").await;
    let mut page = RawClient::connect_and_get(program.addr(), "/").await;
    assert_eq!(page.read_head().await.status, 200);

    let mut client = RawClient::connect(program.addr()).await;
    client.get("/events", &[("last-event-id", "41")]).await;
    assert_eq!(client.read_head().await.status, 200);
    let event = client.next_event().await.expect("an event");
    assert_eq!(
        (event.data.as_str(), event.last_event_id.as_str()),
        ("42", "42")
    );
    assert_eq!(next_json(&mut client).await, json!(43));

    program.terminate().await;
    let status = program.wait_exit(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
    while let Ok(event) = client.next_event().await {
        assert!(event.data.parse::<u64>().is_ok(), "{event:?}");
    }
}
