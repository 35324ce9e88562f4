//! What one event costs a server whose handler yields as fast as it can.

use super::Question;
use crate::Result;
use crate::field::Field;
use crate::load::readers::{Readers, browser_request};
use crate::peers::{Peer, generator};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::{Cpu, Server};

pub(super) const QUESTION: Question = Question {
    name: "generator",
    asks: "how many small JSON events does a handler send per second of server CPU?",
    family: &generator::FAMILY,
    needs_all_cores: false,
    measure,
};

/// Readers at once; the events are shared out among them.
const READERS: [u64; 3] = [1, 16, 64];

/// Events of one run, and those that go before it to warm the server up.
const EVENTS: u64 = 6_000_000;
const WARM_UP: u64 = 200_000;

fn measure(field: &Field<'_>) -> Result<Answer> {
    // Millions of events per second of CPU.
    let mut rates = Samples::new();
    let mut kernel = Samples::new();
    let mut notes = Vec::new();
    for round in field.rounds() {
        for readers in READERS {
            field.each_run(&crowd(readers), &mut notes, round, |peer| {
                let (events, cpu) = run_once(peer, readers, field)?;
                let rate = events as f64 / cpu.total.as_secs_f64() / 1e6;
                rates.add(peer.name, readers, rate);
                if let Some(share) = cpu.kernel_share {
                    kernel.add(peer.name, readers, share);
                }
                Ok(format!("{rate:.2} million events per CPU second"))
            });
        }
    }
    Ok(Answer {
        method: format!(
            "A handler yields `{{\"i\":N,\"msg\":\"hello\"}}` in an endless hurry and ends after its share of {} events; \
             every reader checks every number. CPU is user and system time of the server process, from the \
             first connect to the last chunk, after a warm-up of {} events; each run has a fresh server.",
            field.scaled(EVENTS),
            field.scaled(WARM_UP),
        ),
        heads: vec![
            "server",
            "readers",
            "million events / CPU s",
            "lowest to highest",
            "ns / event",
            "in the kernel",
        ],
        rows: rows(field, &rates, &kernel),
        goals: READERS
            .iter()
            .flat_map(|readers| goals(&rates, *readers))
            .collect(),
        unit: "million events per second of server CPU",
        bars: bars(field, &rates),
        notes,
    })
}

/// One server, one number of readers: the events and the CPU that they took.
fn run_once(peer: &Peer, readers: u64, field: &Field<'_>) -> Result<(u64, Cpu)> {
    let server = Server::start(&generator::FAMILY, peer, field.pins)?;
    stream(&server, 1, field.scaled(WARM_UP), field)?;
    let start = server.mark()?;
    let events = stream(&server, readers, field.scaled(EVENTS) / readers, field)?;
    Ok((events, server.cpu_since(start)?))
}

/// Lets each of some readers receive a whole stream; the number of events that came.
fn stream(server: &Server, readers: u64, events: u64, field: &Field<'_>) -> Result<u64> {
    let mut crowd = Readers::new()?;
    let request = browser_request(&format!("/generator?events={events}"), server.address);
    for _ in 0..readers {
        crowd.connect(server.address, &request)?;
    }
    let is_whole = crowd.read_until(|checker| checker.is_ended(), field.longest_run())?;
    let faults = crowd.faults();
    let count = crowd.events();
    if faults.any() {
        return Err(faults.to_string().into());
    }
    // When the time is over the streams are not complete, but the number of events that came is still right.
    if is_whole && count != readers * events {
        return Err(format!("{count} of {} events came", readers * events).into());
    }
    Ok(count)
}

fn rows(field: &Field<'_>, rates: &Samples, kernel: &Samples) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for readers in READERS {
        for peer in &field.peers {
            let Some(rate) = rates.of(peer.name, readers) else {
                continue;
            };
            let share = kernel.of(peer.name, readers).map_or_else(
                || "unknown".to_owned(),
                |share| format!("{:.0} %", share.median() * 100.0),
            );
            rows.push(vec![
                peer.name.to_owned(),
                readers.to_string(),
                format!("{:.2}", rate.median()),
                rate.spread(2),
                format!("{:.0}", 1e3 / rate.median()),
                share,
            ]);
        }
    }
    rows
}

fn goals(rates: &Samples, readers: u64) -> Vec<Goal> {
    [("axum", 6.0), ("actix", 1.5)]
        .into_iter()
        .filter_map(|(peer, bound)| {
            let ratio = rates.ratio(("bellwether", readers), (peer, readers))?;
            let what = format!(
                "events per CPU second, {}, bellwether / {peer}",
                crowd(readers)
            );
            Some(Goal::at_least(what, bound, ratio))
        })
        .collect()
}

fn bars(field: &Field<'_>, rates: &Samples) -> Vec<Bar> {
    let mut bars = Vec::new();
    for readers in READERS {
        for peer in &field.peers {
            if let Some(rate) = rates.of(peer.name, readers) {
                let group = crowd(readers);
                bars.push(Bar {
                    group,
                    name: peer.name,
                    value: rate.median(),
                });
            }
        }
    }
    bars
}

fn crowd(readers: u64) -> String {
    if readers == 1 {
        "1 reader".to_owned()
    } else {
        format!("{readers} readers")
    }
}
