//! `bellwether encode`: messages to the very bytes of the vectors, and refusals by line.

use serde_json::{Map, Value, json};

use crate::support::{Running, run, run_slowly};
use crate::wire_vectors::{EncodeVector, encode_vectors};

/// The message of a vector, as a line of JSON.
fn line(vector: &EncodeVector) -> String {
    let fields = &vector.event;
    let mut message = Map::new();
    if let Some(text) = &fields.data {
        message.insert("data".to_owned(), json!({"text": text}));
    }
    if let Some(value) = &fields.json {
        message.insert("data".to_owned(), json!({"json": value}));
    }
    for (key, value) in [
        ("event", &fields.event),
        ("id", &fields.id),
        ("comment", &fields.comment),
    ] {
        if let Some(value) = value {
            message.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(ms) = fields.retry_ms {
        message.insert("retry".to_owned(), json!({"ms": ms}));
    }
    Value::Object(message).to_string()
}

#[tokio::test]
async fn every_vector_encodes_to_its_bytes_or_is_refused_with_its_reason() {
    for vector in encode_vectors() {
        let line = line(&vector);
        let done = run(&["encode"], line.as_bytes()).await;
        match (&vector.bytes, &vector.refused) {
            (Some(bytes), _) => {
                assert_eq!(done.text(), bytes, "{}: {}", vector.name, vector.clause);
                assert_eq!(done.code, Some(0), "{}", vector.name);
            }
            (None, reason) => {
                let reason = reason.as_deref().unwrap();
                assert_eq!(done.err, format!("bellwether: line 1: {reason}\n"));
                assert_eq!((done.text(), done.code), ("", Some(1)), "{}", vector.name);
            }
        }
    }
}

#[tokio::test]
async fn refused_lines_are_named_and_the_others_go_through() {
    let input = b"{\"data\":{\"text\":\"a\"}}\n\n  \r\n{\"id\":\"1\\n2\"}\nnonsense\n\
        {\"id\":null}\n{\"retry\":{\"ms\":-1}}\n{\"retry\":{\"ms\":0.5}}\n{\"x\":1}\n\"\xff\"\n{\"data\":{\"json\":[1, 2]}}";
    let done = run(&["encode"], input).await;
    assert_eq!(done.text(), "data: a\n\ndata: [1,2]\n\n");
    assert_eq!(done.code, Some(1));
    let refused: Vec<&str> = done.err.lines().collect();
    let expected = [
        (
            4,
            "event id must not contain a line break or U+0000: found U+000A at byte 1",
        ),
        (5, "not JSON: expected ident in column 2"),
        (
            6,
            "\"id\" must be a string: found null; leave the key out to set nothing",
        ),
        (
            7,
            "\"ms\" must be a whole number of milliseconds, 0 or more: found -1",
        ),
        (
            8,
            "\"ms\" must be a whole number of milliseconds, 0 or more: found 0.5",
        ),
        (
            9,
            "found the key \"x\"; \"data\", \"event\", \"id\", \"retry\" and \"comment\" are allowed",
        ),
        (10, "not UTF-8: found an invalid byte in column 2"),
    ];
    let expected = expected.map(|(number, reason)| format!("bellwether: line {number}: {reason}"));
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_next_one_goes_through() {
    let input = b"{\"comment\":\"1234567890\"}\n{\"comment\":\"1\"}\n";
    let arguments = ["encode", "--max-line-bytes", "20"];
    for size in [1, 7, 100] {
        let done = run_slowly(&arguments, input.chunks(size)).await;
        assert_eq!((done.text(), done.code), (": 1\n", Some(1)));
        let expected = "bellwether: line 1: found a line of more than 20 bytes\n";
        assert_eq!(done.err, expected);
    }
}

#[tokio::test]
async fn each_event_goes_out_before_the_next_line_comes() {
    let mut encode = Running::start(&["encode"]);
    encode
        .write(b"{\"data\":{\"text\":\"a\"}}\n{\"data\"")
        .await;
    assert_eq!(encode.line().await, "data: a");
    assert_eq!(encode.line().await, "");
    encode.write(b":{\"text\":\"b\"}}").await;
    encode.close_input();
    assert_eq!(encode.line().await, "data: b");
    assert!(encode.end().await.0.success());
}

#[tokio::test]
async fn json_is_exact_where_floats_and_maps_are_not() {
    let input = br#"{"data":{"json":{"z":100000000000000000000000001,"a":1.10,"z":-0,"e":1E400}}}"#;
    let done = run(&["encode"], input).await;
    let expected = "data: {\"z\":100000000000000000000000001,\"a\":1.10,\"z\":-0,\"e\":1E400}\n\n";
    assert_eq!((done.text(), done.err.as_str()), (expected, ""));
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_without_a_word() {
    let mut encode = Running::start(&["encode"]);
    encode.write(b"{\"data\":{\"text\":\"a\"}}\n").await;
    encode.line().await;
    encode.close_output();
    encode.write(b"{\"data\":{\"text\":\"a\"}}\n").await;
    let (status, err) = encode.end().await;
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}
