//! Times from publish to receive, and their summary.

use std::time::Duration;

/// The lengths are counted in boxes: each power of two nanoseconds has this number of them.
const BOXES_PER_OCTAVE: u32 = 32;

/// A histogram of lengths of time. A percentile is off by at most 3 %; nothing is left out.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    boxes: Vec<u64>,
    count: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            boxes: vec![0; (64 * BOXES_PER_OCTAVE) as usize],
            count: 0,
        }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.boxes[index_of(nanos)] += 1;
        self.count += 1;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds all of another histogram.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.boxes.iter_mut().zip(&other.boxes) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The length that this share of all, in 0..=1, does not exceed, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.boxes.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index) / 1e6;
            }
        }
        f64::NAN
    }
}

fn index_of(nanos: u64) -> usize {
    let octave = nanos.max(1).ilog2();
    let within = if octave < 5 {
        0
    } else {
        (nanos >> (octave - 5)) as u32 & (BOXES_PER_OCTAVE - 1)
    };
    (octave * BOXES_PER_OCTAVE + within) as usize
}

fn upper_edge(index: usize) -> f64 {
    let (octave, within) = (
        index as u32 / BOXES_PER_OCTAVE,
        index as u32 % BOXES_PER_OCTAVE,
    );
    2_f64.powi(octave as i32) * (1.0 + f64::from(within + 1) / f64::from(BOXES_PER_OCTAVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_off_by_little() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.add(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let found = latencies.percentile(share);
            assert!((exact..exact * 1.04).contains(&found), "{share}: {found}");
        }
    }
}
