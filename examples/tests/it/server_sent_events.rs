//! The example with a page: its files, its error page, clients that leave, the end.

use std::time::Duration;

use bellwether_testkit::{BodyEnd, RawClient};
use serde_json::json;

use crate::{next_json, started};

#[tokio::test]
async fn the_page_and_its_files_are_served() {
    let program = started("server_sent_events").await;
    for (path, content_type, text) in [
        ("/", "text/html; charset=utf-8", "app.js"),
        ("/app.js", "text/javascript; charset=utf-8", "EventSource"),
        ("/style.css", "text/css; charset=utf-8", "light-dark"),
        ("/bell.svg", "image/svg+xml", "<svg"),
    ] {
        let mut client = RawClient::connect_and_get(program.addr(), path).await;
        let head = client.read_head().await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some(content_type)),
            "{path}"
        );
        assert_eq!(
            head.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        let (body, end) = client.read_to_end().await;
        assert_eq!(end, BodyEnd::Clean, "{path}");
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(text), "{path}");
        assert!(
            !body.contains("//cdn"),
            "{path} loads nothing from elsewhere"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_gets_an_error_page_with_details() {
    let program = started("server_sent_events").await;
    let mut client = RawClient::connect(program.addr()).await;
    client
        .get("/../Cargo.toml", &[("accept", "text/html")])
        .await;
    let head = client.read_head().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (404, Some("text/html; charset=utf-8"))
    );
    let (page, _) = client.read_to_end().await;
    assert!(String::from_utf8_lossy(&page).contains("show_error_details"));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_by_the_generator() {
    let mut program = started("server_sent_events").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/events").await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(
        next_json(&mut client).await,
        json!({ "message": "Hello World 1" })
    );
    client.finish().await;
    program.wait_for_line("The request is disconnected!").await;
}

#[tokio::test]
async fn a_generator_notices_that_the_application_is_stopping_and_the_process_ends() {
    let mut program = started("server_sent_events").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/events").await;
    assert_eq!(client.read_head().await.status, 200);
    next_json(&mut client).await;
    program.terminate().await;
    program.wait_for_line("The application is stopping!").await;
    let status = program.wait_exit(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn the_log_says_that_a_stream_opens_and_why_it_closes() {
    for (name, path) in [
        ("server_sent_events", "/events"),
        ("inside_axum", "/events"),
    ] {
        let mut program = started(name).await;
        let mut client = RawClient::connect_and_get(program.addr(), path).await;
        client.read_head().await;
        client.next_event().await.expect("an event");
        program.wait_for_line("stream opened").await;
        drop(client);
        let closed = program.wait_for_line("stream closed").await;
        assert!(closed.contains("client_left"), "{name}: {closed}");
    }
}
