//! [`Report`]: the result of a run, as text for people and as JSON. Pure.

use std::fmt::Write;

use hdrhistogram::Histogram;
use owo_colors::OwoColorize;
use serde::Serialize;

use super::sequence::Counts;
use crate::show::{count, micros};

/// The result of one run. The fields are those of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) url: String,
    /// Asked for.
    pub(super) streams: u64,
    /// Opened at least once.
    pub(super) opened: u64,
    /// Ended for good by the server: refused, or no more events.
    pub(super) ended: u64,
    /// Connections that failed or broke and were tried again.
    pub(super) retries: u64,
    /// Why a stream was refused or a connection failed, the first time.
    pub(super) first_failure: Option<String>,
    /// How long it took until each stream was open or had failed once.
    pub(super) connect_seconds: f64,
    pub(super) connects_per_second: f64,
    /// How long events were counted after that.
    pub(super) seconds: f64,
    pub(super) events: u64,
    pub(super) events_per_second: f64,
    /// Bytes of event streams, without what HTTP adds.
    pub(super) bytes: u64,
    pub(super) bytes_per_second: f64,
    /// `null` if no event had the time at which it was sent.
    pub(super) latency: Option<Latency>,
    /// `null` if no event had a number.
    pub(super) order: Option<Order>,
}

/// From the time in the event to its arrival, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) events: u64,
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    #[serde(rename = "p99.9_us")]
    pub(super) p99_9_us: u64,
    pub(super) max_us: u64,
}

/// What the numbers in the events tell, over the whole run.
#[derive(Debug, Serialize)]
pub(super) struct Order {
    /// `i` in the data, or `id`.
    pub(super) by: &'static str,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
}

impl Latency {
    /// `None` if nothing was recorded.
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            events: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p99_9_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        })
    }
}

impl Order {
    pub(super) fn of(by: &'static str, counts: Counts) -> Self {
        Self {
            by,
            lost: counts.lost,
            duplicated: counts.duplicated,
            reordered: counts.reordered,
        }
    }
}

impl Report {
    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut row = |name: &str, text: String| {
            // A string takes everything.
            let _ = writeln!(out, "{:<9} {text}", name.bold());
        };
        row(
            "streams",
            format!(
                "{} of {} opened in {:.2} s ({} per second), {} ended, {} retries",
                count(self.opened),
                count(self.streams),
                self.connect_seconds,
                rate(self.connects_per_second),
                count(self.ended),
                count(self.retries),
            ),
        );
        row(
            "events",
            format!(
                "{} in {:.2} s ({} per second)",
                count(self.events),
                self.seconds,
                rate(self.events_per_second),
            ),
        );
        row(
            "bytes",
            format!(
                "{} ({} per second)",
                count(self.bytes),
                rate(self.bytes_per_second),
            ),
        );
        row("latency", latency_text(self.latency.as_ref()));
        row("order", order_text(self.order.as_ref()));
        if let Some(failure) = &self.first_failure {
            row("failure", crate::show::plain(failure));
        }
        out
    }
}

fn latency_text(latency: Option<&Latency>) -> String {
    match latency {
        None => "not known: no event has a time as \"t\" or \"sent\" in its data".to_owned(),
        Some(latency) => format!(
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {} ({} events)",
            micros(latency.p50_us),
            micros(latency.p90_us),
            micros(latency.p99_us),
            micros(latency.p99_9_us),
            micros(latency.max_us),
            count(latency.events),
        ),
    }
}

fn order_text(order: Option<&Order>) -> String {
    match order {
        None => "not known: no event has a number as \"i\" in its data or in its id".to_owned(),
        Some(order) => {
            let text = format!(
                "{} lost, {} duplicated, {} reordered (by {})",
                count(order.lost),
                count(order.duplicated),
                count(order.reordered),
                order.by,
            );
            match order.lost + order.duplicated + order.reordered {
                0 => text.green().to_string(),
                _ => text.red().to_string(),
            }
        }
    }
}

/// A rate, with a digit after the point where it is small.
fn rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return format!("{per_second:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 100, and a float beyond the range is its largest value"
    )]
    count(per_second.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record(800).unwrap();
        Report {
            url: "http://a/".to_owned(),
            streams: 1000,
            opened: 999,
            ended: 1,
            retries: 0,
            first_failure: Some("no\u{1b}".to_owned()),
            connect_seconds: 0.5,
            connects_per_second: 1998.0,
            seconds: 10.0,
            events: 999_000,
            events_per_second: 99_900.0,
            bytes: 20,
            bytes_per_second: 2.0,
            latency: Latency::of(&histogram),
            order: Some(Order::of("i", Counts::default())),
        }
    }

    #[test]
    fn the_text_has_every_figure() {
        let text = report().text();
        let text = anstream::adapter::strip_str(&text).to_string();
        let expected = "\
streams   999 of 1 000 opened in 0.50 s (1 998 per second), 1 ended, 0 retries
events    999 000 in 10.00 s (99 900 per second)
bytes     20 (2.0 per second)
latency   p50 800 µs, p90 800 µs, p99 800 µs, p99.9 800 µs, max 800 µs (1 events)
order     0 lost, 0 duplicated, 0 reordered (by i)
failure   no\\u{1b}
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let mut report = report();
        report.latency = None;
        report.order = None;
        let json = serde_json::to_value(&report).unwrap();
        assert!(json["latency"].is_null() && json["order"].is_null());
        assert_eq!(json["events_per_second"], 99_900.0);
    }
}
