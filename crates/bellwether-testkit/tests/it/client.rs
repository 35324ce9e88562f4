//! The scripted client distinguishes what clients usually hide.

use std::io::ErrorKind;
use std::time::Duration;

use bellwether_testkit::{BodyEnd, RawClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A connected pair: our client and the server's bare socket.
async fn pair() -> (RawClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(RawClient::connect(addr), listener.accept());
    (client, server.unwrap().0)
}

/// What the client makes of these bytes followed by an ordinary close.
async fn read_all(bytes: &str) -> (String, BodyEnd) {
    let (mut client, mut server) = pair().await;
    server.write_all(bytes.as_bytes()).await.unwrap();
    drop(server);
    client.read_head().await;
    let (body, end) = client.read_to_end().await;
    assert_eq!(client.raw(), bytes.as_bytes());
    (String::from_utf8(body.to_vec()).unwrap(), end)
}

#[tokio::test]
async fn a_request_has_defaults_that_can_be_replaced() {
    let (mut client, mut server) = pair().await;
    client
        .get("/a", &[("Accept", "*/*"), ("last-event-id", "3")])
        .await;
    client.half_close().await;
    let mut request = String::new();
    server.read_to_string(&mut request).await.unwrap();
    let host = client.server_addr();
    let want =
        format!("GET /a HTTP/1.1\r\nhost: {host}\r\nAccept: */*\r\nlast-event-id: 3\r\n\r\n");
    assert_eq!(request, want);
}

#[tokio::test]
async fn heads_keep_repeated_fields_and_their_bytes() {
    let (mut client, mut server) = pair().await;
    let head = "HTTP/1.1 404 Not Found\r\nVary: a\r\nvary:b \r\nContent-Length: 0\r\n\r\n";
    server.write_all(head.as_bytes()).await.unwrap();
    let read = client.read_head().await;
    assert_eq!((read.status, read.version.as_str()), (404, "HTTP/1.1"));
    assert_eq!(read.all("VARY"), ["a", "b"]);
    assert_eq!(read.header("content-length"), Some("0"));
    assert_eq!(read.header("etag"), None);
    assert_eq!(read.raw, head);
    assert_eq!(client.read_body_chunk().await, Err(BodyEnd::Clean));
}

#[tokio::test]
async fn only_the_last_chunk_makes_a_chunked_body_clean() {
    let body = format!("{CHUNKED}2\r\nhi\r\n");
    assert_eq!(
        read_all(&format!("{body}0\r\n\r\n")).await,
        ("hi".to_owned(), BodyEnd::Clean)
    );
    assert_eq!(read_all(&body).await, ("hi".to_owned(), BodyEnd::Cut));
    assert_eq!(
        read_all(&format!("{body}5\r\nhel")).await,
        ("hihel".to_owned(), BodyEnd::Cut)
    );
}

#[tokio::test]
async fn bodies_without_chunks_end_by_length_or_by_close() {
    let by_length = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi";
    assert_eq!(read_all(by_length).await, ("hi".to_owned(), BodyEnd::Cut));
    assert_eq!(
        read_all(&format!("{by_length}ho")).await,
        ("hiho".to_owned(), BodyEnd::Clean)
    );
    let by_close = "HTTP/1.0 200 OK\r\n\r\nhi";
    assert_eq!(read_all(by_close).await, ("hi".to_owned(), BodyEnd::Clean));
}

#[tokio::test]
async fn events_are_decoded_across_chunks_until_the_body_ends() {
    let (mut client, mut server) = pair().await;
    let body = "d\r\nid: 7\ndata: a\r\n9\r\n\n\ndata: b\r\n7\r\n\n\n: hi\n\r\n0\r\n\r\n";
    server
        .write_all(format!("{CHUNKED}{body}").as_bytes())
        .await
        .unwrap();
    client.read_head().await;
    for want in ["a", "b"] {
        let event = client.next_event().await.unwrap();
        assert_eq!(
            (event.data.as_str(), event.last_event_id.as_str()),
            (want, "7")
        );
    }
    assert_eq!(client.next_event().await, Err(BodyEnd::Clean));
    assert_eq!(client.comment_count(), 1);
}

#[tokio::test]
async fn a_response_to_head_has_no_body() {
    let (mut client, mut server) = pair().await;
    client.request("HEAD", "/", &[]).await;
    server.write_all(CHUNKED.as_bytes()).await.unwrap();
    client.read_head().await;
    assert_eq!(client.read_body_chunk().await, Err(BodyEnd::Clean));
}

#[tokio::test]
async fn a_second_response_follows_on_the_same_connection() {
    let (mut client, mut server) = pair().await;
    let bytes = format!("{CHUNKED}1\r\na\r\n0\r\n\r\n{CHUNKED}1\r\nb\r\n0\r\n\r\n");
    server.write_all(bytes.as_bytes()).await.unwrap();
    for want in ["a", "b"] {
        client.read_head().await;
        let (body, end) = client.read_to_end().await;
        assert_eq!((&body[..], end), (want.as_bytes(), BodyEnd::Clean));
    }
}

#[tokio::test]
async fn a_reset_by_the_server_is_no_ordinary_close() {
    let (mut client, mut server) = pair().await;
    client.get("/", &[]).await;
    // A socket that is closed while bytes lie unread in it resets the connection.
    server.readable().await.unwrap();
    server.write_all(CHUNKED.as_bytes()).await.unwrap();
    client.read_head().await;
    drop(server);
    assert_eq!(client.read_body_chunk().await, Err(BodyEnd::Reset));
    assert_eq!(client.closed().await, BodyEnd::Reset);
}

#[tokio::test]
async fn the_client_can_leave_by_close_and_by_reset() {
    let (client, mut server) = pair().await;
    client.finish().await;
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);

    let (client, mut server) = pair().await;
    client.reset();
    let error = server.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn leaving_in_good_order_is_no_reset_though_bytes_were_unread() {
    let (client, mut server) = pair().await;
    server.write_all(&[b'x'; 4096]).await.unwrap();
    client.finish().await;
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn unix_sockets_work_the_same() {
    let (ours, mut server) = tokio::net::UnixStream::pair().unwrap();
    let mut client = RawClient::over(ours);
    server
        .write_all(format!("{CHUNKED}2\r\nhi\r\n").as_bytes())
        .await
        .unwrap();
    client.read_head().await;
    assert_eq!(client.read_body_chunk().await.unwrap(), "hi");
}

#[tokio::test]
#[should_panic(expected = "waited 20ms for a part of the body; 48 bytes had arrived")]
async fn a_wait_without_end_names_what_was_awaited_and_what_had_arrived() {
    let (client, mut server) = pair().await;
    let mut client = client.timeout(Duration::from_millis(20));
    server
        .write_all(format!("{CHUNKED}2").as_bytes())
        .await
        .unwrap();
    client.read_head().await;
    let _ = client.read_body_chunk().await;
}
