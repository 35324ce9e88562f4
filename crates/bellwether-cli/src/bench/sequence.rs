//! [`Sequence`]: the lost, duplicated and late events of one stream, found by numbers that go up by one. Pure.

use std::collections::VecDeque;

/// How many holes are remembered; the oldest is then lost for good.
const MAX_HOLES: usize = 1024;

/// The numbers of one stream, as they arrive.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// What all numbers of the present run have in common, such as the epoch of a log.
    run: String,
    highest: Option<u64>,
    /// Numbers that are missing below the highest: first and last of each hole, in ascending order.
    holes: VecDeque<(u64, u64)>,
    counts: Counts,
}

/// What was found in the order of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Never came.
    pub(super) lost: u64,
    /// Came more than once.
    pub(super) duplicated: u64,
    /// Came after a later one.
    pub(super) reordered: u64,
}

impl Sequence {
    /// Takes the number of the next event. Another run starts over: its numbers say nothing about the old ones.
    pub(super) fn observe(&mut self, run: &str, number: u64) {
        if self.run != run {
            self.lose(missing(&self.holes));
            self.holes.clear();
            run.clone_into(&mut self.run);
            self.highest = None;
        }
        match self.highest {
            None => self.highest = Some(number),
            Some(highest) if number > highest => {
                if number > highest + 1 {
                    self.holes.push_back((highest + 1, number - 1));
                    if self.holes.len() > MAX_HOLES
                        && let Some((first, last)) = self.holes.pop_front()
                    {
                        self.lose(last - first + 1);
                    }
                }
                self.highest = Some(number);
            }
            Some(_) => match self.fill(number) {
                true => self.counts.reordered += 1,
                false => self.counts.duplicated += 1,
            },
        }
    }

    /// The counts so far; what is missing counts as lost until it comes.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            lost: self.counts.lost.saturating_add(missing(&self.holes)),
            ..self.counts
        }
    }

    // A server that counts up to 2⁶⁴ in one step, again and again, is no reason to panic.
    fn lose(&mut self, numbers: u64) {
        self.counts.lost = self.counts.lost.saturating_add(numbers);
    }

    /// Takes the number out of the hole that it is missing in; `false` if it is in none.
    fn fill(&mut self, number: u64) -> bool {
        let at = self.holes.partition_point(|(_, last)| *last < number);
        let Some(&(first, last)) = self.holes.get(at).filter(|(first, _)| *first <= number) else {
            return false;
        };
        self.holes.remove(at);
        if number < last {
            self.holes.insert(at, (number + 1, last));
        }
        if first < number {
            self.holes.insert(at, (first, number - 1));
        }
        true
    }
}

fn missing(holes: &VecDeque<(u64, u64)>) -> u64 {
    holes.iter().map(|(first, last)| last - first + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: &[u64]) -> (u64, u64, u64) {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.observe("", *number);
        }
        let counts = sequence.counts();
        (counts.lost, counts.duplicated, counts.reordered)
    }

    #[test]
    fn a_stream_may_begin_anywhere_and_is_then_whole() {
        assert_eq!(counts(&[]), (0, 0, 0));
        assert_eq!(counts(&[7, 8, 9]), (0, 0, 0));
    }

    #[test]
    fn holes_repeats_and_late_numbers_are_told_apart() {
        assert_eq!(counts(&[1, 2, 5]), (2, 0, 0));
        assert_eq!(counts(&[1, 2, 2, 1]), (0, 2, 0));
        assert_eq!(counts(&[1, 3, 2]), (0, 0, 1));
        assert_eq!(counts(&[1, 9, 5, 5, 3, 2, 8]), (3, 1, 4));
        assert_eq!(counts(&[5, 4]), (0, 1, 0));
    }

    #[test]
    fn another_run_begins_anew_and_its_holes_stay_lost() {
        let mut sequence = Sequence::default();
        for (run, number) in [("a", 1), ("a", 3), ("b", 1), ("b", 2)] {
            sequence.observe(run, number);
        }
        assert_eq!(sequence.counts().lost, 1);
        assert_eq!(sequence.counts().duplicated, 0);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut sequence = Sequence::default();
        for run in ["a", "b", "c"] {
            sequence.observe(run, 0);
            sequence.observe(run, u64::MAX);
        }
        assert_eq!(sequence.counts().lost, u64::MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let numbers: Vec<u64> = (0..5000).map(|number| number * 2).collect();
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.observe("", number);
        }
        assert_eq!(sequence.holes.len(), MAX_HOLES);
        assert_eq!(sequence.counts().lost, 4999);
    }
}
