//! Answers that come once: `once`, and bodies that others have requested.

use std::convert::Infallible;
use std::time::Duration;

use bellwether_client::{Limits, read_event_bytes, read_events};
use bellwether_testkit::{Answer, ScriptedServer};
use bytes::{Buf, Bytes};
use futures_util::stream;
use http::Method;
use http_body_util::Full;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn once_asks_once_however_it_ends() {
    let answer = || Answer::event_stream().send("data: 1\n\n");
    let torn = Seen::Error("the event stream was cut".into());
    for (answer, last) in [
        (answer(), Seen::Closed),
        (answer().cut(), torn),
        (
            answer().hold(),
            Seen::Error("no byte of the stream arrived within 300s".into()),
        ),
        (
            Answer::refused(),
            Seen::Error("cannot reach the server".into()),
        ),
        (
            Answer::status(503),
            Seen::Error(
                "the server refused the event stream: found status 503 Service Unavailable, \
                 200 is allowed"
                    .into(),
            ),
        ),
    ] {
        let server = ScriptedServer::new([answer]);
        let mut source = source(&server).method(Method::POST).once().build().unwrap();
        assert_eq!(all(&mut source).await.pop(), Some(last));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(server.requests().len() <= 1);
    }
}

#[tokio::test]
async fn the_events_of_a_body_are_read_in_any_pieces() {
    let text = "\u{feff}id: 1\ndata: Hel\n\nevent: x\ndata: lo\n\ndata: unfinished";
    for size in [1, 5, 1000] {
        let pieces = text.as_bytes().chunks(size).map(Ok::<_, Infallible>);
        let mut events = read_event_bytes(stream::iter(pieces));
        let first = events.next().await.unwrap().unwrap();
        assert_eq!(
            (first.data.as_str(), first.last_event_id.as_str()),
            ("Hel", "1")
        );
        let second = events.next().await.unwrap().unwrap();
        assert_eq!((second.event.as_str(), second.data.as_str()), ("x", "lo"));
        assert!(events.next().await.is_none());
        assert!(events.next().await.is_none());
        assert_eq!(events.last_event_id(), "1");
    }
}

#[tokio::test]
async fn a_piece_of_several_chunks_is_read_whole() {
    let text = &b"data: 1\n\ndata: 2\n\n"[..];
    for cut in 0..=text.len() {
        let (start, end) = text.split_at(cut);
        let pieces = [start.chain(end), text.chain(&b""[..])].map(Ok::<_, Infallible>);
        let mut events = read_event_bytes(stream::iter(pieces));
        for expected in ["1", "2", "1", "2"] {
            let event = events.next().await.unwrap().unwrap();
            assert_eq!(event.data, expected, "cut at {cut}");
        }
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn the_sentinel_of_a_model_ends_the_stream_though_the_body_goes_on() {
    let body = Full::new(Bytes::from_static(
        b"data: {\"a\":1}\n\ndata: [DONE]\n\ndata: more\n\n",
    ));
    let mut events = read_events(body).until_data("[DONE]");
    let first = events
        .next_json::<serde_json::Value>()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.data["a"], 1);
    assert!(events.next().await.is_none());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_torn_body_and_one_beyond_the_limits_end_with_an_error() {
    let pieces = [
        Ok(&b"data: 1\n\ndata"[..]),
        Err(std::io::Error::other("torn")),
    ];
    let mut events = read_event_bytes(stream::iter(pieces));
    assert_eq!(events.next().await.unwrap().unwrap().data, "1");
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.is_transport() && error.is_closed());
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "torn"
    );
    assert!(events.next().await.is_none());

    let body = Full::new(Bytes::from_static(b"data: 1\n\ndata: 123456\n\n"));
    let mut events = read_events(body).limits(Limits::default().max_line_bytes(8));
    assert_eq!(events.next().await.unwrap().unwrap().data, "1");
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.is_limit() && error.is_closed());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn data_that_is_no_json_does_not_end_the_stream() {
    let body = Full::new(Bytes::from_static(b"data: x\n\ndata: 2\n\n"));
    let mut events = read_events(body);
    let error = events.next_json::<u32>().await.unwrap().unwrap_err();
    assert!(error.is_json() && !error.is_closed());
    assert_eq!(events.next_json::<u32>().await.unwrap().unwrap().data, 2);
    assert!(events.next_json::<u32>().await.is_none());
}
