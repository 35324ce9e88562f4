//! What a broker adds to a delivered event: to its cost on a node, and to its way from publisher to reader.

use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::peers::{Peer, brokers};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "broker-delivery",
    asks: "what does a broker add to the cost and the time of a delivered event?",
    family: &brokers::FAMILY,
    needs_all_cores: false,
    measure,
};

/// Readers, which are also the sizes of the samples, and events.
const CASES: [(u64, u64); 3] = [(1, 2_000), (1_000, 400), (10_000, 60)];

/// The CPU that a node may use at most, as a share of the one whose log is in memory.
const GOAL: f64 = 1.05;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let (mut micros, mut median, mut p99) = (Samples::new(), Samples::new(), Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        for (readers, events) in CASES {
            field.each_run(&format!("{readers} readers"), &mut notes, round, |peer| {
                let found = run_once(peer, readers, events, field)?;
                micros.add(peer.name, readers, found.0);
                median.add(peer.name, readers, found.1);
                p99.add(peer.name, readers, found.2);
                Ok(format!(
                    "{:.2} µs, latency {:.2} ms, p99 {:.2} ms",
                    found.0, found.1, found.2
                ))
            });
        }
    }
    let (mut rows, mut bars, mut goals) = (Vec::new(), Vec::new(), Vec::new());
    for (readers, _) in CASES {
        for peer in &field.peers {
            let (Some(micros), Some(median), Some(p99)) = (
                micros.of(peer.name, readers),
                median.of(peer.name, readers),
                p99.of(peer.name, readers),
            ) else {
                continue;
            };
            rows.push(vec![
                peer.name.to_owned(),
                readers.to_string(),
                format!("{:.2}", micros.median()),
                micros.spread(2),
                format!("{:.2}", median.median()),
                format!("{:.2}", p99.median()),
            ]);
            bars.push(Bar {
                group: format!("{readers} readers"),
                name: peer.name,
                value: median.median(),
            });
        }
        for peer in field
            .peers
            .iter()
            .filter(|peer| readers > 1 && peer.name != "memory")
        {
            if let Some(ratio) = micros.ratio((peer.name, readers), ("memory", readers)) {
                let what = format!(
                    "CPU per delivered event, {readers} readers, {} / memory",
                    peer.name
                );
                goals.push(Goal::at_most(what, GOAL, ratio));
            }
            let one_more = |name| one_more_reader(&micros, name, readers);
            if let (Some(mine), Some(memory)) = (one_more(peer.name), one_more("memory")) {
                let what = format!(
                    "the same without the publish, which one reader shows, {readers} readers, {} / memory",
                    peer.name
                );
                goals.push(Goal::at_most(what, GOAL, mine / memory));
            }
        }
    }
    Ok(Answer {
        method: format!(
            "A client publishes events with {PAYLOAD_BYTES} bytes of data by `POST /publish`, which answers when \
             the broker has them; the next one goes when the last reader has the previous one. Every reader checks \
             every number. CPU is user and system time of the server process over all deliveries; what Redis or \
             NATS use in their own processes, on the same core, is not in it. Latency is from the client's publish \
             to each reader's receive. Each run has a fresh server, a fresh log and a warm-up.",
        ),
        heads: vec![
            "broker",
            "readers",
            "CPU µs / delivered event",
            "lowest to highest",
            "latency p50, ms",
            "p99, ms",
        ],
        rows,
        goals,
        unit: "ms from publish to receive, median (less is better)",
        bars,
        notes,
    })
}

/// What an event costs for each reader beyond the first, which pays for the publish.
fn one_more_reader(micros: &Samples, peer: &'static str, readers: u64) -> Option<f64> {
    let of_event = |readers| Some(micros.of(peer, readers)?.median() * readers as f64);
    Some((of_event(readers)? - of_event(1)?) / (readers - 1) as f64)
}

/// One fresh server: microseconds of CPU per delivery, and the median and p99 in milliseconds.
fn run_once(peer: &Peer, readers: u64, events: u64, field: &Field<'_>) -> Result<(f64, f64, f64)> {
    let time = field.longest_run();
    let server = Server::start(&brokers::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, PAYLOAD_BYTES)?;
    crowd.subscribe(readers as usize, time)?;
    let events = field.scaled(events);
    crowd.publish(Pace::Window(1), events.div_ceil(10), time)?;
    let start = server.mark()?;
    let delivered = crowd.publish(Pace::Window(1), events, time)?;
    let cpu = server.cpu_since(start)?;
    Ok((
        cpu.total.as_secs_f64() * 1e6 / delivered.deliveries as f64,
        delivered.latencies.percentile(0.5),
        delivered.latencies.percentile(0.99),
    ))
}
