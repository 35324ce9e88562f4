//! How long an event takes to reach ten thousand readers of a quiet topic.

use std::time::Duration;

use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::load::latencies::Latencies;
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "latency",
    asks: "how long does an event take to reach 10,000 readers?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

const READERS: u64 = 10_000;
const EVENTS: u64 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// What is reported of each run, and the size of its samples.
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("last", 1.0)];
const MEDIAN: u64 = 0;
const P99: u64 = 1;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let readers = field.scaled(READERS);
    let mut millis = Samples::new();
    let mut notes = Vec::new();
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let latencies = run_once(peer, readers, field)?;
            let mut words = Vec::new();
            for ((name, share), size) in SHARES.into_iter().zip(0..) {
                let found = latencies.percentile(share);
                millis.add(peer.name, size, found);
                words.push(format!("{name} {found:.1} ms"));
            }
            Ok(words.join(", "))
        });
    }
    let mut rows = Vec::new();
    let mut bars = Vec::new();
    for peer in &field.peers {
        let mut row = vec![peer.name.to_owned()];
        for (_, size) in SHARES.into_iter().zip(0..) {
            if let Some(sample) = millis.of(peer.name, size) {
                row.push(format!("{:.1}", sample.median()));
            }
        }
        if let Some(sample) = millis.of(peer.name, P99) {
            row.push(sample.spread(1));
            bars.push(Bar {
                group: format!("p99, {readers} readers"),
                name: peer.name,
                value: sample.median(),
            });
            rows.push(row);
        }
    }
    let goal = millis
        .ratio(("bellwether", P99), ("limit", P99))
        .map(|ratio| Goal::at_most("p99, bellwether / limit".to_owned(), 1.2, ratio));
    let half = millis
        .ratio(("bellwether", MEDIAN), ("limit", MEDIAN))
        .map(|ratio| format!("p50, bellwether / limit: {ratio:.2}"));
    notes.extend(half);
    Ok(Answer {
        method: format!(
            "A client publishes {EVENTS} events of {PAYLOAD_BYTES} bytes, one a second, to {readers} readers; \
             each reader checks every number. Latency is from the client's publish to each reader's receive, \
             over all of both. The client reads on one core what the server writes on the other, so the \
             last of them waits for both.",
        ),
        heads: vec![
            "server",
            "p50, ms",
            "p99, ms",
            "last, ms",
            "p99, lowest to highest",
        ],
        rows,
        goals: goal.into_iter().collect(),
        unit: "ms from publish to receive (less is better)",
        bars,
        notes,
    })
}

/// One fresh server: the time from publish to receive, for every event and reader.
fn run_once(peer: &Peer, readers: u64, field: &Field<'_>) -> Result<Latencies> {
    let time = field.longest_run();
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, PAYLOAD_BYTES)?;
    crowd.subscribe(readers as usize, time)?;
    crowd.publish(Pace::Window(1), 2, time)?;
    let delivered = crowd.publish(Pace::Every(INTERVAL), EVENTS, time)?;
    Ok(delivered.latencies)
}
