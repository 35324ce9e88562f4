//! `bellwether decode`: the standard's rules through the pipe, however the bytes come.

use serde_json::{Value, json};

use crate::support::{Done, Running, run, run_slowly};
use crate::wire_vectors::{DecodeVector, decode_vectors};

/// Pieces of one byte, as far as that takes no minutes.
fn bytes_one_by_one(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (start, rest) = bytes.split_at(bytes.len().min(2000));
    start.chunks(1).chain(rest.chunks(4096))
}

/// Decodes the connections one after the other, and compares everything that came out.
async fn check(vector: &DecodeVector, is_slow: bool) {
    let mut events = Vec::new();
    let mut id = String::new();
    let mut retry = Value::Null;
    for (index, connection) in vector.connections().iter().enumerate() {
        let mut arguments = vec!["decode".to_owned(), "--state".to_owned()];
        arguments.push(format!("--last-event-id={id}"));
        if let Some(limits) = vector.limits {
            arguments.push(format!("--max-line-bytes={}", limits.max_line_bytes));
            arguments.push(format!("--max-event-bytes={}", limits.max_event_bytes));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = match is_slow {
            false => run(&arguments, connection).await,
            true => run_slowly(&arguments, bytes_one_by_one(connection)).await,
        };
        let mut lines = json_lines(&done);
        match vector.errors.get(index).cloned().flatten() {
            Some(limit) => {
                assert_eq!(done.code, Some(1), "{}", vector.name);
                assert!(done.err.contains(&limit), "{}: {}", vector.name, done.err);
            }
            None => {
                assert_eq!(done.code, Some(0), "{}: {}", vector.name, done.err);
                assert_eq!(done.err, "", "{}", vector.name);
                let state = lines.pop().unwrap();
                id = state["last_event_id"].as_str().unwrap().to_owned();
                if !state["reconnection_ms"].is_null() {
                    retry = state["reconnection_ms"].clone();
                }
            }
        }
        events.extend(lines);
    }
    let expected: Vec<Value> = vector
        .events
        .iter()
        .map(|event| json!({"event": event.event, "data": event.data, "id": event.last_event_id}))
        .collect();
    assert_eq!(events, expected, "{}: {}", vector.name, vector.clause);
    if vector.errors.iter().all(Option::is_none) {
        assert_eq!(id, vector.last_event_id, "{}", vector.name);
        assert_eq!(retry, json!(vector.retry_ms), "{}", vector.name);
    }
}

fn json_lines(done: &Done) -> Vec<Value> {
    let lines = done.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_vector_decodes_as_the_standard_says() {
    for vector in decode_vectors() {
        check(&vector, false).await;
    }
}

#[tokio::test]
async fn every_vector_decodes_the_same_byte_by_byte() {
    for vector in decode_vectors() {
        check(&vector, true).await;
    }
}

#[tokio::test]
async fn an_event_is_printed_as_soon_as_the_break_of_its_blank_line_begins() {
    let mut decode = Running::start(&["decode"]);
    for byte in b"id: 1\rdata: a\r" {
        decode.write(&[*byte]).await;
    }
    decode.write(b"\r").await;
    assert_eq!(
        decode.line().await,
        r#"{"event":"message","data":"a","id":"1"}"#
    );
    decode.write(b"\nevent: b\ndata\n\ndata: unfinished").await;
    assert_eq!(decode.line().await, r#"{"event":"b","data":"","id":"1"}"#);
    decode.close_input();
    assert_eq!(decode.line().await, "");
    assert!(decode.end().await.0.success());
}

#[tokio::test]
async fn the_state_is_told_at_the_end_and_null_where_nothing_was_set() {
    let done = run(&["decode", "--state"], b"").await;
    let expected = "{\"last_event_id\":\"\",\"reconnection_ms\":null}\n";
    assert_eq!(done.text(), expected);
    let done = run(&["decode", "--state", "-"], b"retry: 30\nid: 7\n\nid: 8\n").await;
    let expected = "{\"last_event_id\":\"7\",\"reconnection_ms\":30}\n";
    assert_eq!(done.text(), expected);
}

#[tokio::test]
async fn an_event_of_the_largest_size_passes_and_one_byte_more_does_not() {
    let limit = ["decode", "--max-event-bytes", "10"];
    let done = run(&limit, b"data: 1234567890\n\n").await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let done = run(&limit, b"data: a\n\ndata: 12345678901\n\ndata: b\n\n").await;
    assert_eq!(done.code, Some(1));
    assert_eq!(
        done.text(),
        "{\"event\":\"message\",\"data\":\"a\",\"id\":\"\"}\n"
    );
    let expected =
        "bellwether: cannot decode the event stream: found an event of more than 10 bytes\n";
    assert_eq!(done.err, expected);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let done = run(&["decode", "no such file"], b"").await;
    assert_eq!(done.code, Some(1));
    assert!(
        done.err
            .starts_with("bellwether: cannot open no such file: ")
    );
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_without_a_word() {
    let mut decode = Running::start(&["decode"]);
    decode.write(b"data: a\n\n").await;
    decode.line().await;
    decode.close_output();
    decode.write(b"data: b\n\n").await;
    let (status, err) = decode.end().await;
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn wrong_usage_is_code_2() {
    assert_eq!(
        run(&["decode", "--no-such-option"], b"").await.code,
        Some(2)
    );
    assert_eq!(run(&[], b"").await.code, Some(2));
    assert_eq!(run(&["--version"], b"").await.code, Some(0));
}
