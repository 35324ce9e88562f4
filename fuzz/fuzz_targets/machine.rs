//! Anything may happen to an event source, in any order: its machine never panics, never waits less than it must, and
//! ends once.
//!
//! `cargo +nightly fuzz run machine`

#![no_main]

use std::time::{Duration, Instant};

use bellwether_client::machine::{Action, Machine, Verdict};
use bellwether_client::transport::TransportError;
use bellwether_client::{EventSource, Item, Limits, Retry, State};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    seed: u64,
    is_once: bool,
    is_patient: bool,
    max_failures: Option<u8>,
    max_redirects: u8,
    max_bytes: u8,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Response {
        status: u16,
        is_stream: bool,
        can_decode: bool,
        location: Option<&'a [u8]>,
        retry_after: Option<&'a [u8]>,
    },
    Bytes(&'a [u8]),
    End,
    Failure {
        is_final: bool,
    },
    /// Milliseconds, or to the next deadline.
    Time(Option<u32>),
    Stop,
}

const MIN_DELAY: Duration = Duration::from_millis(500);

fn machine(input: &Input<'_>) -> Machine {
    let mut retry = Retry::default();
    if input.is_patient {
        retry = retry.unavailable();
    }
    if let Some(failures) = input.max_failures {
        retry = retry.max_failures(failures.into());
    }
    let limits = Limits::default()
        .max_line_bytes(64 + usize::from(input.max_bytes))
        .max_event_bytes(64 + usize::from(input.max_bytes));
    let mut builder = EventSource::builder("https://example.com/a/b?c")
        .header("authorization", "secret")
        .retry(retry)
        .limits(limits)
        .max_redirects(input.max_redirects.into());
    if input.is_once {
        builder = builder.once();
    }
    builder
        .into_machine(input.seed)
        .expect("the settings are valid")
}

/// What must hold between any two steps.
struct Watch {
    has_ended: bool,
}

impl Watch {
    fn look(&mut self, machine: &mut Machine, now: Instant) {
        let action = machine.action(now);
        while let Some(item) = machine.take_item() {
            assert!(!self.has_ended, "an item after the last one");
            match item {
                Ok(Item::Waiting(waiting)) => {
                    assert!(waiting.delay >= MIN_DELAY);
                    assert_eq!(action, Action::Wait(now + waiting.delay));
                }
                Ok(Item::Closed) => self.has_ended = true,
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is_closed());
                    self.has_ended = true;
                }
            }
        }
        assert_eq!(action == Action::Stop, self.has_ended);
        assert_eq!(machine.state() == State::Closed, self.has_ended);
        assert_eq!(
            machine.request().is_some(),
            matches!(action, Action::Connect(_))
        );
        if let Some((request, is_trusted)) = machine.request() {
            let is_home = request.uri().host() == Some("example.com");
            assert!(is_home || !is_trusted);
            assert_eq!(request.headers().contains_key("authorization"), is_trusted);
            assert_eq!(request.uri().scheme_str(), Some("https"));
        }
    }
}

fn header(headers: &mut HeaderMap, name: &'static str, value: Option<&[u8]>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fuzz_target!(|input: Input<'_>| {
    let mut machine = machine(&input);
    let mut now = Instant::now();
    let mut watch = Watch { has_ended: false };
    watch.look(&mut machine, now);
    for step in &input.steps {
        match step {
            Step::Response {
                status,
                is_stream,
                can_decode,
                location,
                retry_after,
            } => {
                let Ok(status) = StatusCode::from_u16(100 + status % 900) else {
                    continue;
                };
                let mut headers = HeaderMap::new();
                header(&mut headers, "location", *location);
                header(&mut headers, "retry-after", *retry_after);
                header(
                    &mut headers,
                    "content-type",
                    is_stream.then_some(b"text/event-stream"),
                );
                let verdict = machine.on_response(now, status, headers, *can_decode);
                if verdict == Verdict::Read {
                    assert!(matches!(machine.action(now), Action::Read(_)));
                }
            }
            Step::Bytes(bytes) => {
                machine.on_bytes(now);
                let mut rest = *bytes;
                while !rest.is_empty() {
                    let before = rest.len();
                    machine.decode(now, &mut rest);
                    let is_open = machine.state() != State::Closed;
                    watch.look(&mut machine, now);
                    assert!(rest.len() < before || !is_open, "the input is not taken");
                    if !is_open {
                        break;
                    }
                }
            }
            Step::End => machine.on_end(now),
            Step::Failure { is_final: true } => {
                machine.on_failure(now, TransportError::permanent("final"));
            }
            Step::Failure { is_final: false } => {
                machine.on_failure(now, TransportError::new("passing"))
            }
            Step::Time(Some(millis)) => {
                now += Duration::from_millis((*millis).into());
                machine.on_time(now);
            }
            Step::Time(None) => {
                let until = match machine.action(now) {
                    Action::Connect(until) | Action::Wait(until) => until,
                    Action::Read(until) => until.unwrap_or(now),
                    Action::Stop => now,
                };
                let action = machine.action(now);
                now = now.max(until);
                machine.on_time(now);
                assert!(
                    machine.action(now) != action || action == Action::Stop,
                    "no deadline passes twice"
                );
            }
            Step::Stop => machine.stop(),
        }
        watch.look(&mut machine, now);
    }
});
