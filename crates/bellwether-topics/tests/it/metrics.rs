//! The metrics of one log, as a recorder gets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bellwether_topics::{Policy, Retention, ServerSentEvent, Topics};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::shared::{publish, ready};

/// Counters and the numbers of records of histograms, by name and label values; gauges by their bits.
#[derive(Default)]
struct Book(Mutex<HashMap<String, Arc<AtomicU64>>>);

struct Records(Arc<AtomicU64>);

impl HistogramFn for Records {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Book {
    fn entry(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: String = key.labels().map(|l| format!(" {}", l.value())).collect();
        let name = format!("{}{labels}", key.name());
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    fn count(&self, name: &str) -> u64 {
        let book = self.0.lock().unwrap();
        book[&format!("bellwether_topics_{name}")].load(Ordering::Relaxed)
    }

    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.count(name))
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.entry(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Records(self.entry(key))))
    }
}

#[test]
fn subscribers_publishes_deliveries_gaps_and_what_was_dropped_are_counted() {
    let book = Book::default();
    let retention = Retention::new().max_events(2);
    let settings = Topics::builder().retention(retention);
    let topics =
        metrics::with_local_recorder(&book, || settings.policy(Policy::skip_to_latest()).build());
    let news = topics.topic("news").unwrap();
    let mut reader = news.subscribe().open().unwrap();
    let mut stranger = news.subscribe().after("garbage").open().unwrap();
    assert_eq!(book.gauge("subscribers") as u64, 2);

    publish(&news, 1);
    assert_eq!(ready(&mut reader).len(), 1);
    assert_eq!(ready(&mut stranger).len(), 2, "a gap and the event");
    assert_eq!(
        (book.count("published_total"), book.count("delivered_total")),
        (1, 2)
    );
    assert_eq!(book.count("lag_seconds"), 2);
    assert_eq!(book.count("gaps_total unknown"), 1);

    for number in 2..=6 {
        publish(&news, number);
    }
    assert_eq!(ready(&mut reader).len(), 1, "a gap");
    assert_eq!(book.count("gaps_total lag"), 1);
    assert_eq!(book.count("dropped_total lag"), 5);

    let refused = news.publish_with_key(&"k".repeat(256), &ServerSentEvent::text("x"));
    assert!(refused.unwrap_err().is_invalid());
    assert_eq!(book.count("publish_failed_total"), 1);
    drop(reader);
    drop(stranger);
    assert_eq!(book.gauge("subscribers") as u64, 0);
    assert_eq!(book.count("closed_total left"), 2);
}

#[test]
fn a_server_that_writes_for_many_notes_how_long_it_took() {
    let book = Book::default();
    let topics = metrics::with_local_recorder(&book, Topics::new);
    let news = topics.topic("news").unwrap();
    let mut reader = news.subscribe().open().unwrap();
    let mut shared = news.reader();
    publish(&news, 1);
    let mut frames = Vec::new();
    let _ = shared.read(65_536, &mut frames);
    reader.set_position(shared.position(), frames.len());
    reader.record_lag(frames[0].entered_at());
    assert_eq!(
        (book.count("delivered_total"), book.count("lag_seconds")),
        (1, 1)
    );
}
