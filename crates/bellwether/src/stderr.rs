//! Warnings and errors on standard error, for programs that have no `tracing` subscriber.
//!
//! A failed stream, a broker that is away, a generator that holds its thread: a program without a subscriber would
//! never show them. So [`Application::run`](crate::Application::run) installs this one, unless there is another. It
//! shows each line once, since what goes wrong for one client mostly goes wrong for many.
//!
//! Events of a target that ends in `::health` say that something the program depends on has failed or works again: a
//! broker, a disk, room for connections. Their code sees to it that each change is said once, so they are all shown.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines that are remembered so that they are shown once. Beyond them nothing is shown.
const MAX_LINES: usize = 200;

/// Shows warnings and errors on standard error from now on, if the program has no subscriber.
pub(crate) fn show_warnings() {
    if !tracing::dispatcher::has_been_set() {
        // Lost only to a program that has just set its own.
        let _ = tracing::subscriber::set_global_default(Stderr::default());
    }
}

/// The subscriber.
#[derive(Debug, Default)]
struct Stderr {
    /// Guards the lines that were shown; held while one is looked up.
    shown: Mutex<BTreeSet<String>>,
}

impl Stderr {
    /// The line, if it is to be shown.
    fn first(&self, line: String) -> Option<String> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= MAX_LINES || shown.contains(&line) {
            return None;
        }
        shown.insert(line.clone());
        Some(line)
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Others' warnings are their own business; the crates of this family share a prefix.
        metadata.is_event()
            && metadata.target().starts_with("bellwether")
            && (*metadata.level() <= Level::WARN || is_of_health(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Spans are not enabled, so it is never read.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let line = line(event);
        let shown = match is_of_health(event.metadata()) {
            true => Some(line),
            false => self.first(line),
        };
        if let Some(line) = shown {
            // A closed standard error is no reason to stop serving.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Whether it says that something the program depends on has failed or works again.
fn is_of_health(metadata: &Metadata<'_>) -> bool {
    metadata.target().ends_with("::health")
}

/// `warning: stream failed (path=/feed, error=disk full)`.
fn line(event: &Event<'_>) -> String {
    let mut parts = EventFields::default();
    event.record(&mut parts);
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warning",
        _ => "note",
    };
    let EventFields { message, fields } = parts;
    match fields.is_empty() {
        true => format!("{level}: {message}"),
        false => format!("{level}: {message} ({fields})"),
    }
}

/// What an event says.
#[derive(Default)]
struct EventFields {
    message: String,
    fields: String,
}

impl EventFields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            name if self.fields.is_empty() => write!(self.fields, "{name}={value}"),
            name => write!(self.fields, ", {name}={value}"),
        };
    }
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_once_and_the_number_of_lines_is_bounded() {
        let stderr = Stderr::default();
        assert!(stderr.first("a".to_owned()).is_some());
        assert!(stderr.first("a".to_owned()).is_none());
        for number in 0..MAX_LINES {
            stderr.first(number.to_string());
        }
        assert!(stderr.first("one more".to_owned()).is_none());
    }
}
