//! Metrics of this crate: handles that are made once, when a [`Topics`](crate::Topics) is built.
//!
//! A recorder must be installed before that; later ones see nothing. Topics are never labels, since their number is not
//! bounded by the program.
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `bellwether_topics_subscribers` | gauge | |
//! | `bellwether_topics_published_total` | counter | |
//! | `bellwether_topics_publish_failed_total` | counter | |
//! | `bellwether_topics_delivered_total` | counter | |
//! | `bellwether_topics_gaps_total` | counter | `reason` |
//! | `bellwether_topics_dropped_total` | counter: events that a reader did not get, as far as a gap says how many | `reason` |
//! | `bellwether_topics_closed_total` | counter | `reason` |
//! | `bellwether_topics_lag_seconds` | histogram: from publish to hand-over, of the oldest event of each hand-over; to the socket and for every 64th reader where a server writes for many | |
//! | `bellwether_topics_broker_ready` | gauge, 1 or 0 | |

use std::fmt;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::event::gap::{Gap, GapReason};
use crate::presence::CloseReason;

pub(crate) struct Metrics {
    pub(crate) subscribers: Gauge,
    pub(crate) published: Counter,
    pub(crate) publish_failed: Counter,
    pub(crate) delivered: Counter,
    pub(crate) lag: Histogram,
    pub(crate) broker_ready: Gauge,
    gaps: [Counter; GapReason::ALL.len()],
    dropped: [Counter; GapReason::ALL.len()],
    closed: [Counter; CloseReason::ALL.len()],
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            subscribers: gauge!("bellwether_topics_subscribers"),
            published: counter!("bellwether_topics_published_total"),
            publish_failed: counter!("bellwether_topics_publish_failed_total"),
            delivered: counter!("bellwether_topics_delivered_total"),
            lag: histogram!("bellwether_topics_lag_seconds"),
            broker_ready: gauge!("bellwether_topics_broker_ready"),
            gaps: GapReason::ALL.map(
                |reason| counter!("bellwether_topics_gaps_total", "reason" => reason.as_str()),
            ),
            dropped: GapReason::ALL.map(
                |reason| counter!("bellwether_topics_dropped_total", "reason" => reason.as_str()),
            ),
            closed: CloseReason::ALL.map(
                |reason| counter!("bellwether_topics_closed_total", "reason" => reason.as_str()),
            ),
        }
    }

    pub(crate) fn gap(&self, gap: &Gap) {
        let all = GapReason::ALL
            .iter()
            .zip(self.gaps.iter().zip(&self.dropped));
        for (_, (gaps, dropped)) in all.filter(|(known, _)| **known == gap.reason) {
            gaps.increment(1);
            dropped.increment(gap.lost.unwrap_or(0));
        }
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        let all = CloseReason::ALL.iter().zip(&self.closed);
        for (_, counter) in all.filter(|(known, _)| **known == reason) {
            counter.increment(1);
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
