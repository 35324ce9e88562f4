//! Anything may happen to a stream of the server, in any order: its machine never panics, ends for one reason, gives
//! nothing after its end, and has no deadline without an effect.
//!
//! `cargo +nightly fuzz run stream`

#![no_main]

use bellwether::fuzzing::{Settings, simulate_stream};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    keep_alive: Option<u16>,
    phase: u8,
    share: u8,
    window: u32,
    streams: u64,
    finishes: bool,
    lets_finish: bool,
    steps: Vec<(u8, u16)>,
}

fuzz_target!(|input: Input| {
    let settings = Settings {
        // A short interval beats thousands of times in one step, which tells nothing more.
        keep_alive: input.keep_alive.map(|millis| u32::from(millis) + 100),
        phase: input.phase,
        share: input.share,
        window: input.window,
        streams: input.streams,
        finishes: input.finishes,
        lets_finish: input.lets_finish,
    };
    simulate_stream(settings, input.steps);
});
