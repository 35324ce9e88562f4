//! What a request carries beyond a browser's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwether_client::transport::{Io, PersistentConnection, Transport as _};
use bellwether_client::{EventSource, HyperTransport, Item};
use bellwether_testkit::{Answer, ScriptedServer};
use http::Method;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn any_method_and_body_go_out_with_every_request_and_through_redirects() {
    let server = ScriptedServer::new([
        Answer::redirect(307, "/v2/chat"),
        Answer::event_stream().send("data: 1\n\n"),
    ]);
    let mut source = source(&server)
        .method(Method::POST)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream, application/json")
        .body(r#"{"stream":true}"#)
        .build()
        .unwrap();
    all(&mut source).await;
    for request in server.requests() {
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, r#"{"stream":true}"#);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(
            request.header("accept"),
            Some("text/event-stream, application/json")
        );
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_before_each_connection_and_a_failure_is_tried_again() {
    let server = ScriptedServer::new([
        Answer::event_stream().send("data: 1\n\n"),
        Answer::event_stream().send("data: 2\n\n"),
    ]);
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let mut source = source(&server)
        .bearer_token(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                match number {
                    1 => Err(std::io::Error::other("the token service is down")),
                    _ => Ok(format!("t{number}")),
                }
            }
        })
        .build()
        .unwrap();
    let mut causes = Vec::new();
    while let Some(Ok(item)) = source.next().await {
        if let Item::Waiting(waiting) = item {
            causes.extend(waiting.cause);
        }
    }
    let [cause] = &causes[..] else {
        panic!("{causes:?}");
    };
    assert!(cause.is_token());
    let source = std::error::Error::source(cause).unwrap();
    assert_eq!(source.to_string(), "the token service is down");
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|r| r.header("authorization")).collect();
    assert_eq!(
        sent,
        [Some("Bearer t0"), Some("Bearer t2"), Some("Bearer t3")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_header_can_carry_does_not_end_the_source_nor_reach_a_log() {
    let server = ScriptedServer::new([]);
    let mut source = source(&server)
        .bearer_token(|| async { Ok::<_, std::io::Error>("top\nsecret".to_owned()) })
        .build()
        .unwrap();
    source.next().await;
    let item = format!("{:?}", source.next().await.unwrap().unwrap());
    assert!(item.contains("Token") && !item.contains("secret"), "{item}");
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_and_none_is_shown() {
    let builder = || EventSource::builder("http://example.com/");
    let bad = builder()
        .header("x-a", "line\nbreak")
        .header("x-b", "fine")
        .build();
    let error = bad.unwrap_err();
    assert!(error.is_invalid());
    assert_eq!(error.to_string(), "cannot send the header field \"x-a\"");
    assert!(
        builder()
            .header("no name", "x")
            .build()
            .unwrap_err()
            .is_invalid()
    );
    let shown = format!("{:?}", builder().header("x-api-key", "secret"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_user_in_the_url_is_a_header_of_its_origin_and_never_part_of_the_host() {
    let server = ScriptedServer::new([Answer::redirect(302, "http://elsewhere.example/x")]);
    let url = "http://me:sec%20ret@example.com/events";
    let mut source = source_for(&server, url).build().unwrap();
    let items = all(&mut source).await;
    assert!(!format!("{items:?} {source:?}").contains("sec"));
    let requests = server.requests();
    assert_eq!(requests[0].header("host"), Some("example.com"));
    assert_eq!(
        requests[0].header("authorization"),
        Some("Basic bWU6c2VjIHJldA==")
    );
    assert_eq!(requests[1].header("authorization"), None);
}

#[tokio::test(start_paused = true)]
async fn a_transport_does_not_guess_where_a_url_leads() {
    let server = ScriptedServer::new([]);
    for url in [
        "http://example.com:80800/",
        "http://example.com:8o/",
        "http://me:secret@example.com/",
    ] {
        let mut request = http::Request::new(bytes::Bytes::new());
        let Ok(url) = url.parse() else {
            continue;
        };
        *request.uri_mut() = url;
        let sent = transport(&server).send(request.clone()).await;
        assert!(sent.is_err(), "{:?}", request.uri());
        let mut connection = PersistentConnection::new(transport(&server));
        assert!(connection.send(request, 10).await.is_err());
    }
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_asks_again_over_the_same_one_until_it_has_rested_or_the_origin_changes()
{
    let answer = Answer::status(200).send("ok").with_length();
    let server = ScriptedServer::new([answer]).repeat_last();
    let connections = Arc::new(AtomicU32::new(0));
    let (count, pipes) = (Arc::clone(&connections), server.clone());
    let transport = HyperTransport::new().connector(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let pipe = pipes.connect();
        async { pipe.map(Io::new) }
    });
    let mut connection = PersistentConnection::new(transport);
    let second = Duration::from_secs(1);
    for (host, rest, expected) in [
        ("a", Duration::ZERO, 1),
        ("a", second, 1),
        ("a", second * 2, 2),
        ("b", Duration::ZERO, 3),
        ("b", Duration::ZERO, 3),
    ] {
        tokio::time::advance(rest).await;
        let mut request = http::Request::new(bytes::Bytes::from("x"));
        *request.uri_mut() = format!("http://{host}/").parse().unwrap();
        let answer = connection.send(request, 10).await.unwrap();
        assert_eq!(answer.into_body(), "ok");
        assert_eq!(
            connections.load(Ordering::Relaxed),
            expected,
            "{host} {rest:?}"
        );
    }
    let mut request = http::Request::new(bytes::Bytes::new());
    *request.uri_mut() = http::Uri::from_static("http://b/");
    assert!(
        connection.send(request, 1).await.is_err(),
        "more than allowed"
    );
}
