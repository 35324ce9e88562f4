//! The broadcaster: what is published reaches every reader once and in order, whatever happens to its connection; what
//! cannot be published is refused with its reason.

use std::time::Duration;

use bellwether::Cursor;
use bellwether_testkit::{BodyEnd, Program, RawClient, example_path};
use serde_json::Value;

use crate::started;

/// Posts a body on a connection that stays open, and returns the status and the text of the answer.
pub(crate) async fn post(client: &mut RawClient, path: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).await;
    let status = client.read_head().await.status;
    let (body, _) = client.read_to_end().await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Publishes and returns the id.
async fn publish(client: &mut RawClient, topic: &str, text: &str) -> String {
    let path = format!("/publish?topic={topic}");
    let (status, id) = post(client, &path, text.as_bytes()).await;
    assert_eq!(status, 200, "{id}");
    id
}

/// A reader whose subscription has begun.
async fn subscribe(program: &Program, query: &str, last_event_id: &str) -> RawClient {
    let mut client = RawClient::connect(program.addr()).await;
    let headers: &[_] = match last_event_id {
        "" => &[],
        id => &[("last-event-id", id)],
    };
    client.get(&format!("/events?{query}"), headers).await;
    assert_eq!(client.read_head().await.status, 200);
    client
}

#[tokio::test]
async fn what_is_posted_to_a_topic_reaches_its_readers_and_nobody_else() {
    let program = started("broadcast").await;
    let mut news = subscribe(&program, "topic=news", "").await;
    let mut weather = subscribe(&program, "topic=weather", "").await;
    let mut publisher = RawClient::connect(program.addr()).await;
    for text in ["", "hello", "two\nlines", "Grüße"] {
        let id = publish(&mut publisher, "news", text).await;
        let event = news.next_event().await.unwrap();
        assert_eq!((event.event.as_str(), &*event.data), ("message", text));
        assert_eq!(event.last_event_id, *id);
    }
    publish(&mut publisher, "weather", "rain").await;
    assert_eq!(weather.next_event().await.unwrap().data, "rain");
}

