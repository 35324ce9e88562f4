//! Compressed streams: every flush is delivered, and nothing is compressed unasked.

use std::io::Write as _;
use std::time::Duration;

use bellwether_client::Encoding;
use bellwether_testkit::{Answer, ScriptedServer};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::support::*;

/// Two events, each flushed, with a pause in between; then the stream stays open.
fn flushed(name: &str, pieces: [Vec<u8>; 2]) -> Answer {
    let [first, second] = pieces;
    Answer::event_stream()
        .header("content-encoding", name)
        .send(first)
        .pause(Duration::from_secs(1))
        .send_in_pieces(second, 1)
        .hold()
}

/// What an encoder gives after each event is flushed.
fn pieces<W: std::io::Write>(mut encoder: W, take: impl Fn(&mut W) -> Vec<u8>) -> [Vec<u8>; 2] {
    ["id: 1\ndata: 1\n\n", "data: 2\n\n"].map(|event| {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        take(&mut encoder)
    })
}

async fn check(encoding: Encoding, pieces: [Vec<u8>; 2]) {
    let server = ScriptedServer::new([flushed(encoding.as_str(), pieces)]);
    let mut source = source(&server)
        .accept_encodings([encoding])
        .build()
        .unwrap();
    while next(&mut source).await != Some(message("1", "1")) {}
    let first = tokio::time::Instant::now();
    assert_eq!(next(&mut source).await, Some(message("2", "1")));
    assert_eq!(first.elapsed(), Duration::from_secs(1), "at its own flush");
    let requests = server.requests();
    assert_eq!(
        requests[0].header("accept-encoding"),
        Some(encoding.as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn gzip_and_deflate_deliver_at_each_flush() {
    let gzip = GzEncoder::new(Vec::new(), Compression::default());
    check(
        Encoding::Gzip,
        pieces(gzip, |it| std::mem::take(it.get_mut())),
    )
    .await;
    let zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    check(
        Encoding::Deflate,
        pieces(zlib, |it| std::mem::take(it.get_mut())),
    )
    .await;
}

#[cfg(feature = "brotli")]
#[tokio::test(start_paused = true)]
async fn brotli_delivers_at_each_flush() {
    // Both events as the crate `brotli` writes them with quality 5 and a flush after each.
    let first = b"\xe0\x00\x10id: 1\ndata: 1\n\n";
    let second = b"\x40\x00\x00\x40\x4a\x41\xa6\x08\xd1\x24\x18\x63\x00";
    check(Encoding::Brotli, [first.to_vec(), second.to_vec()]).await;
}

#[cfg(feature = "zstd")]
#[tokio::test(start_paused = true)]
async fn zstd_delivers_at_each_flush_and_frame_after_frame() {
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    check(
        Encoding::Zstd,
        pieces(encoder, |it| std::mem::take(it.get_mut())),
    )
    .await;
    let frame = |text: &str| zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    check(
        Encoding::Zstd,
        [frame("id: 1\ndata: 1\n\n"), frame("data: 2\n\n")],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_compressed_unasked_is_read_event_by_event() {
    for asked in [vec![], vec![Encoding::Deflate]] {
        let gzip = GzEncoder::new(Vec::new(), Compression::default());
        let pieces = pieces(gzip, |it| std::mem::take(it.get_mut()));
        let server = ScriptedServer::new([flushed("x-gzip", pieces)]);
        let mut source = source(&server).accept_encodings(asked).build().unwrap();
        while next(&mut source).await != Some(message("1", "1")) {}
        assert_eq!(next(&mut source).await, Some(message("2", "1")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_coding_that_is_not_known_is_final() {
    let answer = Answer::event_stream()
        .header("content-encoding", "compress")
        .send("x");
    let server = ScriptedServer::new([answer]);
    let mut source = source(&server).build().unwrap();
    source.next().await;
    let error = source.next().await.unwrap().unwrap_err();
    assert!(error.is_encoding() && error.is_closed(), "{error}");
    assert_eq!(error.headers().unwrap()["content-encoding"], "compress");
}

/// A whole body in this coding, and with how many bytes less it is cut.
async fn check_ends(name: &str, whole: Vec<u8>) {
    let cut = Seen::Error("cannot decompress the event stream".into());
    for (bytes, last) in [
        (&whole[..], Seen::Closed),
        (&whole[..whole.len() - 1], cut),
        (&[], Seen::Closed),
    ] {
        let answer = Answer::event_stream().header("content-encoding", name);
        let server = ScriptedServer::new([answer.send(bytes.to_vec())]);
        let mut source = source(&server).once().build().unwrap();
        let seen = all(&mut source).await.pop();
        assert_eq!(seen, Some(last), "{name}, {} bytes", bytes.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_before_its_compression_does_was_cut() {
    let text = b"data: 1\n\ndata: 2\n\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    check_ends("gzip", gzip.finish().unwrap()).await;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(text).unwrap();
    check_ends("deflate", zlib.finish().unwrap()).await;
    #[cfg(feature = "brotli")]
    // As the `zlib` of Node writes it.
    check_ends("br", b"\x8b\x08\x80data: 1\n\ndata: 2\n\n\x03".to_vec()).await;
    #[cfg(feature = "zstd")]
    check_ends("zstd", zstd::bulk::compress(text, 3).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn broken_compression_is_a_torn_stream() {
    let answer = Answer::event_stream().header("content-encoding", "gzip");
    let server = ScriptedServer::new([answer.send("data: not compressed\n\n")]);
    let mut source = source(&server)
        .accept_encodings([Encoding::Gzip])
        .build()
        .unwrap();
    let items = all(&mut source).await;
    let cause = Some("cannot decompress the event stream".to_owned());
    assert_eq!(items[2], Seen::Waiting(Duration::from_secs(4), cause));
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_refusal_is_decompressed_too() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"no such model").unwrap();
    let answer = Answer::status(404).header("content-encoding", "gzip");
    let server = ScriptedServer::new([answer.send(gzip.finish().unwrap())]);
    let mut source = source(&server)
        .accept_encodings([Encoding::Gzip])
        .build()
        .unwrap();
    source.next().await;
    let error = source.next().await.unwrap().unwrap_err();
    assert_eq!(error.body_start().unwrap(), "no such model");
}
