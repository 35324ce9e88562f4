//! [`Beside`]: how readers that never read affect the good ones beside them, as both questions about it report it.

use crate::peers::Peer;
use crate::report::{Bar, Goal, Samples};

/// The heads of the columns that both tables have.
pub(super) const HEADS: [&str; 5] = [
    "server",
    "stuck readers",
    "p99 of the good ones, ms",
    "lowest to highest",
    "memory growth, KiB",
];

/// What the bars count.
pub(super) const UNIT: &str = "ms from publish to receive (less is better)";

/// The figures of all runs.
#[derive(Debug)]
pub(super) struct Beside {
    good: usize,
    /// Without and with stuck readers; also the sizes of the samples.
    stuck: [u64; 2],
    /// Digits of a millisecond behind the point.
    digits: usize,
    millis: Samples,
    growth: Samples,
}

impl Beside {
    pub(super) fn new(good: usize, stuck: [u64; 2], digits: usize) -> Self {
        Self {
            good,
            stuck,
            digits,
            millis: Samples::new(),
            growth: Samples::new(),
        }
    }

    /// Adds a run, by the good readers' p99 in milliseconds and the growth of memory in KiB, and prints it.
    pub(super) fn add(&mut self, peer: &Peer, stuck: u64, p99: f64, kib: f64) -> String {
        self.millis.add(peer.name, stuck, p99);
        self.growth.add(peer.name, stuck, kib);
        let digits = self.digits;
        format!("p99 {p99:.digits$} ms, memory grew by {kib:.0} KiB")
    }

    /// The rows and the bars; what a row has beyond [`HEADS`] is the question's own.
    pub(super) fn table(
        &self,
        peers: &[&'static Peer],
        own: impl Fn(&'static str, u64) -> Option<String>,
    ) -> (Vec<Vec<String>>, Vec<Bar>) {
        let digits = self.digits;
        let (mut rows, mut bars) = (Vec::new(), Vec::new());
        for peer in peers {
            for stuck in self.stuck {
                let (Some(p99), Some(kib)) = (
                    self.millis.of(peer.name, stuck),
                    self.growth.of(peer.name, stuck),
                ) else {
                    continue;
                };
                let mut row = vec![
                    peer.name.to_owned(),
                    stuck.to_string(),
                    format!("{:.digits$}", p99.median()),
                    p99.spread(digits),
                    format!("{:.0}", kib.median()),
                ];
                row.extend(own(peer.name, stuck));
                rows.push(row);
                bars.push(Bar {
                    group: format!(
                        "p99 of {} good readers beside {stuck} stuck ones",
                        self.good
                    ),
                    name: peer.name,
                    value: p99.median(),
                });
            }
        }
        bars.sort_by_key(|bar| bar.group.len());
        (rows, bars)
    }

    /// What stuck readers may cost the good ones.
    pub(super) fn goal(&self) -> Option<Goal> {
        let [without, with] = self.stuck.map(|stuck| ("bellwether", stuck));
        let ratio = self.millis.ratio(with, without)?;
        let what = "p99 of good readers, bellwether with / without stuck ones".to_owned();
        Some(Goal::at_most(what, 1.5, ratio))
    }

    /// KiB that Bellwether's memory grew more with stuck readers than without.
    pub(super) fn more_kib(&self) -> Option<f64> {
        let [without, with] = self
            .stuck
            .map(|stuck| Some(self.growth.of("bellwether", stuck)?.median()));
        Some(with? - without?)
    }
}
