//! What one event costs a server for each reader that it reaches.

use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Delivered, Pace};
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::{Cpu, Server};

pub(super) const QUESTION: Question = Question {
    name: "fan-out",
    asks: "how much server CPU does one event cost for each reader that it reaches?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

/// One row for each peer.
#[derive(Debug, Clone, Copy)]
struct Case {
    readers: usize,
    /// Events in flight at most.
    window: usize,
    events: u64,
}

const CASES: [Case; 4] = [
    Case {
        readers: 100,
        window: 1,
        events: 4_000,
    },
    Case {
        readers: 1_000,
        window: 1,
        events: 400,
    },
    Case {
        readers: 10_000,
        window: 1,
        events: 40,
    },
    Case {
        readers: 1_000,
        window: 16,
        events: 1_600,
    },
];

/// The size of a sample: the index of its case in the list.
const THOUSAND: u64 = 1;
const TEN_THOUSAND: u64 = 2;
const THOUSAND_16: u64 = 3;

impl Case {
    fn name(self) -> String {
        format!("{} readers, {} in flight", self.readers, self.window)
    }
}

/// Per delivered event, unless it says otherwise.
#[derive(Debug)]
struct Found {
    micros: Samples,
    kernel: Samples,
    /// Milliseconds from publish to receive.
    median: Samples,
    p99: Samples,
}

fn measure(field: &Field<'_>) -> Result<Answer> {
    let mut found = Found {
        micros: Samples::new(),
        kernel: Samples::new(),
        median: Samples::new(),
        p99: Samples::new(),
    };
    let mut notes = Vec::new();
    for round in field.rounds() {
        for (case, size) in CASES.into_iter().zip(0..) {
            field.each_run(&case.name(), &mut notes, round, |peer| {
                let (delivered, cpu) = run_once(peer, case, field)?;
                let micros = cpu.total.as_secs_f64() * 1e6 / delivered.deliveries as f64;
                let (median, p99) = (
                    delivered.latencies.percentile(0.5),
                    delivered.latencies.percentile(0.99),
                );
                found.micros.add(peer.name, size, micros);
                found.median.add(peer.name, size, median);
                found.p99.add(peer.name, size, p99);
                if let Some(share) = cpu.kernel_share {
                    found.kernel.add(peer.name, size, share);
                }
                Ok(format!(
                    "{micros:.2} µs, latency {median:.2} ms, p99 {p99:.2} ms"
                ))
            });
        }
    }
    Ok(Answer {
        method: format!(
            "A client publishes events with {PAYLOAD_BYTES} bytes of data by `POST /publish`; the next one \
             goes when the last reader has the previous one, or with a window while fewer than that number are in \
             flight, all of them pipelined on one connection. Every reader checks every number. CPU is user and system time of the server process, \
             publishing included, over all deliveries; latency is from the client's publish to each reader's \
             receive, all on one core beside the server's. Each run has a fresh server and a warm-up.",
        ),
        heads: vec![
            "server",
            "readers",
            "in flight",
            "CPU µs / delivered event",
            "lowest to highest",
            "in the kernel",
            "latency p50, ms",
            "p99, ms",
        ],
        rows: rows(field, &found),
        goals: goals(&found.micros),
        unit: "CPU µs per delivered event (less is better)",
        bars: bars(field, &found.micros),
        notes,
    })
}

/// One fresh server, its readers, a warm-up and the events.
fn run_once(peer: &Peer, case: Case, field: &Field<'_>) -> Result<(Delivered, Cpu)> {
    let time = field.longest_run();
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, PAYLOAD_BYTES)?;
    crowd.subscribe(case.readers, time)?;
    let events = field.scaled(case.events);
    let pace = Pace::Window(case.window);
    crowd.publish(pace, events.div_ceil(10), time)?;
    let start = server.mark()?;
    let delivered = crowd.publish(pace, events, time)?;
    Ok((delivered, server.cpu_since(start)?))
}

fn rows(field: &Field<'_>, found: &Found) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (case, size) in CASES.into_iter().zip(0..) {
        for peer in &field.peers {
            let Some(micros) = found.micros.of(peer.name, size) else {
                continue;
            };
            let kernel = found.kernel.of(peer.name, size).map_or_else(
                || "unknown".to_owned(),
                |share| format!("{:.0} %", share.median() * 100.0),
            );
            let millis = |samples: &Samples| {
                let sample = samples.of(peer.name, size);
                sample.map_or_else(String::new, |sample| format!("{:.2}", sample.median()))
            };
            rows.push(vec![
                peer.name.to_owned(),
                case.readers.to_string(),
                case.window.to_string(),
                format!("{:.2}", micros.median()),
                micros.spread(2),
                kernel,
                millis(&found.median),
                millis(&found.p99),
            ]);
        }
    }
    rows
}

fn goals(micros: &Samples) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (size, readers) in [(THOUSAND, "1,000"), (TEN_THOUSAND, "10,000")] {
        for (peer, bound) in [("limit", 1.10), ("axum", 0.65)] {
            if let Some(ratio) = micros.ratio(("bellwether", size), (peer, size)) {
                let what =
                    format!("CPU per delivered event, {readers} readers, bellwether / {peer}");
                goals.push(Goal::at_most(what, bound, ratio));
            }
        }
    }
    if let Some(ratio) = micros.ratio(("bellwether", THOUSAND_16), ("limit", THOUSAND)) {
        let what = "CPU per delivered event, 1,000 readers, bellwether with 16 in flight / limit \
                    with one";
        goals.push(Goal::at_most(what.to_owned(), 0.35, ratio));
    }
    goals
}

fn bars(field: &Field<'_>, micros: &Samples) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (case, size) in CASES.into_iter().zip(0..) {
        for peer in &field.peers {
            if let Some(sample) = micros.of(peer.name, size) {
                bars.push(Bar {
                    group: case.name(),
                    name: peer.name,
                    value: sample.median(),
                });
            }
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_name_the_cases_that_they_mean() {
        let case = |size: u64| {
            let case = CASES[size as usize];
            (case.readers, case.window)
        };
        assert_eq!(case(THOUSAND), (1_000, 1));
        assert_eq!(case(TEN_THOUSAND), (10_000, 1));
        assert_eq!(case(THOUSAND_16), (1_000, 16));
    }
}
