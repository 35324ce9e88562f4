//! Hostile servers: what the process holds at most while a source reads from them, counted by the allocator.
//!
//! One program and one test after the other, since the count is of everything. The scripted server's own memory is in
//! it too: its script is small, or shared.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bellwether_client::transport::Io;
use bellwether_client::{
    Encoding, Error, EventSource, EventSourceBuilder, HyperTransport, Item, Limits, Retry,
};
use bellwether_testkit::{Answer, ScriptedServer};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Both limits of the sources here.
const LIMIT: usize = 256 * 1024;

/// The buffers of hyper, pipe and runtime, and the window of gzip.
const BUFFERS: usize = 512 * 1024;

/// Four times the limit for the decoder, as its documentation says, and the buffers.
const ALLOWED: usize = 4 * LIMIT + BUFFERS;

/// Guards the count: only one test may allocate at a time.
static TURN: Mutex<()> = Mutex::new(());

/// How a source fared.
struct Outcome {
    messages: usize,
    last: Option<Error>,
    held: usize,
}

/// Reads until the source ends or waits for a reconnect.
fn run(
    answers: Vec<Answer>,
    set_up: impl FnOnce(EventSourceBuilder) -> EventSourceBuilder,
) -> Outcome {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = ScriptedServer::new(answers).repeat_last();
        let transport = HyperTransport::new().connector({
            let server = server.clone();
            move |_| {
                let pipe = server.connect();
                async { pipe.map(Io::new) }
            }
        });
        let builder = EventSource::builder("http://example.com/")
            .transport(transport)
            .retry(Retry::default())
            .limits(
                Limits::default()
                    .max_line_bytes(LIMIT)
                    .max_event_bytes(LIMIT),
            );
        let mut source = set_up(builder).build().unwrap();
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let (mut messages, mut last) = (0, None);
        while let Some(item) = source.next().await {
            match item {
                Ok(Item::Message(_)) => messages += 1,
                Ok(Item::Waiting(waiting)) => {
                    last = waiting.cause;
                    break;
                }
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        let held = ALLOCATOR.peak_usage().saturating_sub(before);
        Outcome {
            messages,
            last,
            held,
        }
    })
}

fn plain(answer: Answer) -> Outcome {
    run(vec![answer], |builder| builder)
}

#[track_caller]
fn assert_bounded(outcome: &Outcome, what: &str) {
    assert!(
        outcome.held <= ALLOWED,
        "{what}: held {} bytes, allowed are {ALLOWED}",
        outcome.held
    );
}

/// 8 MiB in pieces of 16 KiB that share their bytes.
fn long_stream(piece: &str) -> Answer {
    let piece = bytes::Bytes::from(piece.repeat(16 * 1024 / piece.len()));
    let mut answer = Answer::event_stream();
    for _ in 0..8 * 64 {
        answer = answer.send(piece.clone());
    }
    answer
}

#[test]
fn an_endless_line_or_event_ends_the_source_within_the_limit() {
    for endless in [
        "x",
        "data: x",
        ":",
        "id: ",
        "data: xxxxxxxx\n",
        "data\n",
        "data:\u{0}\n",
    ] {
        let outcome = plain(Answer::event_stream().send_repeatedly(endless.repeat(64)));
        assert!(outcome.last.as_ref().unwrap().is_limit(), "{endless:?}");
        assert_bounded(&outcome, endless);
    }
}

#[test]
fn invalid_utf_8_of_any_length_stays_within_the_limit() {
    let mut answer = Answer::event_stream();
    for _ in 0..200 {
        answer = answer.send(&b"data: "[..]);
        answer = answer.send(vec![0xff; 40_000]).send(&b"\n\n"[..]);
    }
    let outcome = plain(answer);
    assert_eq!(outcome.messages, 200);
    // Its own script is 8 MB, made before the count begins.
    assert_bounded(&outcome, "invalid UTF-8");
}

#[test]
fn endless_ids_comments_names_and_unknown_fields_hold_nothing() {
    for endless in [
        "id: 0123456789012345678901234567890123456789\n",
        "id: 0123456789012345678901234567890123456789\n\n",
        ": comment\n",
        ":\n\n",
        "event: 0123456789012345678901234567890123456789\n",
        "unknown: field\n",
        "retry: 1\n",
        "\r",
    ] {
        let outcome = plain(long_stream(endless));
        assert_eq!(outcome.messages, 0);
        assert!(outcome.last.is_none());
        assert!(outcome.held < BUFFERS, "{endless:?}: held {}", outcome.held);
    }
}

#[test]
fn endless_events_are_not_gathered() {
    let outcome = plain(long_stream("data: 0123456789\n\n"));
    assert_eq!(outcome.messages, 8 * 64 * (16 * 1024 / 18));
    assert!(outcome.held < BUFFERS, "held {}", outcome.held);
}

#[test]
fn endless_headers_and_interim_responses_and_refusals_end() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    for endless in [
        Answer::raw()
            .send(head)
            .send_repeatedly("x-a: 0123456789\r\n"),
        Answer::raw()
            .send(head)
            .send("x-a: ")
            .send_repeatedly("0123456789"),
        Answer::raw().send_repeatedly("HTTP/1.1 100 Continue\r\n\r\n"),
        Answer::raw()
            .send("HTTP/1.1 200 ")
            .send_repeatedly("0123456789"),
        Answer::status(500).send_repeatedly("0123456789"),
    ] {
        let what = format!("{endless:?}");
        let outcome = run(vec![endless], |builder| {
            builder.connect_timeout(Duration::from_millis(300))
        });
        assert!(outcome.last.is_some(), "{what}");
        assert_bounded(&outcome, &what);
    }
}

