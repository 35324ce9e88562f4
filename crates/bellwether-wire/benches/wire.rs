//! How many nanoseconds do an event to bytes and bytes to an event take?
//!
//! `cargo bench -p bellwether-wire`: the median of 21 rounds, on one thread. No figure guards anything, as they vary
//! with the machine.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use bellwether_wire::{Decoder, ServerSentEvent, encode_json_into};

#[derive(serde::Serialize)]
struct Tick {
    symbol: &'static str,
    price: u32,
    volume: u32,
}

fn main() {
    let tick = Tick {
        symbol: "ACME",
        price: 10_425,
        volume: 300,
    };
    let mut out = Vec::with_capacity(1 << 20);
    time("encode: JSON in place, reused buffer", || {
        out.clear();
        encode_json_into(black_box(&tick), &mut out).is_ok()
    });
    time("encode: event of JSON, reused buffer", || {
        out.clear();
        ServerSentEvent::json(black_box(&tick))
            .encode_into(&mut out)
            .is_ok()
    });
    time("encode: event of a token and an id, reused buffer", || {
        out.clear();
        ServerSentEvent::text(black_box("token"))
            .id(black_box(7_u64))
            .encode_into(&mut out)
            .is_ok()
    });
    let event = ServerSentEvent::json(&tick);
    time("encode: ready event, reused buffer", || {
        out.clear();
        black_box(&event).encode_into(&mut out).is_ok()
    });
    time("encode: ready event, own buffer", || {
        black_box(&event).encode()
    });

    decode(
        "40-byte event",
        b"data: {\"token\":\" hello\",\"index\":123456}\n\n",
    );
    decode(
        "1 KiB event",
        &[b"data: ".as_slice(), &[b'x'; 1024], b"\n\n"].concat(),
    );
    decode(
        "1 MiB event",
        &[b"data: ".as_slice(), &[b'x'; 1 << 20], b"\n\n"].concat(),
    );
}

/// Decodes a stream of this event, whole and in pieces of 4 KiB.
fn decode(what: &str, event: &[u8]) {
    let count = (1 << 16) / event.len() + 1;
    let stream = event.repeat(count);
    for (how, size) in [("whole", stream.len()), ("in pieces of 4 KiB", 4096)] {
        let mut decoder = Decoder::new();
        let per_round = time_of(|| {
            for mut piece in stream.chunks(size) {
                while let Ok(Some(message)) = decoder.decode(&mut piece) {
                    black_box(message);
                }
            }
        });
        println!(
            "{:>10.1} ns  decode: {what}, {how}",
            per_round / count as f64
        );
    }
}

fn time<T>(what: &str, work: impl FnMut() -> T) {
    println!("{:>10.1} ns  {what}", time_of(work));
}

/// The median time of one call, in nanoseconds.
fn time_of<T>(mut work: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    let calls = (2_000_000 / start.elapsed().as_nanos().max(1)).clamp(1, 100_000);
    let mut rounds: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| drop(black_box(work())));
            start.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
