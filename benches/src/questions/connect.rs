//! What it costs a server to let one more reader in.

use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Crowd;
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "connect",
    asks: "how much server CPU does a connect with a browser's request and the response head cost?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

const CONNECTS: u64 = 5_000;
const WARM_UP: usize = 200;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let connects = field.scaled(CONNECTS);
    let mut micros = Samples::new();
    let mut notes = Vec::new();
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let found = run_once(peer, connects, field)?;
            micros.add(peer.name, connects, found);
            Ok(format!("{found:.1} µs"))
        });
    }
    let rows = field.peers.iter().filter_map(|peer| {
        let sample = micros.of(peer.name, connects)?;
        Some(vec![
            peer.name.to_owned(),
            format!("{:.1}", sample.median()),
            sample.spread(1),
        ])
    });
    let bars = field.peers.iter().filter_map(|peer| {
        Some(Bar {
            group: format!("{connects} connects"),
            name: peer.name,
            value: micros.of(peer.name, connects)?.median(),
        })
    });
    let goal = micros
        .ratio(("bellwether", connects), ("limit", connects))
        .map(|ratio| {
            Goal::at_most(
                "CPU per connect, bellwether / limit".to_owned(),
                1.15,
                ratio,
            )
        });
    Ok(Answer {
        method: format!(
            "{connects} readers connect to one topic, at most 50 at once, send a browser's request, receive \
             the response head and stay. CPU is user and system time of the server process, per reader, after \
             {WARM_UP} readers that stay; each run has a fresh server.",
        ),
        heads: vec!["server", "CPU µs / connect", "lowest to highest"],
        rows: rows.collect(),
        goals: goal.into_iter().collect(),
        unit: "CPU µs per connect with response head (less is better)",
        bars: bars.collect(),
        notes,
    })
}

/// One fresh server: CPU microseconds per connect.
fn run_once(peer: &Peer, connects: u64, field: &Field<'_>) -> Result<f64> {
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, PAYLOAD_BYTES)?;
    crowd.subscribe(WARM_UP, field.longest_run())?;
    let start = server.mark()?;
    crowd.subscribe(connects as usize, field.longest_run())?;
    let cpu = server.cpu_since(start)?;
    Ok(cpu.total.as_secs_f64() * 1e6 / connects as f64)
}