#[test]
fn endless_redirects_hold_nothing() {
    let location = format!("/{}", "x".repeat(30_000));
    let outcome = run(vec![Answer::redirect(302, &location)], |builder| {
        builder.max_redirects(200)
    });
    assert!(outcome.last.as_ref().unwrap().is_redirect());
    // The server's record holds each target twice: in the head and by itself.
    let record = 200 * 2 * 31_000;
    assert!(
        outcome.held < ALLOWED + record + record / 2,
        "held {}",
        outcome.held
    );
}

/// Runs a bomb of one line, which hits the limit, and a bomb of lines that mean nothing, which passes.
fn check_bombs(encoding: Encoding, compress: impl Fn(&[u8]) -> Vec<u8>, window: usize) {
    let answer = |plain: &[u8]| {
        let small = compress(plain);
        assert!(small.len() < plain.len() / 100, "{} bytes", small.len());
        Answer::event_stream()
            .header("content-encoding", encoding.as_str())
            .send(small)
    };
    let line = {
        let mut plain = b"data: ".to_vec();
        plain.resize(8 << 20, b'x');
        answer(&plain)
    };
    let comments = answer(&b":xxxxxx\n".repeat(1 << 20));
    let set_up = |builder: EventSourceBuilder| builder.accept_encodings([encoding]);

    let outcome = run(vec![line], set_up);
    assert!(outcome.last.as_ref().unwrap().is_limit());
    assert!(outcome.held < ALLOWED + window, "held {}", outcome.held);

    let outcome = run(vec![comments], set_up);
    assert!(outcome.last.is_none(), "{:?}", outcome.last);
    assert!(outcome.held < ALLOWED + window, "held {}", outcome.held);
}

#[test]
fn a_bomb_of_gzip_stays_within_the_limit() {
    let compress = |plain: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(plain).unwrap();
        gzip.finish().unwrap()
    };
    check_bombs(Encoding::Gzip, compress, 0);
}

// The allocator counts Rust's memory only; what zstd allocates in C is bounded by the window that it is told.
#[cfg(feature = "zstd")]
#[test]
fn a_bomb_of_zstd_stays_within_the_limit_and_a_window_beyond_the_rfc_is_refused() {
    let compress = |plain: &[u8]| zstd::bulk::compress(plain, 3).unwrap();
    check_bombs(Encoding::Zstd, compress, 8 << 20);

    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(b"data: 1\n\n").unwrap();
    wide.flush().unwrap();
    let answer = Answer::event_stream().header("content-encoding", "zstd");
    let answer = answer.send(std::mem::take(wide.get_mut()));
    let outcome = run(vec![answer], |builder| {
        builder.accept_encodings([Encoding::Zstd])
    });
    assert!(outcome.last.unwrap().is_encoding());
}

#[cfg(feature = "brotli")]
#[test]
fn a_bomb_of_brotli_stays_within_the_limit_and_a_window_of_a_gigabyte_is_refused() {
    // 64 MiB of one line, made by the crate `brotli` with quality 5 and a window of 16 MiB.
    let bomb = b"\xcf\xff\xff\x7f\x00\x24\x41\x74\xf0\x6a\x90\xcf\x0a\x39\x45\x96\xb3\xf7\xff\x19\xff\xff\xff\x01\x90\
        \x00\x88\xc3\x02\xd0\xbd\xff\xe7\xff\xff\x3f\x00\x12\x00\x71\x58\x00\xba\xf7\xff\xfc\xff\xff\x07\x40\x02\x20\
        \x0e\x0b\x40\xf7\xfe\x1f\x05\x00\x00\x48\x00\x04\x01\x01\x18";
    let coded = |bytes: &[u8]| {
        Answer::event_stream()
            .header("content-encoding", "br")
            .send(bytes.to_vec())
    };
    let set_up = |builder: EventSourceBuilder| builder.accept_encodings([Encoding::Brotli]);
    let outcome = run(vec![coded(bomb)], set_up);
    assert!(
        outcome.last.as_ref().unwrap().is_limit(),
        "{:?}",
        outcome.last
    );
    assert!(outcome.held < ALLOWED + (18 << 20), "held {}", outcome.held);

    // The header of a large window, 30 bits (RFC 7932 has none).
    let outcome = run(vec![coded(b"\x11\x1e\x00\x00\x00\x00")], set_up);
    assert!(
        outcome.last.as_ref().unwrap().is_encoding(),
        "{:?}",
        outcome.last
    );
    assert!(outcome.held < ALLOWED, "held {}", outcome.held);
}

#[test]
fn a_source_that_nobody_asks_leaves_the_servers_data_where_it_is() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let piece = bytes::Bytes::from("data: 0123456789\n\n".repeat(1000));
        let server = ScriptedServer::new([Answer::event_stream().send_repeatedly(piece)]);
        let address = server.listen().await;
        let mut source = EventSource::new(format!("http://{address}/")).unwrap();
        while !matches!(source.next().await.unwrap().unwrap(), Item::Message(_)) {}
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        // Real time, in which the server writes as much as it can.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let held = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(held < 256 * 1024, "held {held}");
    });
}
