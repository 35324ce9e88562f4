//! How fast a reader that was away gets its history from a broker, and what that takes of the node's memory.

use super::Question;
use super::idle_memory::settled;
use crate::Result;
use crate::field::Field;
use crate::load::ask::ask;
use crate::load::replay::replay;
use crate::peers::{Peer, brokers};
use crate::report::{Answer, Bar, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "broker-replay",
    asks: "how fast does a reader get 100,000 old events, and what does that take of the memory?",
    family: &brokers::FAMILY,
    needs_all_cores: true,
    measure,
};

const EVENTS: u64 = 100_000;
const EVENT_BYTES: usize = 300;

/// The one size of the samples.
const ALL: u64 = 0;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let (mut speed, mut growth) = (Samples::new(), Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let (megabytes, kib) = run_once(peer, field)?;
            speed.add(peer.name, ALL, megabytes);
            growth.add(peer.name, ALL, kib);
            Ok(format!(
                "{megabytes:.0} MB/s, memory at most {kib:.0} KiB more"
            ))
        });
    }
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in &field.peers {
        if let (Some(speed), Some(growth)) = (speed.of(peer.name, ALL), growth.of(peer.name, ALL)) {
            rows.push(vec![
                peer.name.to_owned(),
                format!("{:.0}", speed.median()),
                speed.spread(0),
                format!("{:.0}", growth.median()),
            ]);
            bars.push(Bar {
                group: format!("{EVENTS} events of {EVENT_BYTES} bytes"),
                name: peer.name,
                value: speed.median(),
            });
        }
    }
    Ok(Answer {
        method: format!(
            "One reader asks a node that has nothing in memory for everything from the log's first event on: {} events \
             with {EVENT_BYTES} bytes of data, every number checked. MB are bytes of the stream. Memory is the largest \
             PSS of the server process during the replay, read ten times a second, less that before it; Redis and NATS \
             have theirs elsewhere. With the log in memory nothing is read from anywhere.",
            field.scaled(EVENTS),
        ),
        heads: vec![
            "broker",
            "MB / s",
            "lowest to highest",
            "memory growth during it, KiB",
        ],
        rows,
        goals: Vec::new(),
        unit: "MB per second (more is better)",
        bars,
        notes,
    })
}

/// One fresh server: megabytes per second, and the most KiB that its memory grew by.
fn run_once(peer: &Peer, field: &Field<'_>) -> Result<(f64, f64)> {
    let (time, events) = (field.longest_run(), field.scaled(EVENTS));
    let server = Server::start(&brokers::FAMILY, peer, field.pins)?;
    ask(
        server.address,
        &format!("/fill?events={events}&size={EVENT_BYTES}"),
        time,
    )?;
    // One replay before, since a node keeps the memory that its first replay needs.
    replay(server.address, events, EVENT_BYTES, time, || Ok(()))?;
    let before = settled(&server, time)?;
    let mut most = before;
    let replayed = replay(server.address, events, EVENT_BYTES, time, || {
        most = most.max(server.memory()?);
        Ok(())
    })?;
    let megabytes = replayed.bytes as f64 / 1e6 / replayed.time.as_secs_f64();
    Ok((megabytes, (most - before) as f64 / 1024.0))
}
