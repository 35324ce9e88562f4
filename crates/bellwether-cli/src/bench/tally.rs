//! [`Tally`]: what the streams of one thread have counted.

use hdrhistogram::Histogram;

use super::sequence::Counts;
use super::stamp::NumberSource;

/// The longest latency that is measured: 10 minutes, in microseconds.
const MAX_LATENCY_US: u64 = 600_000_000;

/// Counters of many streams, added up at the end.
#[derive(Debug)]
pub(super) struct Tally {
    /// Streams that have been open.
    pub(super) opened: u64,
    /// Streams that have been open or have failed once: all of them when the connecting is done.
    pub(super) settled: u64,
    /// Streams that are over.
    pub(super) ended: u64,
    pub(super) retries: u64,
    pub(super) events: u64,
    pub(super) first_failure: Option<String>,
    /// The server refused, where `first_failure` is not about the connection.
    pub(super) is_refused: bool,
    pub(super) latency: Histogram<u64>,
    pub(super) by: Option<NumberSource>,
    /// Of streams that are over or were stopped.
    pub(super) order: Counts,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            opened: 0,
            settled: 0,
            ended: 0,
            retries: 0,
            events: 0,
            first_failure: None,
            is_refused: false,
            latency: Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
                .expect("the bounds are in order and the digits at most 5"),
            by: None,
            order: Counts::default(),
        }
    }

    /// Adds the counters of another thread.
    pub(super) fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.settled += other.settled;
        self.ended += other.ended;
        self.retries += other.retries;
        self.events += other.events;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        self.is_refused |= other.is_refused;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.by = self.by.or(other.by);
        self.add_order(other.order);
    }

    pub(super) fn add_order(&mut self, counts: Counts) {
        self.order.lost = self.order.lost.saturating_add(counts.lost);
        self.order.duplicated += counts.duplicated;
        self.order.reordered += counts.reordered;
    }

    pub(super) fn record_latency(&mut self, micros: u64) {
        self.latency.saturating_record(micros.max(1));
    }
}
