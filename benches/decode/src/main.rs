//! How many bytes of an event stream does a decoder read in one second of CPU time?
//!
//! `cargo run --release` in this folder prints a table: four kinds of streams, each fed in pieces of 100 bytes and of
//! 16 KiB, to our decoder, to the stream that the client makes of it, and to the streams of three peers. All of them give
//! owned events but the one that says so, and all events are counted by number and bytes of data, so no decoder skips work.
//! Runs of all decoders take turns, many short rounds, and the fastest of each counts, since whatever else the machine
//! does only slows it down. A stream of 1 MiB comes again and again on one connection, so that its bytes are in the
//! processor's cache, as those are that have just come from a socket.
//!
//! Arguments: rounds (default 60), MiB per connection (default 8), part of the name of a stream to measure only that,
//! part of the name of a decoder for the same.

use std::convert::Infallible;
use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use bellwether_wire::Decoder;
use cpu_time::ProcessTime;
use eventsource_stream::Eventsource as _;
use futures_util::stream::{self, Stream, StreamExt as _};

/// The decoded events, and the bytes of their data.
type Count = (usize, usize);

/// Borrowed, so that a piece costs nothing but its reading.
type Piece = &'static [u8];

type Run = fn(Vec<Piece>) -> Count;

/// The first does less than the others: it lends events instead of giving them away, for programs that read JSON from
/// them.
const DECODERS: [(&str, Run); 6] = [
    ("bellwether, lent", lent),
    ("bellwether, decoder", decoder),
    ("bellwether, stream", client),
    ("sseer", sseer),
    ("sse-stream", sse_stream),
    ("eventsource-stream", eventsource_stream),
];

/// How many of them are ours.
const OURS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| {
        let number = arguments.get(at).map(|text| text.parse::<usize>());
        number.map_or(default, |number| number.expect("a number"))
    };
    let (rounds, passes) = (number(0, 60), number(1, 8));
    let part = |at: usize| arguments.get(at).map_or("", |text| text.as_str());
    let (wanted, decoder) = (part(2), part(3));
    let json = format!("{{\"text\":\"{}\"}}", "words of some length ".repeat(48));
    let token = |i: usize| {
        format!(
            "data: {{\"id\":\"chatcmpl-9x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" tok{i}\"}}}}]}}\n\n"
        )
    };
    let chinese = |i: usize| {
        format!(
            "data: {{\"id\":\"chatcmpl-9x\",\"choices\":[{{\"delta\":{{\"content\":\"今天天气很好{i}\"}}}}]}}\n\n"
        )
    };
    let streams: [(_, &'static [u8]); 4] = [
        ("tokens of 90 B", repeat(token)),
        ("Chinese tokens", repeat(chinese)),
        (
            "JSON of 1 KiB",
            repeat(|i| format!("id: {i}\nevent: update\ndata: {json}\n\n")),
        ),
        (
            "one line of 1 MiB",
            repeat(|_| format!("data: {}\n\n", "x".repeat(1 << 20))),
        ),
    ];
    println!("MB per second of CPU time, fastest of {rounds} rounds");
    for (name, stream) in streams {
        for size in [100, 16 * 1024] {
            let name = format!("{name}, pieces of {size} B");
            if name.contains(wanted) {
                let pieces: Vec<Piece> = stream.chunks(size).collect();
                measure(
                    &name,
                    stream.len() * passes,
                    &pieces,
                    [rounds, passes],
                    decoder,
                );
            }
        }
    }
}

fn measure(what: &str, bytes: usize, pieces: &[Piece], [rounds, passes]: [usize; 2], wanted: &str) {
    let feed = || -> Vec<Piece> { pieces.repeat(passes) };
    let expected = decoder(feed());
    // Its time grows with the square of a line's length: minutes for one round.
    let is_too_slow = |name: &str| name == "eventsource-stream" && what.contains("1 MiB");
    let mut rates = vec![Vec::new(); DECODERS.len()];
    for _ in 0..rounds {
        for ((name, run), rates) in DECODERS.iter().zip(&mut rates) {
            if is_too_slow(name) || !name.contains(wanted) {
                rates.push(f64::NAN);
                continue;
            }
            // Made before the clock starts, since making the pieces is no cost of the decoder.
            let feed = feed();
            let start = ProcessTime::now();
            let count = black_box(run(black_box(feed)));
            let taken = start.elapsed().as_secs_f64();
            assert!(count == expected, "{name} reads {what} in another way");
            rates.push(bytes as f64 / 1e6 / taken);
        }
    }
    let fastest: Vec<f64> = rates
        .into_iter()
        .map(|rates| rates.into_iter().fold(f64::NAN, f64::max))
        .collect();
    let best_peer = fastest[OURS..].iter().copied().fold(0.0, f64::max);
    println!("\n{what}: {} events", expected.0);
    for ((name, _), rate) in DECODERS.iter().zip(&fastest) {
        println!(
            "  {name:<20} {rate:>8.0}   {:>5.2} of the best peer",
            rate / best_peer
        );
    }
}

/// Events until there is 1 MiB.
fn repeat(event: impl Fn(usize) -> String) -> &'static [u8] {
    let mut stream = Vec::new();
    for number in 0.. {
        if stream.len() >= 1 << 20 {
            break;
        }
        stream.extend_from_slice(event(number).as_bytes());
    }
    stream.leak()
}

fn lent(pieces: Vec<Piece>) -> Count {
    let mut decoder = Decoder::new();
    let mut count = (0, 0);
    for piece in pieces {
        let mut input = piece;
        while let Some(message) = decoder
            .decode_ref(&mut input)
            .expect("no event is too long")
        {
            count.0 += 1;
            count.1 += black_box(&message).data.len();
        }
    }
    count
}

fn decoder(pieces: Vec<Piece>) -> Count {
    let mut decoder = Decoder::new();
    let mut count = (0, 0);
    for piece in pieces {
        let mut input = piece;
        while let Some(message) = decoder.decode(&mut input).expect("no event is too long") {
            count.0 += 1;
            count.1 += black_box(&message).data.len();
        }
    }
    count
}

fn client(pieces: Vec<Piece>) -> Count {
    count(bellwether_client::read_event_bytes(feed(pieces)), |event| {
        event.as_ref().expect("the stream is whole").data.len()
    })
}

fn sseer(pieces: Vec<Piece>) -> Count {
    count(sseer::EventStream::new(feed(pieces)), |event| {
        event.as_ref().expect("the stream is whole").data.len()
    })
}

fn sse_stream(pieces: Vec<Piece>) -> Count {
    count(sse_stream::SseByteStream::new(feed(pieces)), |event| {
        let event = event.as_ref().expect("the stream is whole");
        event.data.as_ref().map_or(0, String::len)
    })
}

fn eventsource_stream(pieces: Vec<Piece>) -> Count {
    count(feed(pieces).eventsource(), |event| {
        event.as_ref().expect("the stream is whole").data.len()
    })
}

/// The pieces as they would come from a socket.
fn feed(pieces: Vec<Piece>) -> impl Stream<Item = Result<Piece, Infallible>> + Unpin {
    stream::iter(pieces).map(Ok)
}

/// Reads to the end, as `while let Some(event) = stream.next().await` does; the feed is always ready.
fn count<S: Stream + Unpin>(mut stream: S, length: impl Fn(&S::Item) -> usize) -> Count {
    let mut context = Context::from_waker(Waker::noop());
    let mut count = (0, 0);
    while let Poll::Ready(Some(event)) = stream.poll_next_unpin(&mut context) {
        count.0 += 1;
        count.1 += length(black_box(&event));
    }
    count
}
