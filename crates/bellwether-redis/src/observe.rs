//! Metrics of this crate: handles that are made once, when a [`RedisBroker`](crate::RedisBroker) connects.

use std::fmt;

use metrics::{Counter, Histogram, counter, histogram};

pub(crate) struct Metrics {
    pub(crate) append_seconds: Histogram,
    pub(crate) append_records: Histogram,
    pub(crate) append_bytes: Counter,
    pub(crate) append_failed: Counter,
    pub(crate) reads: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) pages: Counter,
    pub(crate) connects: Counter,
    pub(crate) connect_failed: Counter,
    pub(crate) connections_left: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            append_seconds: histogram!("bellwether_redis_append_seconds"),
            append_records: histogram!("bellwether_redis_append_records"),
            append_bytes: counter!("bellwether_redis_append_bytes_total"),
            append_failed: counter!("bellwether_redis_append_failed_total"),
            reads: counter!("bellwether_redis_reads_total"),
            read_bytes: counter!("bellwether_redis_read_bytes_total"),
            pages: counter!("bellwether_redis_tail_pages_total"),
            connects: counter!("bellwether_redis_connects_total"),
            connect_failed: counter!("bellwether_redis_connect_failed_total"),
            connections_left: counter!("bellwether_redis_connections_left_total"),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
