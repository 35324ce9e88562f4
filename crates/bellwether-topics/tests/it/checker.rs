//! Checks what one reader of one topic got: each event once, in order, or a gap that says so.

use std::ops::AddAssign;

use bellwether_topics::{Delivery, Frame};

/// What a reader got, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    /// Events that were skipped without a gap.
    pub(crate) missing: u64,
    /// Events that came again, or after a later one.
    pub(crate) repeated: u64,
    /// Gaps that were delivered.
    pub(crate) gaps: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.missing += other.missing;
        self.repeated += other.repeated;
        self.gaps += other.gaps;
    }
}

impl Figures {
    pub(crate) fn is_exact(&self) -> bool {
        self.missing == 0 && self.repeated == 0
    }
}

/// The events of a topic carry 1, 2, 3 … as their data.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    last: u64,
    is_after_gap: bool,
    pub(crate) figures: Figures,
}

impl Checker {
    /// The last event that was seen.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn delivery(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Event(frame) => self.number(number(frame)),
            _ => {
                self.figures.gaps += 1;
                self.is_after_gap = true;
            }
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.figures.events += 1;
        if number <= self.last {
            self.figures.repeated += 1;
            return;
        }
        if !self.is_after_gap {
            self.figures.missing += number - self.last - 1;
        }
        self.is_after_gap = false;
        self.last = number;
    }
}

/// The number that an event carries.
pub(crate) fn number(frame: &Frame) -> u64 {
    let text = std::str::from_utf8(frame.as_bytes()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    data.unwrap().parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[u64]) -> Figures {
        let mut checker = Checker::default();
        for number in numbers {
            checker.number(*number);
        }
        checker.figures
    }

    /// The stress runs say something only if their checker would notice.
    #[test]
    fn the_checker_notices_a_dropped_a_repeated_and_a_swapped_event() {
        let numbers: Vec<u64> = (1..=10_000).collect();
        assert!(check(&numbers).is_exact());

        for at in [0, 1, 4999, 9998] {
            let mut dropped = numbers.clone();
            dropped.remove(at);
            assert_eq!(check(&dropped).missing, 1);

            let mut repeated = numbers.clone();
            repeated.insert(at, numbers[at]);
            assert_eq!(check(&repeated).repeated, 1);

            let mut swapped = numbers.clone();
            swapped.swap(at, at + 1);
            assert!(!check(&swapped).is_exact());
        }
    }
}
