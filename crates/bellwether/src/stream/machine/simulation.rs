//! Simulates a stream with any inputs in any order, for tests and the fuzz target: the rules hold for all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{MIN_KEEP_ALIVE, Machine, ProducerOutcome};
use crate::stream::{CloseReason, DrainPlan, OnStop, StreamDefaults, StreamError, SubscriptionEnd};

/// What a stream is played with. Times are milliseconds; `phase` and `share` are parts of 256.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimulationSettings {
    pub(crate) keep_alive: Option<u32>,
    pub(crate) phase: u8,
    pub(crate) share: u8,
    pub(crate) window: u32,
    pub(crate) streams: u64,
    pub(crate) finishes: bool,
    pub(crate) lets_finish: bool,
}

/// What may happen to a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SimulationInput {
    /// Milliseconds go by, and the driver polls at each deadline.
    Pass(u16),
    Gives,
    Asks,
    Ends,
    IsClosed,
    Fails,
    Flushed,
    Stops,
    Abandoned,
}

impl SimulationInput {
    /// An input for each pair of numbers.
    #[cfg(fuzzing)]
    pub(crate) fn new(kind: u8, millis: u16) -> Self {
        match kind % 9 {
            0 => Self::Pass(millis),
            1 => Self::Gives,
            2 => Self::Asks,
            3 => Self::Ends,
            4 => Self::IsClosed,
            5 => Self::Fails,
            6 => Self::Flushed,
            7 => Self::Stops,
            _ => Self::Abandoned,
        }
    }
}

/// A stream in play, and what is known of it from outside.
struct Simulation {
    settings: SimulationSettings,
    machine: Machine,
    now: Instant,
    /// When bytes were last given.
    last: Instant,
    stop: Option<DrainPlan>,
    reasons: Vec<CloseReason>,
    was_abandoned: bool,
}

/// Plays the inputs in their order.
///
/// # Panics
///
/// When a rule is broken: a stream has one reason to end, gives nothing after its end, is never silent for longer than
/// its interval, and is over when the window of a stop is; no deadline passes without an effect.
pub(crate) fn simulate(settings: SimulationSettings, inputs: &[SimulationInput]) {
    let mut defaults = StreamDefaults::new().no_keep_alive();
    if let Some(millis) = settings.keep_alive {
        defaults = defaults.keep_alive(Duration::from_millis(millis.into()));
    }
    let mut options = (*defaults.options()).clone();
    options.finish = settings.finishes;
    if settings.lets_finish {
        options.on_stop = OnStop::LetFinish;
    }
    let now = Instant::now();
    let phase = f64::from(settings.phase) / 256.0;
    let share = f32::from(settings.share) / 256.0;
    let mut simulation = Simulation {
        settings,
        machine: Machine::new(Arc::new(options), now, phase, share),
        now,
        last: now,
        stop: None,
        reasons: Vec::new(),
        was_abandoned: false,
    };
    for input in inputs {
        simulation.step(*input);
    }
}

impl Simulation {
    fn step(&mut self, input: SimulationInput) {
        let was_over = self.machine.end().is_some();
        let is_open = self.machine.is_open();
        let mut out = Vec::new();
        match input {
            SimulationInput::Pass(millis) => {
                self.pass(Duration::from_millis(millis.into()), &mut out);
            }
            SimulationInput::Gives if is_open => {
                self.machine.note_sent(self.now);
                self.last = self.now;
            }
            SimulationInput::Asks if is_open => self.machine.note_stop_checked(),
            SimulationInput::Ends if is_open => {
                self.producer_is_done(ProducerOutcome::Ended, &mut out);
            }
            SimulationInput::IsClosed if is_open => {
                let end = SubscriptionEnd {
                    reason: CloseReason::TooSlow,
                    retry: None,
                };
                self.producer_is_done(ProducerOutcome::Closed(end), &mut out);
            }
            SimulationInput::Fails if is_open => {
                let failure: StreamError = "broken".into();
                self.producer_is_done(ProducerOutcome::Failed(&failure), &mut out);
                assert!(self.machine.awaits_flush());
            }
            SimulationInput::Flushed => {
                self.machine.flushed(self.now);
                assert!(!self.machine.awaits_flush());
            }
            SimulationInput::Stops if self.stop.is_none() => {
                self.stop = Some(DrainPlan {
                    began: self.now,
                    window: Duration::from_millis(self.settings.window.into()),
                    streams: self.settings.streams,
                });
            }
            SimulationInput::Abandoned if is_open => {
                self.machine.abandon();
                self.was_abandoned = true;
            }
            _ => {}
        }
        assert!(!was_over || out.is_empty(), "bytes after the end");
        assert!(self.reasons.len() <= 1, "{:?}", self.reasons);
        assert_eq!(
            self.machine.is_open(),
            self.reasons.is_empty() && !self.was_abandoned
        );
        let text = std::str::from_utf8(&out).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    }

    fn producer_is_done(&mut self, outcome: ProducerOutcome<'_>, out: &mut Vec<u8>) {
        let stop = self.stop.as_ref();
        let reason = self.machine.producer_is_done(outcome, self.now, stop, out);
        self.reasons.push(reason);
    }

    fn pass(&mut self, time: Duration, out: &mut Vec<u8>) {
        let to = self.now + time;
        let interval = self
            .settings
            .keep_alive
            .map(|millis| Duration::from_millis(millis.into()).max(MIN_KEEP_ALIVE));
        while let Some(at) = self.next_deadline().filter(|at| *at <= to) {
            self.now = self.now.max(at);
            let (before, end) = (out.len(), self.machine.end());
            self.reasons
                .extend(self.machine.stop(self.now, self.stop.as_ref(), out));
            self.machine.tick(self.now, out);
            if self.machine.is_open() {
                assert!(out.len() > before, "a deadline that does nothing");
                assert!(interval.is_some_and(|interval| self.now - self.last <= interval));
                self.last = self.now;
            } else {
                assert_ne!(self.machine.end(), end, "a deadline that does nothing");
            }
        }
        self.now = to;
        if let Some(stop) = &self.stop {
            assert!(!self.machine.is_open() || self.now < stop.last_moment());
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.machine.deadline(self.stop.as_ref());
        assert!(self.machine.end().is_none() || deadline.is_none());
        deadline
    }
}
