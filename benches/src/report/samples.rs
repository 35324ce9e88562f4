//! Figures of several rounds, by peer and by size, and their summary.

use std::collections::HashMap;

/// The figures of a question, for each peer at each size (of readers, say).
#[derive(Debug)]
pub(crate) struct Samples {
    figures: HashMap<(&'static str, u64), Sample>,
}

/// The figures of one peer at one size, lowest first.
#[derive(Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Samples {
    pub(crate) fn new() -> Self {
        Self {
            figures: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, peer: &'static str, size: u64, figure: f64) {
        let sample = &mut self.figures.entry((peer, size)).or_default().0;
        let place = sample.partition_point(|other| *other < figure);
        sample.insert(place, figure);
    }

    /// The figures of a peer, unless it has none.
    pub(crate) fn of(&self, peer: &'static str, size: u64) -> Option<&Sample> {
        self.figures
            .get(&(peer, size))
            .filter(|sample| !sample.0.is_empty())
    }

    /// One peer's median at a size over another's.
    pub(crate) fn ratio(
        &self,
        (one, size): (&'static str, u64),
        (other, other_size): (&'static str, u64),
    ) -> Option<f64> {
        Some(self.of(one, size)?.median() / self.of(other, other_size)?.median())
    }
}

impl Sample {
    /// The middle figure, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let (low, high) = (self.0.len().saturating_sub(1) / 2, self.0.len() / 2);
        match (self.0.get(low), self.0.get(high)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => f64::NAN,
        }
    }

    /// The lowest and the highest figure, with this number of digits behind the point.
    pub(crate) fn spread(&self, digits: usize) -> String {
        format!("{:.digits$} to {:.digits$}", self.lowest(), self.highest())
    }

    fn lowest(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn highest(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        for (figures, median) in [
            (vec![3.0], 3.0),
            (vec![1.0, 4.0], 2.5),
            (vec![1.0, 2.0, 9.0], 2.0),
        ] {
            assert_eq!(Sample(figures).median(), median);
        }
    }
}
