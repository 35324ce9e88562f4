//! [`Costs`]: the CPU of the server for each delivered event, as several questions measure and report it.

use super::PAYLOAD_BYTES;
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::load::stream::Trust;
use crate::peers::{Family, Peer};
use crate::report::{Answer, Bar, Samples};
use crate::server::{Cpu, Server};

/// Rows of the table, one for each peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) readers: usize,
    pub(super) publishers: usize,
    pub(super) pace: Pace,
    pub(super) events: u64,
}

/// A column: each peer's figure over that of this one, in the same case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio {
    pub(super) head: &'static str,
    pub(super) peer: &'static str,
}

/// What all of these tables count.
const UNIT: &str = "CPU µs per delivered event (less is better)";

/// Microseconds of CPU per delivered event, for each peer in each case.
#[derive(Debug)]
pub(super) struct Costs {
    micros: Samples,
    kernel: Samples,
    notes: Vec<String>,
}

impl Costs {
    /// Runs every peer in every case once per round; `run` returns the deliveries and the CPU.
    pub(super) fn measure(
        field: &Field<'_>,
        cases: &[&'static str],
        run: impl Fn(&'static Peer, usize) -> Result<(u64, Cpu)>,
    ) -> Self {
        let mut costs = Self {
            micros: Samples::new(),
            kernel: Samples::new(),
            notes: Vec::new(),
        };
        for round in field.rounds() {
            for (place, name) in cases.iter().enumerate() {
                field.each_run(name, &mut costs.notes, round, |peer| {
                    let (deliveries, cpu) = run(peer, place)?;
                    let micros = cpu.total.as_secs_f64() * 1e6 / deliveries as f64;
                    costs.micros.add(peer.name, place as u64, micros);
                    if let Some(share) = cpu.kernel_share {
                        costs.kernel.add(peer.name, place as u64, share);
                    }
                    Ok(format!("{micros:.2} µs"))
                });
            }
        }
        costs
    }

    /// The table and the plot, with a column for each ratio.
    pub(super) fn answer(
        self,
        field: &Field<'_>,
        cases: &[&'static str],
        ratios: &[Ratio],
        method: String,
    ) -> Answer {
        let mut heads = vec![
            "server",
            "load",
            "CPU µs / delivered event",
            "lowest to highest",
            "in the kernel",
        ];
        heads.extend(ratios.iter().map(|ratio| ratio.head));
        let (mut rows, mut bars) = (Vec::new(), Vec::new());
        for (name, size) in cases.iter().zip(0..) {
            for peer in &field.peers {
                let Some(micros) = self.micros.of(peer.name, size) else {
                    continue;
                };
                let kernel = self.kernel.of(peer.name, size).map_or_else(
                    || "unknown".to_owned(),
                    |share| format!("{:.0} %", share.median() * 100.0),
                );
                let mut row = vec![
                    peer.name.to_owned(),
                    (*name).to_owned(),
                    format!("{:.2}", micros.median()),
                    micros.spread(2),
                    kernel,
                ];
                row.extend(ratio_cells(&self.micros, peer.name, size, ratios));
                rows.push(row);
                bars.push(Bar {
                    group: (*name).to_owned(),
                    name: peer.name,
                    value: micros.median(),
                });
            }
        }
        Answer {
            method,
            heads,
            rows,
            goals: Vec::new(),
            unit: UNIT,
            bars,
            notes: self.notes,
        }
    }
}

/// The columns of ratios; empty if the other peer was not measured.
pub(super) fn ratio_cells(
    samples: &Samples,
    peer: &'static str,
    size: u64,
    ratios: &[Ratio],
) -> Vec<String> {
    let cell = |ratio: &Ratio| {
        let found = samples.ratio((peer, size), (ratio.peer, size));
        found.map_or_else(String::new, |found| format!("{found:.2}"))
    };
    ratios.iter().map(cell).collect()
}

/// The names of cases, for the table.
pub(super) fn names<const N: usize>(cases: &[Case; N]) -> [&'static str; N] {
    cases.map(|case| case.name)
}

/// One fresh server, its readers, a warm-up and the events of a case: deliveries and CPU.
pub(super) fn deliver(
    family: &Family,
    peer: &Peer,
    case: Case,
    trust: Option<Trust>,
    field: &Field<'_>,
) -> Result<(u64, Cpu)> {
    let time = field.longest_run();
    let server = Server::start(family, peer, field.pins)?;
    let mut crowd = Crowd::with(server.address, PAYLOAD_BYTES, case.publishers, trust)?;
    crowd.subscribe(case.readers, time)?;
    let events = field.scaled(case.events);
    crowd.publish(case.pace, events.div_ceil(10), time)?;
    let start = server.mark()?;
    let delivered = crowd.publish(case.pace, events, time)?;
    Ok((delivered.deliveries, server.cpu_since(start)?))
}
