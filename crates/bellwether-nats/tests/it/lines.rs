//! The log lines of all tests of this binary. Each test searches for lines that only it can have caused.

use std::fmt::{self, Write};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Guards the lines so far; held for one push or one search.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Starts to collect, once.
pub(crate) fn collect() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| tracing::subscriber::set_global_default(Collect).unwrap());
}

/// The lines with all of these texts.
pub(crate) fn with(texts: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    let has_all = |line: &&String| texts.iter().all(|text| line.contains(text));
    lines.iter().filter(has_all).cloned().collect()
}
