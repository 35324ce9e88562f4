//! The rate of events that a broker takes, each safe before its publisher goes on.

use super::Question;
use crate::Result;
use crate::field::Field;
use crate::load::ask::ask;
use crate::peers::{Peer, brokers};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "broker-publish",
    asks: "how many events a second does a broker take?",
    family: &brokers::FAMILY,
    needs_all_cores: true,
    measure,
};

/// Concurrent publishers, which are also the sizes of the samples, and the events of all of them.
const CASES: [(u64, u64); 3] = [(1, 4_000), (16, 48_000), (128, 192_000)];

/// What SQLite must reach with the most publishers: events per second, and milliseconds for half of them.
const SQLITE_GOALS: (f64, f64) = (25_000.0, 5.0);

fn measure(field: &Field<'_>) -> Result<Answer> {
    let (mut rate, mut median, mut p99) = (Samples::new(), Samples::new(), Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        for (publishers, events) in CASES {
            field.each_run(
                &format!("{publishers} publishers"),
                &mut notes,
                round,
                |peer| {
                    let found = run_once(peer, publishers, events, field)?;
                    rate.add(peer.name, publishers, found[0]);
                    median.add(peer.name, publishers, found[1]);
                    p99.add(peer.name, publishers, found[2]);
                    Ok(format!(
                        "{:.0} a second, p50 {:.2} ms, p99 {:.2} ms",
                        found[0], found[1], found[2]
                    ))
                },
            );
        }
    }
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (publishers, _) in CASES {
        for peer in &field.peers {
            let (Some(rate), Some(median), Some(p99)) = (
                rate.of(peer.name, publishers),
                median.of(peer.name, publishers),
                p99.of(peer.name, publishers),
            ) else {
                continue;
            };
            rows.push(vec![
                peer.name.to_owned(),
                publishers.to_string(),
                format!("{:.0}", rate.median()),
                rate.spread(0),
                format!("{:.2}", median.median()),
                format!("{:.2}", p99.median()),
            ]);
            if peer.name != "memory" {
                bars.push(Bar {
                    group: format!("{publishers} publishers"),
                    name: peer.name,
                    value: rate.median(),
                });
            }
        }
    }
    let most = CASES[2].0;
    let mut goals = Vec::new();
    if let (Some(rate), Some(median)) = (rate.of("sqlite", most), median.of("sqlite", most)) {
        let what = format!("events per second on SQLite, {most} publishers");
        goals.push(Goal::at_least(what, SQLITE_GOALS.0, rate.median()));
        let what = format!("p50 on SQLite, {most} publishers, ms");
        goals.push(Goal::at_most(what, SQLITE_GOALS.1, median.median()));
    }
    Ok(Answer {
        method: "Tasks of one server process publish events with 300 bytes of data to one topic, each the next one when \
                 it has the id of the previous one, which is when the broker has it as safe as it ever makes it. Server, \
                 broker and load share all cores. Each run has a fresh server and a fresh log."
            .to_owned(),
        heads: vec!["broker", "publishers", "events / s", "lowest to highest", "p50, ms", "p99, ms"],
        rows,
        goals,
        unit: "events per second, each waited for (more is better)",
        bars,
        notes,
    })
}

/// One fresh server: events per second, and the median and p99 of a publish in milliseconds.
fn run_once(peer: &Peer, publishers: u64, events: u64, field: &Field<'_>) -> Result<Vec<f64>> {
    let server = Server::start(&brokers::FAMILY, peer, field.pins)?;
    let time = field.longest_run();
    let warm_up = format!(
        "/durable?publishers={publishers}&events={}",
        10 * publishers
    );
    ask(server.address, &warm_up, time)?;
    let path = format!(
        "/durable?publishers={publishers}&events={}",
        field.scaled(events)
    );
    let answer = ask(server.address, &path, time)?;
    let figures: Vec<f64> = answer
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    match figures.len() {
        3 => Ok(figures),
        _ => Err(format!("the server answered {answer:?}").into()),
    }
}
