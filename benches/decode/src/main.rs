//! How many bytes of an event stream does a decoder read in one second of CPU time?
//!
//! `cargo run --release` in this folder prints a table: three kinds of streams, each fed in pieces of 100 bytes and of
//! 16 KiB, to our decoder, to the stream that the client makes of it, and to the streams of three peers. All of them give
//! owned events, and all events are counted by number and bytes of data, so nobody skips work. Runs of all decoders
//! take turns, several rounds, and the median counts. Arguments: rounds (default 7), MiB per run (default 32), part of
//! the name of a stream to measure only that.

use std::convert::Infallible;
use std::hint::black_box;

use bellwether_wire::Decoder;
use bytes::Bytes;
use cpu_time::ProcessTime;
use eventsource_stream::Eventsource as _;
use futures_util::FutureExt as _;
use futures_util::stream::{self, Stream, StreamExt as _};

/// What came out: events, and bytes of their data.
type Count = (usize, usize);

type Run = fn(&[Bytes]) -> Count;

const DECODERS: [(&str, Run); 5] = [
    ("bellwether, decoder", decoder),
    ("bellwether, stream", client),
    ("sseer", sseer),
    ("sse-stream", sse_stream),
    ("eventsource-stream", eventsource_stream),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| {
        let number = arguments.get(at).map(|text| text.parse::<usize>());
        number.map_or(default, |number| number.expect("a number"))
    };
    let (rounds, bytes) = (number(0, 7), number(1, 32) << 20);
    let wanted = arguments.get(2).map_or("", |text| text.as_str());
    let json = format!("{{\"text\":\"{}\"}}", "words of some length ".repeat(48));
    let token = |i: usize| {
        format!(
            "data: {{\"id\":\"chatcmpl-9x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" tok{i}\"}}}}]}}\n\n"
        )
    };
    let streams = [
        ("tokens of 90 B", repeat(bytes, token)),
        (
            "JSON of 1 KiB",
            repeat(bytes, |i| {
                format!("id: {i}\nevent: update\ndata: {json}\n\n")
            }),
        ),
        (
            "one line of 1 MiB",
            repeat(bytes, |_| format!("data: {}\n\n", "x".repeat(1 << 20))),
        ),
    ];
    println!("MB per second of CPU time, medians of {rounds} rounds");
    for (name, stream) in &streams {
        for size in [100, 16 * 1024] {
            let name = format!("{name}, pieces of {size} B");
            if name.contains(wanted) {
                let pieces: Vec<Bytes> = stream.chunks(size).map(Bytes::copy_from_slice).collect();
                measure(&name, stream.len(), &pieces, rounds);
            }
        }
    }
}

fn measure(what: &str, bytes: usize, pieces: &[Bytes], rounds: usize) {
    let expected = decoder(pieces);
    // Its time grows with the square of a line's length: minutes for one round.
    let is_too_slow = |name: &str| name == "eventsource-stream" && what.contains("1 MiB");
    let mut rates = vec![Vec::new(); DECODERS.len()];
    for _ in 0..rounds {
        for ((name, run), rates) in DECODERS.iter().zip(&mut rates) {
            if is_too_slow(name) {
                rates.push(f64::NAN);
                continue;
            }
            let start = ProcessTime::now();
            let count = black_box(run(black_box(pieces)));
            let taken = start.elapsed().as_secs_f64();
            assert_eq!(count, expected, "{name} reads {what} in another way");
            rates.push(bytes as f64 / 1e6 / taken);
        }
    }
    let medians: Vec<f64> = rates
        .into_iter()
        .map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        })
        .collect();
    let best_peer = medians[2..].iter().copied().fold(0.0, f64::max);
    println!("\n{what}: {} events", expected.0);
    for ((name, _), rate) in DECODERS.iter().zip(&medians) {
        println!(
            "  {name:<20} {rate:>8.0}   {:>5.2} of the best peer",
            rate / best_peer
        );
    }
}

/// Events until there are enough bytes.
fn repeat(bytes: usize, event: impl Fn(usize) -> String) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes + (1 << 20));
    for number in 0.. {
        if stream.len() >= bytes {
            break;
        }
        stream.extend_from_slice(event(number).as_bytes());
    }
    stream
}

fn decoder(pieces: &[Bytes]) -> Count {
    let mut decoder = Decoder::new();
    let mut count = (0, 0);
    for piece in pieces {
        let mut input = &piece[..];
        while let Some(message) = decoder.decode(&mut input).expect("no event is too long") {
            let message = black_box(message);
            count.0 += 1;
            count.1 += message.data.len();
        }
    }
    count
}

fn client(pieces: &[Bytes]) -> Count {
    count(bellwether_client::read_event_bytes(feed(pieces)), |event| {
        event.expect("the stream is whole").data.len()
    })
}

fn sseer(pieces: &[Bytes]) -> Count {
    count(sseer::EventStream::new(feed(pieces)), |event| {
        event.expect("the stream is whole").data.len()
    })
}

fn sse_stream(pieces: &[Bytes]) -> Count {
    count(
        sse_stream::SseStream::from_bytes_stream(feed(pieces)),
        |event| {
            event
                .expect("the stream is whole")
                .data
                .map_or(0, |data| data.len())
        },
    )
}

fn eventsource_stream(pieces: &[Bytes]) -> Count {
    count(feed(pieces).eventsource(), |event| {
        event.expect("the stream is whole").data.len()
    })
}

/// The pieces as they would come from a socket. Cloning a piece is counting a reference.
fn feed(pieces: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(pieces.to_vec()).map(Ok)
}

fn count<S: Stream>(stream: S, length: impl Fn(S::Item) -> usize) -> Count {
    let folded = stream.fold((0, 0), |(events, bytes), event| {
        std::future::ready((events + 1, bytes + length(black_box(event))))
    });
    folded.now_or_never().expect("the feed is always ready")
}
