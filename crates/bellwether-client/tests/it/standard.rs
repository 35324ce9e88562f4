//! The connection rules of WHATWG HTML 9.2.3 and the web-platform-tests about them.

use std::time::Duration;

use bellwether_client::{EventSource, Item, State};
use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::*;

fn stream(bytes: &'static str) -> Answer {
    Answer::event_stream().send(bytes)
}

// request-accept, request-cache-control, eventsource-url.
#[tokio::test(start_paused = true)]
async fn a_request_asks_for_an_event_stream_and_no_cache_and_has_no_id() {
    let server = ScriptedServer::new([stream("data: 1\n\n")]);
    let mut source = source_for(&server, "http://example.com:8000/a/b?c=d#e")
        .build()
        .unwrap();
    all(&mut source).await;
    for request in server.requests() {
        assert_eq!((&*request.method, &*request.target), ("GET", "/a/b?c=d"));
        assert_eq!(request.header("host"), Some("example.com:8000"));
        assert_eq!(request.header("accept"), Some("text/event-stream"));
        assert_eq!(request.header("cache-control"), Some("no-cache"));
        assert_eq!(request.header("last-event-id"), None);
        assert_eq!(request.header("accept-encoding"), None);
    }
    assert_eq!(
        server.requests().len(),
        2,
        "the second run is asked in the same way"
    );
}

// eventsource-reconnect, eventsource-close, eventsource-onopen.
#[tokio::test(start_paused = true)]
async fn states_and_messages_come_in_order_until_204() {
    let server = ScriptedServer::new([stream("retry: 2000\ndata: 1\n\n"), stream("data: 2\n\n")]);
    let mut source = source(&server).build().unwrap();
    assert_eq!(source.state(), State::Connecting);
    let expected = [
        Seen::Connecting,
        Seen::Open,
        message("1", ""),
        waiting(2000),
        Seen::Connecting,
        Seen::Open,
        message("2", ""),
        waiting(2000),
        Seen::Connecting,
        finished(),
    ];
    assert_eq!(all(&mut source).await, expected);
    assert_eq!(source.state(), State::Closed);
    assert_eq!(pauses(&server), [Duration::from_secs(2); 2]);
}

