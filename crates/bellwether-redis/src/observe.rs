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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::Metrics;

    #[derive(Default)]
    struct Names(Arc<Mutex<BTreeSet<String>>>);

    impl Names {
        fn note(&self, key: &Key) {
            self.0.lock().unwrap().insert(key.name().to_owned());
        }
    }

    impl Recorder for Names {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }

    #[test]
    fn the_readme_lists_each_metric() {
        let names = Names::default();
        let made = names.0.clone();
        metrics::with_local_recorder(&names, Metrics::new);
        let rows = include_str!("../README.md").lines();
        let listed: BTreeSet<_> = rows
            .filter_map(|row| Some(row.strip_prefix("| `bellwether_redis_")?.split_once('`')?.0))
            .map(|name| format!("bellwether_redis_{name}"))
            .collect();
        assert_eq!(*made.lock().unwrap(), listed);
    }
}
