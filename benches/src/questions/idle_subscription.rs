//! The memory of a subscription that waits for its first event in a server.

use super::idle_memory::settled;
use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Crowd;
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "idle-subscription",
    asks: "how much user-space memory does an idle subscription hold?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

/// Subscriptions that are counted, one row for each; and those that are opened before, enough for the memory that
/// connects need while many are on their way at once.
const STREAMS: [u64; 2] = [5_000, 10_000];
const WARM_UP: usize = 1_000;

/// Bytes for each subscription, at most.
const GOAL: f64 = 512.0;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let mut bytes = Samples::new();
    let mut notes = Vec::new();
    let sizes = STREAMS.map(|streams| field.scaled(streams));
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let mut words = Vec::new();
            for (size, found) in sizes.into_iter().zip(run_once(peer, sizes, field)?) {
                bytes.add(peer.name, size, found);
                words.push(format!("{found:.0} bytes at {size}"));
            }
            Ok(words.join(", "))
        });
    }
    let (mut rows, mut bars, mut goals) = (Vec::new(), Vec::new(), Vec::new());
    for size in sizes {
        for peer in &field.peers {
            let Some(sample) = bytes.of(peer.name, size) else {
                continue;
            };
            rows.push(vec![
                peer.name.to_owned(),
                size.to_string(),
                format!("{:.0}", sample.median()),
                sample.spread(0),
            ]);
            bars.push(Bar {
                group: format!("{size} subscriptions"),
                name: peer.name,
                value: sample.median(),
            });
            if peer.name == "bellwether" {
                let what = format!("bytes per idle subscription, {size} of them");
                goals.push(Goal::at_most(what, GOAL, sample.median()));
            }
        }
    }
    Ok(Answer {
        method: format!(
            "Readers send a browser's request to a topic, receive the response head and wait. Memory is the \
             growth of the server's PSS (`/proc/PID/smaps_rollup`) per subscription, after {WARM_UP} that \
             stay open; each run has a fresh server. Buffers in the kernel are not in it.",
        ),
        heads: vec![
            "server",
            "subscriptions",
            "bytes / subscription",
            "lowest to highest",
        ],
        rows,
        goals,
        unit: "bytes of user-space memory per idle subscription (less is better)",
        bars,
        notes,
    })
}

/// One fresh server: the bytes that each subscription adds, at both sizes.
fn run_once(peer: &Peer, sizes: [u64; 2], field: &Field<'_>) -> Result<Vec<f64>> {
    let time = field.longest_run();
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, PAYLOAD_BYTES)?;
    crowd.subscribe(WARM_UP, time)?;
    let before = settled(&server, time)?;
    let mut found = Vec::new();
    let mut open = 0;
    for size in sizes {
        crowd.subscribe((size - open) as usize, time)?;
        open = size;
        let after = settled(&server, time)?;
        found.push(after.saturating_sub(before) as f64 / size as f64);
    }
    Ok(found)
}
