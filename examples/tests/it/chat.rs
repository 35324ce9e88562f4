//! The chat room without a browser: lines, who is here, coming back.

use std::time::Duration;

use bellwether_testkit::{Program, RawClient, within};
use serde_json::{Value, json};

use crate::broadcast::post;
use crate::{next_json, started};

/// Enters the room and stays.
async fn enter(program: &Program, name: &str, last_event_id: &str) -> RawClient {
    let mut client = RawClient::connect(program.addr()).await;
    let headers = [("last-event-id", last_event_id)];
    let headers = &headers[..usize::from(!last_event_id.is_empty())];
    client.get(&format!("/room/{name}"), headers).await;
    assert_eq!(client.read_head().await.status, 200);
    client
}

/// Sends a line; each line has a key of its own.
async fn say(program: &Program, name: &str, text: &str) -> u16 {
    let line = json!({ "name": name, "text": text, "at": 0, "key": format!("{name} {text}") });
    let mut client = RawClient::connect(program.addr()).await;
    post(&mut client, "/room", line.to_string().as_bytes())
        .await
        .0
}

/// The next line, and its id.
async fn next_line(client: &mut RawClient) -> (Value, String) {
    loop {
        let event = client.next_event().await.unwrap();
        if event.event == "message" {
            let line: Value = serde_json::from_str(&event.data).unwrap();
            return (line["text"].clone(), event.last_event_id.to_string());
        }
        assert_eq!(event.event, "here");
    }
}

/// Reads until the list of who is here is this one.
async fn wait_for_here(client: &mut RawClient, names: &[&str]) {
    let expected = json!(names);
    let mut last = Value::Null;
    let came = within(Duration::from_secs(10), async {
        while last != expected {
            last = next_json(client).await;
        }
    });
    assert!(came.await.is_some(), "{names:?} never came, but {last}");
}

#[tokio::test]
async fn who_is_here_is_told_as_they_come_and_go() {
    let program = started("chat").await;
    let mut ada = enter(&program, "Ada", "").await;
    wait_for_here(&mut ada, &["Ada"]).await;
    let bob = enter(&program, "Bob", "").await;
    wait_for_here(&mut ada, &["Ada", "Bob"]).await;
    let same_bob = enter(&program, "Bob", "").await;
    bob.finish().await;
    let mut eve = enter(&program, "Eve%20%C3%84", "").await;
    wait_for_here(&mut eve, &["Ada", "Bob", "Eve Ä"]).await;
    same_bob.reset();
    wait_for_here(&mut ada, &["Ada", "Eve Ä"]).await;
}

#[tokio::test]
async fn a_newcomer_gets_what_was_said_and_who_comes_back_only_what_is_new() {
    let program = started("chat").await;
    for text in ["one", "two"] {
        assert_eq!(say(&program, "Ada", text).await, 204);
    }
    let mut bob = enter(&program, "Bob", "").await;
    assert_eq!(next_line(&mut bob).await.0, "one");
    let (text, id) = next_line(&mut bob).await;
    assert_eq!(text, "two");
    drop(bob);
    for i in 0..50 {
        say(&program, "Ada", &i.to_string()).await;
    }
    let mut bob = enter(&program, "Bob", &id).await;
    for i in 0..50 {
        assert_eq!(next_line(&mut bob).await.0, i.to_string());
    }
}

#[tokio::test]
async fn a_line_that_is_sent_again_is_said_once() {
    let program = started("chat").await;
    for text in ["one", "one", "two"] {
        assert_eq!(say(&program, "Ada", text).await, 204);
    }
    let mut bob = enter(&program, "Bob", "").await;
    assert_eq!(next_line(&mut bob).await.0, "one");
    assert_eq!(next_line(&mut bob).await.0, "two");
}

#[tokio::test]
async fn names_and_lines_that_are_empty_or_too_long_are_refused() {
    let program = started("chat").await;
    let long_line = "x".repeat(2001);
    let long_name = "x".repeat(25);
    for (name, text) in [
        ("Ada", " "),
        ("", "hello"),
        ("Ada", &long_line),
        (&long_name, "hello"),
    ] {
        assert_eq!(say(&program, name, text).await, 400, "{name:?} {text:?}");
    }
    for name in ["%20", &long_name] {
        let path = format!("/room/{name}");
        let mut client = RawClient::connect_and_get(program.addr(), &path).await;
        assert_eq!(client.read_head().await.status, 400);
        let (text, _) = client.read_to_end().await;
        assert!(String::from_utf8_lossy(&text).contains("a name has 1 to 24 characters"));
    }
}
