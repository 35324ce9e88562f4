//! Metrics of this crate: handles that are made once, when a broker connects.
//!
//! A recorder must be installed before that; later ones see nothing.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub(crate) struct Metrics {
    pub(crate) append_seconds: Histogram,
    pub(crate) append_records: Histogram,
    pub(crate) append_bytes: Counter,
    pub(crate) append_failed: Counter,
    pub(crate) append_repeated: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) read_seconds: Histogram,
    pub(crate) read_records: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) tails: Counter,
    pub(crate) tail_records: Counter,
    pub(crate) tail_bytes: Counter,
    pub(crate) disconnects: Counter,
    pub(crate) connected: Gauge,
    pub(crate) markers: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            append_seconds: histogram!("bellwether_nats_append_seconds"),
            append_records: histogram!("bellwether_nats_append_records"),
            append_bytes: counter!("bellwether_nats_append_bytes_total"),
            append_failed: counter!("bellwether_nats_append_failed_total"),
            append_repeated: counter!("bellwether_nats_append_repeated_total"),
            duplicates: counter!("bellwether_nats_duplicates_total"),
            read_seconds: histogram!("bellwether_nats_read_seconds"),
            read_records: counter!("bellwether_nats_read_records_total"),
            read_bytes: counter!("bellwether_nats_read_bytes_total"),
            tails: counter!("bellwether_nats_tails_total"),
            tail_records: counter!("bellwether_nats_tail_records_total"),
            tail_bytes: counter!("bellwether_nats_tail_bytes_total"),
            disconnects: counter!("bellwether_nats_disconnects_total"),
            connected: gauge!("bellwether_nats_connected"),
            markers: counter!("bellwether_nats_markers_total"),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
