//! Deadlines of many readers in one place: a list of readers for each tick that has any. Pure.
//!
//! An entry is only a reminder: a reader that is reminded checks its deadline, and is entered again. So a
//! deadline that moves away, as a keep-alive does with every event, touches nothing here.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::slots::ReaderId;

/// How exact deadlines are.
const TICK: Duration = Duration::from_millis(20);

/// Numbers of 64 bits reach for 584 years, and a division of 128 bits would show.
const TICK_NANOS: u64 = TICK.as_nanos() as u64;

/// A moment, counted in ticks since the wheel was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// Later than every other.
    pub(super) const NEVER: Self = Self(u64::MAX);
}

/// The readers to remind, by time.
#[derive(Debug)]
pub(super) struct Wheel {
    origin: Instant,
    ticks: BTreeMap<Tick, Vec<ReaderId>>,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            ticks: BTreeMap::new(),
        }
    }

    /// The first tick at which this instant has come.
    pub(super) fn tick_of(&self, instant: Instant) -> Tick {
        let since = instant.saturating_duration_since(self.origin);
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Tick(nanos.div_ceil(TICK_NANOS))
    }

    /// Reminds a reader at this tick.
    pub(super) fn remind(&mut self, tick: Tick, id: ReaderId) {
        if tick != Tick::NEVER {
            self.ticks.entry(tick).or_default().push(id);
        }
    }

    /// Those whose tick has come, one tick at a time.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Tick, Vec<ReaderId>)> {
        let first = self.ticks.first_entry()?;
        if instant_of(self.origin, *first.key()) > now {
            return None;
        }
        Some(first.remove_entry())
    }

    /// When the next reader is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let (tick, _) = self.ticks.first_key_value()?;
        Some(instant_of(self.origin, *tick))
    }
}

fn instant_of(origin: Instant, tick: Tick) -> Instant {
    // A tick is made from a time that can be reached.
    origin + Duration::from_nanos(tick.0.saturating_mul(TICK_NANOS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ReaderId {
        ReaderId {
            index,
            generation: 0,
        }
    }

    #[test]
    fn nobody_is_reminded_early_and_nobody_later_than_a_tick() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for millis in [0, 1, 19, 20, 21, 15_000] {
            let at = start + Duration::from_millis(millis);
            let tick = wheel.tick_of(at);
            wheel.remind(tick, id(1));
            let due = wheel.next().expect("a reader is due");
            assert!(due >= at && due < at + TICK, "{millis}");
            assert_eq!(wheel.due(due - Duration::from_nanos(1)), None);
            assert_eq!(wheel.due(due), Some((tick, vec![id(1)])));
        }
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn reminders_come_in_the_order_of_their_ticks() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for (millis, index) in [(100, 1), (40, 2), (100, 3)] {
            let tick = wheel.tick_of(start + Duration::from_millis(millis));
            wheel.remind(tick, id(index));
        }
        wheel.remind(Tick::NEVER, id(4));
        let end = start + Duration::from_secs(1);
        let mut order = Vec::new();
        while let Some((_, ids)) = wheel.due(end) {
            order.extend(ids.into_iter().map(|id| id.index));
        }
        assert_eq!(order, [2, 1, 3]);
    }

    #[test]
    fn deadlines_keep_their_order_after_a_hundred_years() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        let far = start + Duration::from_secs(60 * 60 * 24 * 365 * 100);
        let later = wheel.tick_of(far + TICK);
        assert!(wheel.tick_of(far) < later && later < Tick::NEVER);
        assert_eq!(instant_of(start, wheel.tick_of(far)), far);
    }
}
