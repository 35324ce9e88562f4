//! The memory of an open stream without events in a server.

use std::time::{Duration, Instant};

use super::Question;
use crate::Result;
use crate::field::Field;
use crate::load::readers::{Readers, browser_request};
use crate::peers::{Peer, generator};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "idle-memory",
    asks: "how much user-space memory does an idle open stream hold?",
    family: &generator::FAMILY,
    needs_all_cores: false,
    measure,
};

/// Streams that are counted, and those that are opened before.
const STREAMS: u64 = 5_000;
const WARM_UP: u64 = 200;

/// Streams that may be on their way at once; a listener's queue holds more.
const AT_ONCE: u64 = 50;

/// Memory is read when it has not changed for this long.
const SETTLED: Duration = Duration::from_millis(500);

fn measure(field: &Field<'_>) -> Result<Answer> {
    let streams = field.scaled(STREAMS);
    let mut bytes = Samples::new();
    let mut notes = Vec::new();
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let found = run_once(peer, streams, field)?;
            bytes.add(peer.name, streams, found);
            Ok(format!("{found:.0} bytes per stream"))
        });
    }
    let rows = field.peers.iter().filter_map(|peer| {
        let sample = bytes.of(peer.name, streams)?;
        Some(vec![
            peer.name.to_owned(),
            format!("{:.0}", sample.median()),
            sample.spread(0),
        ])
    });
    let bars = field.peers.iter().filter_map(|peer| {
        let value = bytes.of(peer.name, streams)?.median() / 1024.0;
        Some(Bar {
            group: format!("{streams} streams"),
            name: peer.name,
            value,
        })
    });
    let goal = bytes
        .ratio(("bellwether", streams), ("axum", streams))
        .map(|ratio| Goal::at_most("idle memory, bellwether / axum".to_owned(), 0.5, ratio));
    Ok(Answer {
        method: format!(
            "Each of {streams} readers sends a browser's request, receives one event, and then nothing for \
             now. Memory is the growth of the server's PSS (`/proc/PID/smaps_rollup`) per stream, after \
             {WARM_UP} streams that stay open; each run has a fresh server.",
        ),
        heads: vec!["server", "bytes / stream", "lowest to highest"],
        rows: rows.collect(),
        goals: goal.into_iter().collect(),
        unit: "KiB of user-space memory per idle stream",
        bars: bars.collect(),
        notes,
    })
}

/// One fresh server: the bytes that each of `streams` idle streams adds.
fn run_once(peer: &Peer, streams: u64, field: &Field<'_>) -> Result<f64> {
    let server = Server::start(&generator::FAMILY, peer, field.pins)?;
    let mut crowd = Readers::new()?;
    open(&mut crowd, &server, WARM_UP, field.longest_run())?;
    let before = settled(&server, field.longest_run())?;
    open(&mut crowd, &server, streams, field.longest_run())?;
    let after = settled(&server, field.longest_run())?;
    let faults = crowd.faults();
    if faults.any() {
        return Err(faults.to_string().into());
    }
    Ok(after.saturating_sub(before) as f64 / streams as f64)
}

/// Opens streams, a bounded number at once, and waits for the first event of each.
fn open(crowd: &mut Readers, server: &Server, streams: u64, time: Duration) -> Result<()> {
    let request = browser_request("/idle", server.address);
    for batch in (0..streams).step_by(AT_ONCE as usize) {
        for _ in batch..streams.min(batch + AT_ONCE) {
            crowd.connect(server.address, &request)?;
        }
        if !crowd.read_until(|checker| checker.next() == 1, time)? {
            return Err("no first event in time".into());
        }
    }
    Ok(())
}

/// The server's memory once it stays the same, or once the time is over.
pub(super) fn settled(server: &Server, time: Duration) -> Result<u64> {
    let end = Instant::now() + time;
    let mut last = server.memory()?;
    loop {
        std::thread::sleep(SETTLED);
        let now = server.memory()?;
        if now == last || Instant::now() > end {
            return Ok(now);
        }
        last = now;
    }
}
