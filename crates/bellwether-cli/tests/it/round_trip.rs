//! `encode | decode`: whatever text goes in comes out, but for what the format cannot tell apart.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::run;

const HOSTILE: [&str; 22] = [
    "",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "a\r\r\nb\n\rc",
    ":",
    ": comment",
    "data: injected\n\ndata: x",
    "\u{feff}",
    "\u{feff}data: x",
    "\0",
    "\u{b}\u{c}\u{85}\u{2028}\u{2029}",
    "\t tab",
    "\u{1b}[31m",
    "🐑\u{200d}é\u{301}",
    "\u{fffd}",
    "retry: 1",
    "id",
    "\"quoted\\\"",
    "{\"data\":1}",
];

/// What a client sees of data: every kind of break is LF.
fn received(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Sends the messages through both commands.
async fn round_trip(messages: &[Value]) -> Vec<Value> {
    let lines: Vec<String> = messages
        .iter()
        .map(|message| format!("{message}\n"))
        .collect();
    let encoded = run(&["encode"], lines.concat().as_bytes()).await;
    assert_eq!((encoded.code, encoded.err.as_str()), (Some(0), ""));
    let decoded = run(&["decode"], &encoded.out).await;
    assert_eq!((decoded.code, decoded.err.as_str()), (Some(0), ""));
    let lines = decoded.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The same text as data, and without what is not allowed there as name, id and comment.
fn message(text: &str) -> (Value, Value) {
    let name = text.replace(['\r', '\n'], "");
    let id = name.replace('\0', "");
    let sent = json!({"data": {"text": text}, "event": name, "id": id, "comment": text});
    let name = if name.is_empty() { "message" } else { &name };
    let seen = json!({"event": name, "data": received(text), "id": id});
    (sent, seen)
}

#[tokio::test]
async fn hostile_text_survives_in_every_field() {
    let (sent, seen): (Vec<_>, Vec<_>) = HOSTILE.iter().map(|text| message(text)).unzip();
    assert_eq!(round_trip(&sent).await, seen);
}

#[tokio::test]
async fn hostile_json_survives_as_a_value() {
    let values: Vec<Value> = HOSTILE.iter().map(|text| json!({*text: [text]})).collect();
    let sent: Vec<Value> = values
        .iter()
        .map(|value| json!({"data": {"json": value}}))
        .collect();
    let seen = round_trip(&sent).await;
    let data = seen.iter().map(|event| event["data"].as_str().unwrap());
    let seen: Vec<Value> = data
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(seen, values);
}

proptest! {
    // Each case starts two processes.
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_survives(texts in proptest::collection::vec(any::<String>(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sent, seen): (Vec<_>, Vec<_>) = texts.iter().map(|text| message(text)).unzip();
        let found = runtime.block_on(round_trip(&sent));
        prop_assert_eq!(found, seen);
    }
}
