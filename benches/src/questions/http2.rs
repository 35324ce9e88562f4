//! What one event costs for each reader by HTTP/2.

use super::costs::{Costs, Ratio};
use super::{PAYLOAD_BYTES, Question};
use crate::Result;
use crate::field::Field;
use crate::load::http2::Streams;
use crate::peers::{Peer, http2};
use crate::report::Answer;
use crate::server::{Cpu, Server};

pub(super) const QUESTION: Question = Question {
    name: "http2",
    asks: "how much server CPU does one event cost for each reader that it reaches by HTTP/2?",
    family: &http2::FAMILY,
    needs_all_cores: false,
    measure,
};

const CONNECTIONS: u64 = 100;
const STREAMS: u64 = 10;
const EVENTS: u64 = 400;

const CASES: [&str; 1] = ["100 connections of 10 streams, 1 in flight"];

const RATIOS: [Ratio; 1] = [Ratio {
    head: "/ axum",
    peer: "axum",
}];

fn measure(field: &Field<'_>) -> Result<Answer> {
    let costs = Costs::measure(field, &CASES, |peer, _| run_once(peer, field));
    let method = format!(
        "{CONNECTIONS} connections with {STREAMS} streams each, by the crate h2 without negotiation, with a \
         browser's windows. A publisher on a connection of its own sends events with {PAYLOAD_BYTES} bytes of data \
         by `POST /publish`; the next one goes when the last reader has the previous one. Every reader checks every \
         number. CPU is user and system time of the server process, publishing included, over all deliveries, \
         after a warm-up; each run has a fresh server.",
    );
    Ok(costs.answer(field, &CASES, &RATIOS, method))
}

/// One fresh server, its readers, a warm-up and the events.
fn run_once(peer: &Peer, field: &Field<'_>) -> Result<(u64, Cpu)> {
    let time = field.longest_run();
    let server = Server::start(&http2::FAMILY, peer, field.pins)?;
    let mut streams = Streams::open(server.address, CONNECTIONS, STREAMS, PAYLOAD_BYTES, time)?;
    let events = field.scaled(EVENTS);
    streams.publish(events.div_ceil(10), time)?;
    let start = server.mark()?;
    let deliveries = streams.publish(events, time)?;
    Ok((deliveries, server.cpu_since(start)?))
}
