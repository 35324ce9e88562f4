//! Streams played from their first byte to their end, without a runtime.

use proptest::prelude::*;

use super::simulation::{SimulationInput, SimulationSettings, simulate};
use super::*;
use crate::stream::StreamDefaults;

const SECOND: Duration = Duration::from_secs(1);

fn machine(now: Instant) -> Machine {
    Machine::new(StreamDefaults::new().options(), now, 1.0, 0.5)
}

fn plan(began: Instant) -> DrainPlan {
    DrainPlan {
        began,
        window: SECOND * 10,
        streams: 1_000,
    }
}

fn tick(machine: &mut Machine, now: Instant) -> String {
    let mut out = Vec::new();
    machine.tick(now, &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn a_keep_alive_is_due_when_nothing_was_sent_for_the_interval() {
    let start = Instant::now();
    let mut machine = machine(start);
    assert_eq!(machine.deadline(None), Some(start + SECOND * 15));
    assert_eq!(tick(&mut machine, start + SECOND * 14), "");
    machine.note_sent(start + SECOND * 14);
    assert_eq!(tick(&mut machine, start + SECOND * 20), "");
    assert_eq!(tick(&mut machine, start + SECOND * 29), ":\n");
    assert_eq!(machine.deadline(None), Some(start + SECOND * 44));
}

#[test]
fn a_stop_ends_a_stream_at_its_share_of_the_window_and_says_when_to_come_back() {
    let start = Instant::now();
    let mut machine = machine(start);
    let plan = plan(start);
    let mut out = Vec::new();
    assert_eq!(
        machine.stop(start + SECOND * 2, Some(&plan), &mut out),
        None
    );
    assert_eq!(machine.deadline(Some(&plan)), Some(start + SECOND * 5 / 2));
    let reason = machine.stop(start + SECOND * 3, Some(&plan), &mut out);
    assert_eq!(reason, Some(CloseReason::Stopping));
    assert_eq!(machine.end(), Some(StreamEnd::Whole));
    assert!(out.starts_with(b"retry: "));
    assert_eq!(machine.deadline(Some(&plan)), None);
}

#[test]
fn a_generator_that_asks_has_until_the_window_closes() {
    let start = Instant::now();
    let mut machine = machine(start);
    machine.note_stop_checked();
    let plan = plan(start);
    let mut out = Vec::new();
    assert_eq!(
        machine.stop(start + SECOND * 9, Some(&plan), &mut out),
        None
    );
    let reason = machine.producer_is_done(
        ProducerOutcome::Ended,
        start + SECOND * 9,
        Some(&plan),
        &mut out,
    );
    assert_eq!(reason, CloseReason::Stopping);
    assert!(out.starts_with(b"retry: 1"));
}

#[test]
fn a_failed_stream_tells_its_error_and_is_cut_once_that_was_read() {
    let start = Instant::now();
    let mut machine = machine(start);
    let mut out = Vec::new();
    let failure: StreamError = "broken".into();
    let outcome = ProducerOutcome::Failed(&failure);
    let reason = machine.producer_is_done(outcome, start, None, &mut out);
    assert_eq!(reason, CloseReason::Error);
    assert!(out.starts_with(b"event: bellwether.error\n"));
    assert!(machine.awaits_flush() && machine.end().is_none());
    // The socket takes the error late.
    machine.flushed(start + SECOND / 20);
    assert_eq!(machine.deadline(None), Some(start + SECOND * 3 / 20));
    let _ = tick(&mut machine, start + SECOND / 10);
    assert_eq!(machine.end(), None);
    let _ = tick(&mut machine, start + SECOND * 3 / 20);
    assert_eq!(machine.end(), Some(StreamEnd::Cut));
}

#[test]
fn an_interval_beyond_every_clock_is_no_keep_alive_and_no_panic() {
    let start = Instant::now();
    let options = StreamDefaults::new().keep_alive(Duration::MAX).options();
    let mut machine = Machine::new(options, start, 1.0, 0.5);
    assert_eq!(machine.deadline(None), None);
    machine.note_sent(start);
    assert_eq!(machine.deadline(None), None);
    let plan = DrainPlan {
        began: start,
        window: Duration::MAX,
        streams: u64::MAX,
    };
    assert!(machine.deadline(Some(&plan)).is_some_and(|at| at > start));
}

#[test]
fn an_interval_of_zero_sends_keep_alives_at_the_shortest_interval_and_never_two_at_once() {
    let start = Instant::now();
    let options = StreamDefaults::new().keep_alive(Duration::ZERO).options();
    let mut machine = Machine::new(options, start, 1.0, 0.5);
    let first = machine.deadline(None).expect("a keep-alive");
    assert_eq!(first, start + MIN_KEEP_ALIVE);
    assert_eq!(tick(&mut machine, first), ":\n");
    assert_eq!(tick(&mut machine, first), "");
}

fn input() -> impl Strategy<Value = SimulationInput> {
    prop_oneof![
        4 => (0..20_000_u16).prop_map(SimulationInput::Pass),
        4 => Just(SimulationInput::Gives),
        1 => Just(SimulationInput::Asks),
        1 => Just(SimulationInput::Ends),
        1 => Just(SimulationInput::IsClosed),
        1 => Just(SimulationInput::Fails),
        2 => Just(SimulationInput::Flushed),
        1 => Just(SimulationInput::Stops),
        1 => Just(SimulationInput::Abandoned),
    ]
}

proptest! {
    #[test]
    fn every_order_of_inputs_keeps_the_rules(
        inputs in proptest::collection::vec(input(), 0..60),
        keep_alive in proptest::option::of(0..30_000_u32),
        (phase, share) in (0..=u8::MAX, 0..=u8::MAX),
        (window, streams) in (0..30_000_u32, 0..10_000_u64),
        (finishes, lets_finish) in (any::<bool>(), any::<bool>()),
    ) {
        let settings = SimulationSettings { keep_alive, phase, share, window, streams, finishes, lets_finish };
        simulate(settings, &inputs);
    }
}