// request-status-error and the table of statuses that were measured in all engines.
#[tokio::test(start_paused = true)]
async fn every_status_but_200_is_final() {
    for status in [
        201, 202, 204, 205, 206, 210, 299, 300, 304, 400, 401, 403, 404, 408, 410, 425, 429, 500,
        502, 503, 504,
    ] {
        let refusal = Answer::status(status)
            .header("content-type", "text/event-stream")
            .header("retry-after", "1")
            .header("x-why", "because");
        let refusal = match status {
            204 | 205 | 304 => refusal,
            _ => refusal.send("data: no message\n\n"),
        };
        // On the first connection, and on a later one.
        for before in [vec![], vec![stream("data: 1\n\n")]] {
            let count = before.len();
            let server = ScriptedServer::new(before.into_iter().chain([refusal.clone()]));
            let mut source = source(&server).build().unwrap();
            let error = loop {
                match source.next().await.unwrap() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(source.next().await.is_none());
            assert!(error.is_closed() && error.is_status(), "{status}");
            assert_eq!(error.is_finished(), status == 204);
            assert_eq!(error.status().unwrap().as_u16(), status);
            assert_eq!(error.headers().unwrap()["x-why"], "because");
            let body = match status {
                204 | 205 | 304 => "",
                _ => "data: no message\n\n",
            };
            assert_eq!(error.body_start().unwrap(), body, "{status}");
            assert_eq!(server.requests().len(), count + 1);
        }
    }
}

// format-mime-bogus, -valid-bogus, -trailing-semicolon; format-utf-8.
#[tokio::test(start_paused = true)]
async fn only_an_event_stream_opens_whatever_its_parameters() {
    for (value, opens) in [
        ("text/event-stream", true),
        ("text/event-stream;", true),
        ("text/event-stream;charset=windows-1252", true),
        ("TEXT/Event-Stream; charset=utf-8", true),
        ("x bogus", false),
        ("text/x-bogus", false),
        ("text/html", false),
        ("", false),
    ] {
        let mut answer = Answer::status(200).send("data: ok…\n\n");
        if !value.is_empty() {
            answer = answer.header("content-type", value);
        }
        let server = ScriptedServer::new([answer]);
        let mut source = source(&server).build().unwrap();
        let items = all(&mut source).await;
        assert_eq!(
            items.contains(&message("ok…", "")),
            opens,
            "{value:?}: {items:?}"
        );
        if !opens {
            assert_eq!(items.len(), 2);
            let text = format!(
                "the server did not answer with an event stream: found content type \"{value}\", \
                 text/event-stream is allowed"
            );
            assert_eq!(items[1], Seen::Error(text));
        }
    }
}

// format-field-id, -id-2, -id-3, -id-null.
#[tokio::test(start_paused = true)]
async fn the_last_event_id_goes_out_in_utf_8_and_outlives_connections_without_one() {
    let server = ScriptedServer::new([
        stream("id: …\ndata: 1\n\n"),
        stream("data: 2\n\n"),
        stream("id: 3\n\n"),
        stream("data: 4\n\nid: unfinished\ndata: 5\n"),
        stream("id: 6\0\ndata: 6\n\n"),
        stream("id\ndata: 7\n\n"),
    ]);
    let mut source = source(&server).build().unwrap();
    let items = all(&mut source).await;
    let got: Vec<_> = items
        .iter()
        .filter(|item| matches!(item, Seen::Message(..)))
        .collect();
    assert_eq!(
        got,
        [
            &message("1", "…"),
            &message("2", "…"),
            &message("4", "3"),
            &message("6", "3"),
            &message("7", ""),
        ]
    );
    let expected = [
        None,
        Some("…"),
        Some("…"),
        Some("3"),
        Some("3"),
        Some("3"),
        None,
    ];
    assert_eq!(ids(&server), expected.map(|id| id.map(str::to_owned)));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_no_header_can_carry_is_left_out_and_the_source_goes_on() {
    let server = ScriptedServer::new([stream("id: a\u{1}b\ndata: 1\n\n"), stream("data: 2\n\n")]);
    let mut source = source(&server).build().unwrap();
    assert_eq!(data(&mut source).await, ["1", "2"]);
    assert_eq!(ids(&server), [None, None, None]);
    assert_eq!(source.last_event_id(), "a\u{1}b");
}

// format-field-retry, -retry-bogus, -retry-empty, format-data-before-final-empty-line.
#[tokio::test(start_paused = true)]
async fn retry_counts_without_data_and_without_a_blank_line_and_lasts() {
    let server = ScriptedServer::new([
        stream("data: 1\n\nretry: 0700\n"),
        stream("data: 2\n\nretry: 1000x\n\nretry: +5\nretry: -1\nretry\nretry:\n"),
        stream("data: 3\n\n: retry: 9\nretry: 800"),
    ]);
    let mut source = source(&server).build().unwrap();
    assert_eq!(data(&mut source).await, ["1", "2", "3"]);
    assert_eq!(pauses(&server), [Duration::from_millis(700); 3]);
}

// format-bom; the mark is stripped once for each connection.
#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_is_skipped_on_every_connection() {
    let marked = stream("\u{feff}data: 1\n\n\u{feff}data: 2\n\n");
    let server = ScriptedServer::new([marked.clone(), marked]);
    let mut source = source(&server).build().unwrap();
    assert_eq!(data(&mut source).await, ["1", "1"]);
}

// Abrupt end, RST and short Content-Length, as measured in all engines; each kind of framing.
#[tokio::test(start_paused = true)]
async fn however_a_stream_ends_it_is_connected_to_again() {
    let torn = Some("the event stream was cut".to_owned());
    let long = || stream("id: 1\ndata: 1\n\ndata: unfinished");
    for (answer, cause) in [
        (long(), None),
        (long().with_length(), None),
        (long().until_close(), None),
        (long().cut(), torn.clone()),
        (long().reset(), torn.clone()),
        (long().with_length_of(1000).cut(), torn.clone()),
        (long().with_length_of(1000).reset(), torn.clone()),
        (long().until_close().reset(), torn.clone()),
    ] {
        let what = format!("{answer:?}");
        let server = ScriptedServer::new([answer, stream("data: 2\n\n")]);
        let mut source = source(&server).build().unwrap();
        let items = all(&mut source).await;
        assert_eq!(items[2], message("1", "1"), "{what}");
        assert_eq!(
            items[3],
            Seen::Waiting(Duration::from_secs(3), cause),
            "{what}"
        );
        assert_eq!(items[6], message("2", "1"), "{what}");
        assert_eq!(ids(&server)[1].as_deref(), Some("1"));
    }
}

// A refused connection, an empty reply and a reset before the head: wait and try again.
#[tokio::test(start_paused = true)]
async fn no_answer_is_no_end() {
    for nothing in [
        Answer::refused(),
        Answer::empty_reply(),
        Answer::raw().reset(),
        Answer::raw().send("HTTP/1.1 200 OK\r\ncontent-ty").cut(),
        Answer::raw().send("nonsense\r\n\r\n"),
    ] {
        let what = format!("{nothing:?}");
        let server = ScriptedServer::new([nothing, stream("data: 1\n\n")]);
        let mut source = source(&server).build().unwrap();
        let items = all(&mut source).await;
        let Seen::Waiting(_, Some(cause)) = &items[1] else {
            panic!("{what}: {items:?}");
        };
        assert_eq!(cause, "cannot reach the server", "{what}");
        assert!(items.contains(&message("1", "")), "{what}");
    }
}

// eventsource-close: close() works, and then there is silence.
#[tokio::test(start_paused = true)]
async fn close_ends_the_connection_and_the_source() {
    let server = ScriptedServer::new([stream("data: 1\n\ndata: 2\n\n").hold()]);
    let mut source = source(&server).build().unwrap();
    while next(&mut source).await != Some(message("1", "")) {}
    source.close();
    server.left().await;
    assert_eq!(source.state(), State::Closed);
    assert_eq!(all(&mut source).await, [Seen::Closed]);
    source.close();
    assert_eq!(next(&mut source).await, None);
    assert_eq!(server.requests().len(), 1);
}

// eventsource-request-cancellation.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_dropped_while_it_connects_or_reads_has_left() {
    let server = ScriptedServer::new([Answer::silence(), stream("data: 1\n\n").hold()]);
    let mut first = source(&server).build().unwrap();
    assert_eq!(next(&mut first).await, Some(Seen::Connecting));
    tokio::select! {
        biased;
        item = first.next() => panic!("{item:?}"),
        () = server.requested(1) => {}
    }
    drop(first);
    server.left().await;

    let mut second = source(&server).build().unwrap();
    while next(&mut second).await != Some(message("1", "")) {}
    drop(second);
    server.left().await;
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_has_lost_nothing() {
    let slow = Answer::event_stream()
        .pause(Duration::from_secs(1))
        .send_in_pieces("id: 1\ndata: one\n\ndata: two\n\n", 1)
        .pause(Duration::from_secs(1))
        .send("data: three\n\n");
    let server = ScriptedServer::new([slow]);
    let mut source = source(&server).build().unwrap();
    let (mut got, mut dropped) = (Vec::new(), 0);
    loop {
        let item = tokio::select! {
            biased;
            item = source.next() => item,
            () = tokio::time::sleep(Duration::from_millis(7)) => {
                dropped += 1;
                continue;
            }
        };
        match item {
            Some(Ok(Item::Message(message))) => got.push(message.data),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    assert_eq!(got, ["one", "two", "three"]);
    assert!(dropped > 600, "{dropped}");
}

#[test]
fn what_is_no_absolute_url_with_http_is_refused_at_once() {
    for url in [
        "",
        "/events",
        "example.com",
        "ftp://example.com/",
        "http://",
        "mailto:a@b",
        "http://a b/",
        "http://127.0.0.1:80800/",
        "http://127.0.0.1:8o/",
        "http://a:99999999999999999999/",
    ] {
        let error = EventSource::new(url).unwrap_err();
        assert!(error.is_invalid(), "{url}");
    }
    let error = EventSource::new("http://me:secret@example.com:x/").unwrap_err();
    assert!(error.is_invalid() && !error.to_string().contains("secret"));
}
