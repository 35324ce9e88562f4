//! `bellwether listen`: what comes out, what is asked, and with which code it ends.

use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::{Running, run};

/// The address of a server with this script.
async fn serve(answers: impl IntoIterator<Item = Answer>) -> (ScriptedServer, String) {
    let server = ScriptedServer::new(answers);
    let address = server.listen().await;
    (server, format!("http://{address}/events"))
}

fn three_events() -> Answer {
    Answer::event_stream()
        .send("id: 1\ndata: a\n\nevent: price\nid: 2\ndata: b\ndata: c\n\nevent: done\ndata: d\n\n")
}

const A: &str = r#"{"event":"message","data":"a","id":"1"}"#;
const B: &str = r#"{"event":"price","data":"b\nc","id":"2"}"#;
const D: &str = r#"{"event":"done","data":"d","id":"2"}"#;

#[tokio::test]
async fn events_are_lines_of_json_in_a_pipe_and_news_go_to_standard_error() {
    let (_server, url) = serve([three_events()]).await;
    let done = run(&["listen", &url, "--no-reconnect"], b"").await;
    assert_eq!(done.text(), format!("{A}\n{B}\n{D}\n"));
    assert_eq!(
        (done.code, done.err),
        (Some(0), format!("# connected to {url}\n"))
    );
}

