//! Metrics of this crate: handles that are made once, when a broker is opened.
//!
//! A recorder must be installed before that; later ones see nothing. The crate's README has the table.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::failure::Reason;

pub(crate) struct Metrics {
    pub(crate) commit_seconds: Histogram,
    pub(crate) batch_records: Histogram,
    pub(crate) appended: Counter,
    pub(crate) appended_bytes: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) read_seconds: Histogram,
    pub(crate) read_records: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) trimmed: Counter,
    pub(crate) checkpoint_seconds: Histogram,
    pub(crate) wal_pages: Gauge,
    pub(crate) log_records: Gauge,
    pub(crate) log_bytes: Gauge,
    pub(crate) is_available: Gauge,
    pub(crate) reopened: Counter,
    pub(crate) new_epochs: Counter,
    failures: [Counter; Reason::ALL.len()],
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            commit_seconds: histogram!("bellwether_sqlite_commit_seconds"),
            batch_records: histogram!("bellwether_sqlite_batch_records"),
            appended: counter!("bellwether_sqlite_appended_total"),
            appended_bytes: counter!("bellwether_sqlite_appended_bytes_total"),
            duplicates: counter!("bellwether_sqlite_duplicates_total"),
            read_seconds: histogram!("bellwether_sqlite_read_seconds"),
            read_records: counter!("bellwether_sqlite_read_records_total"),
            read_bytes: counter!("bellwether_sqlite_read_bytes_total"),
            trimmed: counter!("bellwether_sqlite_trimmed_total"),
            checkpoint_seconds: histogram!("bellwether_sqlite_checkpoint_seconds"),
            wal_pages: gauge!("bellwether_sqlite_wal_pages"),
            log_records: gauge!("bellwether_sqlite_log_records"),
            log_bytes: gauge!("bellwether_sqlite_log_bytes"),
            is_available: gauge!("bellwether_sqlite_available"),
            reopened: counter!("bellwether_sqlite_reopened_total"),
            new_epochs: counter!("bellwether_sqlite_new_epochs_total"),
            failures: Reason::ALL.map(
                |reason| counter!("bellwether_sqlite_failures_total", "reason" => reason.as_str()),
            ),
        }
    }

    pub(crate) fn failure(&self, reason: Reason) {
        let all = Reason::ALL.iter().zip(&self.failures);
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
