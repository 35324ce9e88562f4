//! HTTP/2 with prior knowledge, and its streams.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Request;
use bellwether::{CloseReason, ServerSentEvent, Stream, Timeouts, get, stream};
use bellwether_testkit::{TEST_TIMEOUT, eventually, within};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::application;
use crate::support::serve;

type Client = (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>);

async fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    // Larger than one stream's window: a stream that stalls must not take the whole connection's.
    let (client, connection) = h2::client::Builder::new()
        .initial_connection_window_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    (client, tokio::spawn(connection))
}

async fn open(client: &mut SendRequest<Bytes>, path: &str) -> RecvStream {
    let request = Request::get(format!("http://localhost{path}"))
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Reads until the numbers up to `last` have come, in order.
async fn expect_numbers_to(body: &mut RecvStream, last: u64) {
    let mut seen = BytesMut::new();
    let end = format!("data: {last}\n\n");
    while !seen.ends_with(end.as_bytes()) {
        let data = within(TEST_TIMEOUT, body.data())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        seen.extend_from_slice(&data);
        assert!(seen.len() < 1 << 20, "never saw {end:?}");
    }
    let text = String::from_utf8(seen.to_vec()).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: ")?.parse().ok())
        .collect();
    let first = numbers[0];
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_answered_with_it() {
    let (_running, address) = serve(application()).await;
    let (mut client, _) = connect(address).await;
    let mut body = open(&mut client, "/").await;
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    expect_numbers_to(&mut open(&mut client, "/count").await, 5).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_leaves_the_others_of_its_connection() {
    let (running, address) = serve(application()).await;
    let (mut client, _) = connect(address).await;
    let mut stays = open(&mut client, "/count").await;
    let leaves = open(&mut client, "/count").await;
    expect_numbers_to(&mut stays, 3).await;
    drop(leaves);
    eventually("the stream has left", TEST_TIMEOUT, || {
        running.streams().closed(CloseReason::ClientLeft) == 1
    })
    .await;
    assert_eq!(running.streams().open, 1);
    expect_numbers_to(&mut stays, 50).await;
}

fn flood() -> impl Stream<Item = ServerSentEvent> {
    stream!(loop {
        yield ServerSentEvent::text("x".repeat(1000));
    })
}

#[tokio::test]
async fn a_stream_whose_window_stays_closed_ends_as_too_slow_and_others_go_on() {
    let stall = Duration::from_millis(300);
    let application = application()
        .route(("/flood", get(flood)))
        .timeouts(Timeouts::default().write_stall(stall));
    let (running, address) = serve(application).await;
    let (mut client, _) = connect(address).await;
    let mut stays = open(&mut client, "/count").await;
    // Its window is never opened again.
    let _stalled = open(&mut client, "/flood").await;
    let mut last = 0;
    while running.streams().closed(CloseReason::TooSlow) == 0 {
        last += 10;
        assert!(last < 5000, "the stalled stream never ended");
        expect_numbers_to(&mut stays, last).await;
    }
    expect_numbers_to(&mut stays, last + 20).await;
    assert_eq!(running.streams().open, 1);
    drop(stays);
    // Each stream has its own account: the neighbour's stall is not this one's.
    eventually("the other has left", TEST_TIMEOUT, || {
        running.streams().closed(CloseReason::ClientLeft) == 1
    })
    .await;
}

#[tokio::test]
async fn a_head_with_too_many_fields_is_answered_with_431() {
    let (_running, address) = serve(application()).await;
    let (mut client, _) = connect(address).await;
    for (fields, status) in [(100, 200), (101, 431)] {
        let mut request = Request::get("http://localhost/");
        for n in 0..fields {
            request = request.header(format!("x-{n}"), "1");
        }
        let (response, _) = client
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        assert_eq!(response.await.unwrap().status(), status, "{fields} fields");
    }
}

#[tokio::test]
async fn an_idle_connection_gets_goaway() {
    let timeouts = Timeouts::default().idle(Duration::from_millis(200));
    let (_running, address) = serve(application().timeouts(timeouts)).await;
    let (mut client, connection) = connect(address).await;
    let mut body = open(&mut client, "/").await;
    body.data().await.unwrap().unwrap();
    within(TEST_TIMEOUT, connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_client_that_resets_on_and_on_loses_its_connection_and_no_other() {
    let (_running, address) = serve(application()).await;
    let (mut good, _) = connect(address).await;
    let mut stays = open(&mut good, "/count").await;
    let (mut client, connection) = connect(address).await;
    for _ in 0..20_000 {
        let request = Request::get("http://localhost/count").body(()).unwrap();
        let Ok((response, mut stream)) = client.send_request(request, true) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        match within(TEST_TIMEOUT, client.clone().ready()).await.unwrap() {
            Ok(ready) => client = ready,
            Err(_) => break,
        }
    }
    drop(client);
    let _ = within(TEST_TIMEOUT, connection).await.unwrap();
    expect_numbers_to(&mut stays, 20).await;
}