#[tokio::test]
async fn only_what_is_asked_for_is_printed_and_counted() {
    let (_server, url) = serve([three_events().hold()]).await;
    let arguments = [
        "listen", &url, "-q", "--event", "price", "--event", "done", "--count", "2",
    ];
    let done = run(&arguments, b"").await;
    assert_eq!(done.text(), format!("{B}\n{D}\n"));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn it_ends_on_the_event_that_is_named_also_when_that_is_not_printed() {
    let (_server, url) = serve([three_events().hold()]).await;
    let done = run(&["listen", &url, "--exit-on", "price"], b"").await;
    assert_eq!(
        (done.text(), done.code),
        (format!("{A}\n{B}\n").as_str(), Some(0))
    );

    let (_server, url) = serve([three_events().hold()]).await;
    let arguments = ["listen", &url, "--exit-on", "done", "--event", "price"];
    let done = run(&arguments, b"").await;
    assert_eq!(
        (done.text(), done.code),
        (format!("{B}\n").as_str(), Some(0))
    );
}

#[tokio::test]
async fn raw_is_the_data_alone_and_a_timestamp_is_added_when_asked_for() {
    let (_server, url) = serve([three_events()]).await;
    let done = run(&["listen", &url, "--no-reconnect", "--raw"], b"").await;
    assert_eq!(done.text(), "a\nb\nc\nd\n");

    let (_server, url) = serve([three_events()]).await;
    let done = run(&["listen", &url, "--json", "--timestamp", "--count=1"], b"").await;
    let event: serde_json::Value = serde_json::from_str(done.text()).unwrap();
    let time = event["time"].as_str().unwrap();
    assert!(
        time.len() == 24 && time.starts_with("20") && time.ends_with('Z'),
        "{time}"
    );
}

#[tokio::test]
async fn a_stream_that_ends_is_resumed_and_the_news_say_so() {
    let first = Answer::event_stream().send("retry: 1\nid: 7\ndata: a\n\n");
    let second = Answer::event_stream().send("data: b\n\n").hold();
    let (server, url) = serve([first, second]).await;
    let mut listen = Running::start(&["listen", &url, "--count", "2"]);
    listen.news("the server ended the stream; retry in ").await;
    listen.news("connected again, resumed after 7").await;
    assert_eq!(
        listen.line().await,
        r#"{"event":"message","data":"a","id":"7"}"#
    );
    assert_eq!(
        listen.line().await,
        r#"{"event":"message","data":"b","id":"7"}"#
    );
    assert_eq!(listen.end().await.0.code(), Some(0));
    let requests = server.requests();
    assert_eq!(requests[0].header("last-event-id"), None);
    assert_eq!(requests[1].header("last-event-id"), Some("7"));
}

#[tokio::test]
async fn a_gap_is_told_on_standard_error() {
    let gap = "event: bellwether.gap\nid: 9\ndata: {\"reason\":\"trimmed\",\"lost\":3}\n\n";
    let (_server, url) = serve([Answer::event_stream().send(gap)]).await;
    let done = run(&["listen", &url, "--no-reconnect"], b"").await;
    assert_eq!(done.text(), "");
    assert!(
        done.err
            .ends_with("# gap: the server has lost 3 events: trimmed\n"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn from_the_start_the_unknown_id_is_no_gap_and_a_later_one_is() {
    let unknown = "event: bellwether.gap\nid: 1\ndata: {\"reason\":\"unknown\"}\n\n";
    let answer = Answer::event_stream().send(unknown).send(unknown);
    let (_server, url) = serve([answer]).await;
    let done = run(&["listen", &url, "--no-reconnect", "--since-start"], b"").await;
    let news: Vec<&str> = done.err.lines().skip(1).collect();
    let expected = [
        "# from the oldest event that the server keeps",
        "# gap: the server has lost events: unknown",
    ];
    assert_eq!(news, expected);
}

#[tokio::test]
async fn the_request_is_as_asked_for() {
    let (server, url) = serve([three_events()]).await;
    let arguments = [
        "listen",
        &url,
        "-q",
        "--count=1",
        "-H",
        "x-key: a:b",
        "--token",
        "t",
        "--last-event-id",
        "é",
        "--data",
        "{\"a\":1}",
    ];
    assert_eq!(run(&arguments, b"").await.code, Some(0));
    let request = &server.requests()[0];
    assert_eq!(
        (request.method.as_str(), &request.body[..]),
        ("POST", &b"{\"a\":1}"[..])
    );
    for (name, value) in [
        ("x-key", "a:b"),
        ("authorization", "Bearer t"),
        ("last-event-id", "é"),
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }

    let (server, url) = serve([three_events()]).await;
    run(
        &[
            "listen",
            &format!("{url}?a=1"),
            "--since-start",
            "--count=1",
        ],
        b"",
    )
    .await;
    let request = &server.requests()[0];
    assert_eq!(request.target, "/events?a=1&last_event_id=earliest");
    assert_eq!(request.header("last-event-id"), None);
}

#[tokio::test]
async fn a_post_is_not_repeated_when_its_answer_ends() {
    let (server, url) = serve([three_events(), three_events()]).await;
    let done = run(&["listen", &url, "--method", "POST"], b"").await;
    assert_eq!((done.code, server.requests().len()), (Some(0), 1));
}

#[tokio::test]
async fn exit_codes_tell_refusals_from_broken_connections() {
    let refused = Answer::status(403).send("no\u{1b}pe\nmore").with_length();
    let cases = [
        (
            refused,
            1,
            "found status 403 Forbidden, 200 is allowed: no\\u{1b}pe\n",
        ),
        (
            Answer::status(200).header("content-type", "text/html"),
            1,
            "text/event-stream is allowed\n",
        ),
        (
            Answer::event_stream().send("data: a\n").cut(),
            3,
            "the event stream was cut",
        ),
        (Answer::empty_reply(), 3, "cannot reach the server"),
        (Answer::status(204), 0, "# the server has no more events\n"),
    ];
    for (answer, code, text) in cases {
        let (_server, url) = serve([answer]).await;
        let done = run(&["listen", &url, "--no-reconnect"], b"").await;
        assert!(done.err.contains(text), "{:?} in {:?}", text, done.err);
        assert_eq!(done.code, Some(code), "{text}");
    }
    let done = run(&["listen", "ftp://127.0.0.1/"], b"").await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    let done = run(&["listen", "http://127.0.0.1/", "-H", "nonsense"], b"").await;
    assert_eq!(done.code, Some(2), "{}", done.err);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let done = run(&["listen", &url, "--no-reconnect"], b"").await;
    assert_eq!(done.code, Some(3), "{}", done.err);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_without_a_word() {
    let (_server, url) = serve([Answer::event_stream().send_repeatedly("data: a\n\n")]).await;
    let mut listen = Running::start(&["listen", &url, "-q"]);
    listen.line().await;
    listen.close_output();
    let (status, err) = listen.end().await;
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[tokio::test]
async fn signals_end_it_with_the_codes_of_shells_also_when_nobody_reads() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        // More than a pipe holds: the output is stuck when the signal comes.
        let (server, url) = serve([Answer::event_stream().send_repeatedly("data: a\n\n")]).await;
        let mut listen = Running::start(&["listen", &url]);
        listen.news("connected to").await;
        listen.line().await;
        listen.signal(name).await;
        let (status, err) = listen.end().await;
        assert_eq!((status.code(), err.as_str()), (Some(code), ""));
        server.left().await;
    }
}

#[tokio::test]
async fn without_reconnects_the_events_of_the_server_tell_a_cut_from_an_end() {
    let open = "event: bellwether.open\ndata: {\"keep_alive_ms\":15000}\nid: 7\n\n";
    let finished = "event: bellwether.finished\ndata: {}\nid: bellwether.finished\n\n";
    let error = "event: bellwether.error\ndata: {}\n\n";
    let stream = |last: &str| {
        let text = format!("{open}data: 1\n\n{last}");
        Answer::event_stream().send(text)
    };
    for (answer, code) in [
        (stream(finished).cut(), 0),
        (stream(error), 3),
        (stream("").cut(), 3),
        (stream(""), 0),
    ] {
        let server = ScriptedServer::new([answer]);
        let url = format!("http://{}/", server.listen().await);
        let done = run(
            &["listen", &url, "--no-reconnect", "--event", "message"],
            b"",
        )
        .await;
        assert_eq!(done.code, Some(code), "{}", done.err);
        assert_eq!(
            done.text(),
            "{\"event\":\"message\",\"data\":\"1\",\"id\":\"7\"}\n"
        );
    }
}

#[tokio::test]
async fn the_opening_event_is_not_printed_and_its_id_resumes() {
    let open = "retry: 1\nevent: bellwether.open\ndata: {}\nid: 7\n\n";
    let server = ScriptedServer::new([
        Answer::event_stream().send(open).cut(),
        Answer::event_stream().send("data: 1\n\n").hold(),
    ]);
    let url = format!("http://{}/", server.listen().await);
    let done = run(&["listen", &url, "--count", "1"], b"").await;
    assert_eq!(
        done.text(),
        "{\"event\":\"message\",\"data\":\"1\",\"id\":\"7\"}\n"
    );
    assert!(
        done.err.contains("connected again, resumed after 7"),
        "{}",
        done.err
    );
    assert_eq!(server.requests()[1].header("last-event-id"), Some("7"));
}

#[tokio::test]
async fn compressed_streams_are_printed_event_by_event() {
    // One event, flushed, as the `zlib` of Node writes it, and a raw block of zstd; the stream stays open.
    let hex = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    for (name, flushed) in CODED {
        let answer = Answer::event_stream().header("content-encoding", name);
        let (server, url) = serve([answer.send(hex(flushed)).hold()]).await;
        let done = run(
            &["listen", &url, "--raw", "--count", "1", "--compressed"],
            b"",
        )
        .await;
        assert_eq!(
            (done.text(), done.code),
            ("1\n", Some(0)),
            "{name}: {}",
            done.err
        );
        let asked = server.requests()[0]
            .header("accept-encoding")
            .map(str::to_owned);
        assert_eq!(asked.as_deref(), Some("zstd, br, gzip, deflate"));
    }
}

const CODED: [(&str, &str); 4] = [
    ("gzip", "1f8b08000000000000034a492c49b45230e4e202000000ffff"),
    ("deflate", "789c4a492c49b45230e4e202000000ffff"),
    ("br", "0b0480646174613a20310a0a"),
    ("zstd", "28b52ffd0058480000646174613a20310a0a"),
];
