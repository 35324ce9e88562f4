//! The example that answers a prompt word by word.

use bellwether_testkit::{BodyEnd, Program, RawClient};

use crate::started;

/// Reads a stream of tokens to its end: the text, and the id that the client keeps.
async fn answer(client: &mut RawClient) -> (String, String) {
    let head = client.read_head().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
    let (mut text, mut id) = (String::new(), String::new());
    loop {
        match client.next_event().await {
            Ok(event) if event.event == "message" => {
                let data: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
                text.push_str(data["token"].as_str().expect("a token"));
            }
            Ok(event) => id = event.last_event_id.as_str().to_owned(),
            Err(end) => {
                assert_eq!(end, BodyEnd::Clean);
                return (text, id);
            }
        }
    }
}

async fn post(program: &Program, body: &str) -> RawClient {
    let mut client = RawClient::connect(program.addr()).await;
    let request = format!(
        "POST /answer HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        program.addr(),
        body.len()
    );
    client.send(request).await;
    client
}

#[tokio::test]
async fn a_posted_prompt_is_answered_word_by_word() {
    let program = started("llm_tokens").await;
    let (text, _) = answer(&mut post(&program, r#"{"prompt":"Why bells?"}"#).await).await;
    assert!(text.starts_with("You asked: \"Why bells?\" "), "{text}");
    assert!(text.ends_with("is being made."), "{text}");
}

#[tokio::test]
async fn a_finished_answer_is_not_given_again_on_the_reconnect() {
    let program = started("llm_tokens").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/answer?prompt=Why").await;
    let (text, id) = answer(&mut client).await;
    assert!(text.contains("\"Why\""), "{text}");
    assert!(!id.is_empty(), "the end carries an id");

    let mut client = RawClient::connect(program.addr()).await;
    client
        .get("/answer?prompt=Why", &[("last-event-id", &id)])
        .await;
    assert_eq!(client.read_head().await.status, 204);
}

#[tokio::test]
async fn an_empty_prompt_is_refused_with_its_reason() {
    let program = started("llm_tokens").await;
    let mut client = post(&program, r#"{"prompt":" "}"#).await;
    assert_eq!(client.read_head().await.status, 400);
    let (body, _) = client.read_to_end().await;
    assert!(
        String::from_utf8_lossy(&body).contains("the prompt is empty"),
        "{body:?}"
    );
}

#[tokio::test]
async fn the_page_is_served() {
    let program = started("llm_tokens").await;
    let mut client = RawClient::connect_and_get(program.addr(), "/").await;
    let head = client.read_head().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
}