#[tokio::test]
async fn ids_increase() {
    let program = started("broadcast").await;
    let mut publisher = RawClient::connect(program.addr()).await;
    let mut last = None;
    for i in 0..200 {
        let id = publish(&mut publisher, ["a", "b"][i % 2], "x").await;
        let offset = id.parse::<Cursor>().unwrap().offset;
        assert!(last < Some(offset), "{id}");
        last = Some(offset);
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_again_and_again_gets_each_event_once_and_in_order() {
    const EVENTS: usize = 400;
    let program = started("broadcast").await;
    let mut publisher = RawClient::connect(program.addr()).await;
    let mut id = publish(&mut publisher, "news", "0").await;
    let publishing = tokio::spawn(async move {
        for i in 1..EVENTS {
            publish(&mut publisher, "news", &i.to_string()).await;
        }
    });
    let mut next = 1;
    for visit in 0.. {
        // In turn as a browser sends it and as a first connection must.
        let mut reader = match visit % 2 {
            0 => subscribe(&program, "topic=news", &id).await,
            _ => subscribe(&program, &format!("topic=news&last_event_id={id}"), "").await,
        };
        for _ in 0..visit % 30 {
            if next == EVENTS {
                publishing.await.unwrap();
                return;
            }
            let event = reader.next_event().await.unwrap();
            assert_eq!(event.data, next.to_string());
            id = event.last_event_id.to_string();
            next += 1;
        }
        match visit % 3 {
            0 => reader.finish().await,
            _ => reader.reset(),
        }
    }
}

#[tokio::test]
async fn an_id_that_the_server_does_not_know_is_answered_with_a_gap() {
    let program = started("broadcast").await;
    let long = "9".repeat(4000);
    let garbage = ["nonsense", "0", "1.2.3.4", "-1", &long];
    for (id, query) in garbage.map(|id| [(id, ""), ("", id)]).concat() {
        let query = format!("topic=news&last_event_id={query}");
        let mut reader = subscribe(&program, &query, id).await;
        let gap = reader.next_event().await.unwrap();
        assert_eq!(gap.event, "bellwether.gap");
        let data: Value = serde_json::from_str(&gap.data).unwrap();
        assert_eq!(data["reason"], "unknown");
    }
}

#[tokio::test]
async fn after_a_restart_a_reader_that_comes_back_is_told_of_a_gap_and_then_goes_on() {
    let mut program = started("broadcast").await;
    let mut publisher = RawClient::connect(program.addr()).await;
    let id = publish(&mut publisher, "news", "before").await;
    program.terminate().await;
    assert!(program.wait_exit(Duration::from_secs(20)).await.success());

    let port = program.addr().rsplit_once(':').unwrap().1.to_owned();
    let program = Program::start(example_path("broadcast"), &[("PORT", &port)]).await;
    let mut reader = subscribe(&program, "topic=news", &id).await;
    let gap = reader.next_event().await.unwrap();
    assert_eq!(gap.event, "bellwether.gap");
    assert!(gap.data.contains(r#""reason":"epoch""#), "{}", gap.data);
    // With the gap's own id, the next reconnect is a clean one.
    drop(reader);
    let mut reader = subscribe(&program, "topic=news", gap.last_event_id.as_str()).await;
    let mut publisher = RawClient::connect(program.addr()).await;
    publish(&mut publisher, "news", "after").await;
    assert_eq!(reader.next_event().await.unwrap().data, "after");
}

#[tokio::test]
async fn two_hundred_readers_get_the_same_bytes() {
    let program = started("broadcast").await;
    let mut readers = Vec::new();
    for _ in 0..200 {
        readers.push(subscribe(&program, "topic=news", "").await);
    }
    let mut publisher = RawClient::connect(program.addr()).await;
    let mut expected = String::new();
    for i in 0..50 {
        let text = format!("{} {i}", "x".repeat(i * 10));
        let id = publish(&mut publisher, "news", &text).await;
        expected += &format!("data: {text}\nid: {id}\n\n");
    }
    let last = expected
        .rsplit_once("data: ")
        .map(|(_, last)| last.to_owned())
        .unwrap();
    for mut reader in readers {
        let mut body = Vec::new();
        while !body.ends_with(last.as_bytes()) {
            body.extend(reader.read_body_chunk().await.unwrap());
        }
        let body = String::from_utf8(body).unwrap();
        // Each has a time of its own to come back.
        let (retry, events) = body.split_once("\n\n").unwrap();
        assert!(retry.starts_with("retry: "), "{retry}");
        assert!(events == expected, "{} bytes", events.len());
    }
}

#[tokio::test]
async fn the_generator_gives_each_number_once_and_in_order() {
    let program = started("broadcast").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/gen").await;
    client.read_head().await;
    for i in 0..100_000 {
        let data = client.next_event().await.unwrap().data;
        assert_eq!(data, format!(r#"{{"i":{i},"msg":"hello"}}"#));
    }
}

#[tokio::test]
async fn without_a_topic_both_routes_say_what_is_missing() {
    let program = started("broadcast").await;
    let mut client = RawClient::connect(program.addr()).await;
    let (status, text) = post(&mut client, "/publish", b"x").await;
    assert_eq!(status, 400);
    assert!(text.contains("missing field `topic`"), "{text}");
    let mut client = RawClient::connect_and_get(program.addr(), "/events").await;
    assert_eq!(client.read_head().await.status, 400);
    let (text, end) = client.read_to_end().await;
    assert_eq!(end, BodyEnd::Clean);
    assert!(text.ends_with(b"missing field `topic`"), "{text:?}");
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_events_and_others_are_refused_with_their_reason() {
    const MAX: usize = 1024 * 1024;
    let program = started("broadcast").await;
    let mut reader = subscribe(&program, "topic=a", "").await;
    let mut client = RawClient::connect(program.addr()).await;
    let largest = "x".repeat(MAX);
    publish(&mut client, "a", &largest).await;
    assert!(reader.next_event().await.unwrap().data == largest);

    let lines = "\n".repeat(MAX);
    let too_long = "x".repeat(MAX + 1);
    for (topic, body, status, reason) in [
        ("a", lines.as_bytes(), 413, "at most 2097152 are allowed"),
        ("a", b"\xff\xfe", 400, "valid UTF-8"),
        ("", b"x", 400, "as a name"),
        ("a", too_long.as_bytes(), 413, "limit exceeded"),
    ] {
        let path = format!("/publish?topic={topic}");
        let (found, text) = post(&mut client, &path, body).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(reason), "{text}");
    }
    publish(&mut RawClient::connect(program.addr()).await, "a", "next").await;
    assert_eq!(reader.next_event().await.unwrap().data, "next");
}
