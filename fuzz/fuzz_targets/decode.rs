//! Any bytes, cut anywhere: the decoder never panics, keeps its limits, and the cutting makes no difference.
//!
//! `cargo +nightly fuzz run decode`

#![no_main]

use bellwether_wire::{DecodeError, Decoder, Limits, Message};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max_line_bytes: u8,
    max_event_bytes: u8,
    is_limited: bool,
    sizes: [u8; 4],
    bytes: &'a [u8],
}

type Outcome = (
    Vec<Message>,
    Option<DecodeError>,
    String,
    Option<std::time::Duration>,
    u64,
);

fn run<'a>(limits: Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::with_limits(limits);
    let mut messages = Vec::new();
    let mut failed = None;
    'pieces: for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break 'pieces;
                }
            }
        }
    }
    let id = decoder.last_event_id().to_owned();
    (
        messages,
        failed,
        id,
        decoder.reconnection_time(),
        decoder.comment_count(),
    )
}

fuzz_target!(|input: Input<'_>| {
    let limits = if input.is_limited {
        Limits::default()
            .max_line_bytes(input.max_line_bytes.into())
            .max_event_bytes(input.max_event_bytes.into())
    } else {
        Limits::default()
    };
    let whole = run(limits, std::iter::once(input.bytes));
    assert_eq!(run(limits, input.bytes.chunks(1)), whole);

    let mut sizes = input
        .sizes
        .iter()
        .map(|size| usize::from(*size).max(1))
        .cycle();
    let mut rest = input.bytes;
    let pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at(sizes.next()?.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(run(limits, pieces), whole);

    for message in &whole.0 {
        assert!(!message.event.is_empty());
        assert!(!message.last_event_id.as_str().contains(['\r', '\n', '\0']));
        assert!(!message.data.contains('\r'));
        assert!(!input.is_limited || message.data.len() <= 3 * usize::from(input.max_event_bytes));
    }
});
