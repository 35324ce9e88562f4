//! A full server: what the next client is told, and when there is room again.

use std::net::SocketAddr;

use bellwether::Limits;
use bellwether_testkit::{BodyEnd, RawClient, TEST_TIMEOUT, within};
use tokio::net::{TcpSocket, TcpStream};

use super::{application, expect_numbers};
use crate::support::serve;

/// The status of a plain request on a connection of its own.
async fn status(address: SocketAddr) -> u16 {
    let mut client = RawClient::connect(address).await;
    client.get("/", &[("accept", "*/*")]).await;
    client.read_head().await.status
}

#[tokio::test]
async fn a_full_server_tells_an_event_source_when_to_come_back_and_others_that_it_is_full() {
    let (_running, address) =
        serve(application().limits(Limits::default().max_connections(1))).await;
    let mut first = RawClient::connect_and_get(address, "/count").await;
    first.read_head().await;
    let mut next = 0;
    expect_numbers(&mut first, &mut next, 1).await;

    let mut source = RawClient::connect_and_get(address, "/count").await;
    let head = source.read_head().await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(head.header("connection"), Some("close"));
    let (body, end) = source.read_to_end().await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let millis = text
        .strip_prefix("retry: ")
        .and_then(|text| text.strip_suffix("\n"));
    let millis: u64 = millis
        .unwrap_or_else(|| panic!("found {text:?}"))
        .parse()
        .unwrap();
    assert!((15_000..=45_000).contains(&millis));
    assert_eq!(end, BodyEnd::Clean);
    source.closed().await;

    let mut other = RawClient::connect(address).await;
    other.get("/", &[("accept", "*/*")]).await;
    let head = other.read_head().await;
    assert_eq!(head.status, 503);
    assert_eq!(head.header("connection"), Some("close"));
    let seconds: u64 = head.header("retry-after").unwrap().parse().unwrap();
    assert!((15..=45).contains(&seconds));
    other.closed().await;

    // Nobody was put out for them.
    expect_numbers(&mut first, &mut next, 5).await;
}

#[tokio::test]
async fn a_place_is_free_again_when_its_client_has_left() {
    let (_running, address) =
        serve(application().limits(Limits::default().max_connections(1))).await;
    for _ in 0..20 {
        let mut client = RawClient::connect(address).await;
        let served = async {
            loop {
                client.get("/count", &[]).await;
                if client.read_head().await.header("connection").is_none() {
                    break;
                }
                // Refused: the one before has not quite left yet.
                client = RawClient::connect(address).await;
            }
        };
        within(TEST_TIMEOUT, served).await.unwrap();
        client.next_event().await.unwrap();
    }
}

#[tokio::test]
async fn beyond_the_refusals_connections_wait_until_there_is_room_and_none_is_closed_unanswered() {
    let limits = Limits::default().max_connections(1).max_refusals(1);
    let (_running, address) = serve(application().limits(limits)).await;
    let mut held = RawClient::connect_and_get(address, "/count").await;
    assert_eq!(held.read_head().await.status, 200);
    let silent = RawClient::connect(address).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = RawClient::connect(address).await;
        client.get("/", &[("accept", "*/*")]).await;
        waiting.push(client);
    }
    // The one place for refusals is free again, and serves all of them one after the other.
    silent.reset();
    for mut client in waiting {
        assert_eq!(client.read_head().await.status, 503);
        client.closed().await;
    }
}

#[tokio::test]
async fn a_connection_that_waits_is_served_where_a_place_becomes_free() {
    let limits = Limits::default().max_connections(1).max_refusals(0);
    let (_running, address) = serve(application().limits(limits)).await;
    let mut held = RawClient::connect_and_get(address, "/count").await;
    assert_eq!(held.read_head().await.status, 200);
    let mut waiting = RawClient::connect(address).await;
    waiting.get("/", &[("accept", "*/*")]).await;
    held.reset();
    assert_eq!(waiting.read_head().await.status, 200);
}

#[tokio::test]
async fn a_full_server_answers_its_probes() {
    let limits = Limits::default().max_connections(1);
    let application = application()
        .limits(limits)
        .health("/ready")
        .liveness("/alive");
    let (_running, address) = serve(application).await;
    let mut held = RawClient::connect_and_get(address, "/count").await;
    assert_eq!(held.read_head().await.status, 200);
    for (path, status, text) in [
        ("/ready", 200, "ready"),
        ("/alive", 200, "alive"),
        ("/", 503, "the server is full, try again later\n"),
    ] {
        let mut client = RawClient::connect(address).await;
        client.get(path, &[("accept", "*/*")]).await;
        let head = client.read_head().await;
        assert_eq!(head.status, status, "{path}");
        assert_eq!(head.header("connection"), Some("close"), "{path}");
        let (body, _) = client.read_to_end().await;
        assert_eq!(body, text, "{path}");
        client.closed().await;
    }
}

#[tokio::test]
async fn an_address_beyond_its_own_answers_is_closed_and_takes_none_from_others() {
    let limits = Limits::default()
        .max_connections_per_address(0)
        .max_refusals(1);
    let (_running, address) = serve(application().limits(limits)).await;
    let _silent = RawClient::connect(address).await;
    let mut client = RawClient::connect(address).await;
    client.closed().await;
    assert!(client.raw().is_empty());
}

#[tokio::test]
async fn one_address_has_no_more_than_its_places_and_others_are_unaffected() {
    let limits = Limits::default().max_connections_per_address(2);
    let (_running, address) = serve(application().limits(limits)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect_and_get(address, "/count").await;
        assert_eq!(client.read_head().await.status, 200);
        held.push(client);
    }
    assert_eq!(status(address).await, 503);
    if cfg!(target_os = "linux") {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream: TcpStream = socket.connect(address).await.unwrap();
        let mut other = RawClient::over(stream);
        other.get("/", &[("accept", "*/*")]).await;
        assert_eq!(other.read_head().await.status, 200);
    }
    drop(held);
    let free = async { while status(address).await != 200 {} };
    within(TEST_TIMEOUT, free).await.unwrap();
}
