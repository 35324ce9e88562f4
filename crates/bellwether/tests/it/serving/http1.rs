//! HTTP/1: limits on what a client sends, pipelining, and HTTP/1.0.

use std::net::SocketAddr;

use axum::http::Uri;
use bellwether::{Application, CloseReason, ServerSentEvent, Stream, get, post, stream};
use bellwether_testkit::{BodyEnd, RawClient, TEST_TIMEOUT, eventually};

use super::application;
use crate::support::serve;

async fn status(address: SocketAddr, request: impl AsRef<[u8]>) -> u16 {
    let mut client = RawClient::connect(address).await;
    client.send(request).await;
    client.read_head().await.status
}

#[tokio::test]
async fn a_head_may_have_32_kib_and_not_a_byte_more() {
    let (_running, address) = serve(application()).await;
    for (bytes, expected) in [(32 * 1024 - 1, 200), (32 * 1024, 200), (32 * 1024 + 1, 431)] {
        let before = "GET / HTTP/1.1\r\nhost: x\r\nx-filler: ";
        let filler = "f".repeat(bytes - before.len() - 4);
        let head = format!("{before}{filler}\r\n\r\n");
        assert_eq!(head.len(), bytes);
        assert_eq!(status(address, head).await, expected, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_head_may_have_100_fields_and_not_one_more() {
    let (_running, address) = serve(application()).await;
    for (fields, expected) in [(99, 200), (100, 200), (101, 431)] {
        let others: String = (1..fields).map(|n| format!("x-{n}: 1\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{others}\r\n");
        assert_eq!(status(address, head).await, expected, "{fields} fields");
    }
}

#[tokio::test]
async fn a_target_may_have_8_kib_and_not_a_byte_more() {
    let application = Application::new().route((
        "/{name}",
        get(|uri: Uri| async move { uri.path().len().to_string() }),
    ));
    let (_running, address) = serve(application).await;
    for (bytes, expected) in [(8191, 200), (8192, 200), (8193, 414)] {
        let target = format!("/{}", "t".repeat(bytes - 1));
        let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(status(address, head).await, expected, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_body_may_have_1_mib_and_not_a_byte_more() {
    let length = |body: axum::body::Bytes| async move { body.len().to_string() };
    let (_running, address) = serve(Application::new().route(("/", post(length)))).await;
    for (bytes, expected) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let mut request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        request.extend(std::iter::repeat_n('b', bytes));
        assert_eq!(status(address, request).await, expected, "{bytes} bytes");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let (_running, address) = serve(application()).await;
    let mut client = RawClient::connect(address).await;
    client
        .send("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3))
        .await;
    for _ in 0..3 {
        assert_eq!(client.read_head().await.status, 200);
        assert_eq!(client.read_to_end().await.0, "hello");
    }
}

fn three() -> impl Stream<Item = ServerSentEvent> {
    stream!(for text in ["one", "two", "three"] {
        yield ServerSentEvent::text(text);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    })
}

#[tokio::test]
async fn a_request_that_comes_while_a_stream_is_open_is_answered_after_it() {
    let application = application().route(("/three", get(three)));
    let (_running, address) = serve(application).await;
    let mut client = RawClient::connect_and_get(address, "/three").await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.next_event().await.unwrap().data, "one");
    // In two pieces: hyper reads the first, the second waits in our buffer.
    client.send("GET / HT").await;
    assert_eq!(client.next_event().await.unwrap().data, "two");
    client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.next_event().await.unwrap().data, "three");
    client.read_to_end().await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.read_to_end().await.0, "hello");
}

#[tokio::test]
async fn a_client_that_sends_on_and_on_while_it_is_streamed_to_is_closed() {
    let (running, address) = serve(application()).await;
    let mut client = RawClient::connect_and_get(address, "/count").await;
    client.read_head().await;
    client.send("x").await;
    client.next_event().await.unwrap();
    client.send("x".repeat(64 * 1024)).await;
    client.closed().await;
    eventually("the stream has left", TEST_TIMEOUT, || {
        running.streams().closed(CloseReason::ClientLeft) == 1
    })
    .await;
}

#[tokio::test]
async fn http_1_0_gets_a_body_without_chunks_that_ends_with_the_connection() {
    let (_running, address) = serve(Application::new().route(("/", get(three)))).await;
    let mut client = RawClient::connect(address).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let head = client.read_head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), None);
    let (body, end) = client.read_to_end().await;
    assert_eq!(end, BodyEnd::Clean);
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        text.ends_with("data: one\n\ndata: two\n\ndata: three\n\n"),
        "{text:?}"
    );
}

#[tokio::test]
async fn http_1_0_may_keep_its_connection() {
    let (_running, address) = serve(application()).await;
    let mut client = RawClient::connect(address).await;
    for _ in 0..2 {
        client
            .send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            .await;
        assert_eq!(client.read_head().await.status, 200);
        assert_eq!(client.read_to_end().await.0, "hello");
    }
}

#[tokio::test]
async fn head_claims_no_length_for_a_stream() {
    let (_running, address) = serve(Application::new().route(("/", get(three)))).await;
    let mut client = RawClient::connect(address).await;
    client.request("HEAD", "/", &[]).await;
    let head = client.read_head().await;
    assert_eq!((head.status, head.header("content-length")), (200, None));
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    // The connection goes on.
    client.get("/", &[]).await;
    assert_eq!(client.read_head().await.status, 200);
}

#[tokio::test]
async fn a_request_has_exactly_one_host_on_http_1_1_and_at_most_one_on_1_0() {
    let (_running, address) = serve(application()).await;
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ] {
        assert_eq!(status(address, head).await, expected, "{head:?}");
    }
}

#[tokio::test]
async fn a_connection_ends_after_a_request_without_its_host() {
    let (_running, address) = serve(application()).await;
    let mut client = RawClient::connect(address).await;
    client
        .send("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let head = client.read_head().await;
    assert_eq!(
        (head.status, head.header("connection")),
        (400, Some("close"))
    );
    client.read_to_end().await;
    client.closed().await;
}
