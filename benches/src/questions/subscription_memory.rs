//! The memory of an idle subscription in a server, as the questions about layers and TLS measure and report it.

use super::PAYLOAD_BYTES;
use super::costs::{Ratio, ratio_cells};
use super::idle_memory::settled;
use crate::Result;
use crate::field::Field;
use crate::load::crowd::Crowd;
use crate::load::stream::Trust;
use crate::peers::{Family, Peer};
use crate::report::{Answer, Bar, Samples};
use crate::server::Server;

/// Subscriptions that are counted, and those that are opened before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    pub(super) streams: u64,
    pub(super) warm_up: usize,
}

/// Measures every peer once per round, and reports what each subscription adds.
pub(super) fn answer(
    field: &Field<'_>,
    family: &Family,
    idle: Idle,
    ratios: &[Ratio],
    trust: impl Fn(&Peer) -> Result<Option<Trust>>,
) -> Answer {
    let streams = field.scaled(idle.streams);
    let mut bytes = Samples::new();
    let mut notes = Vec::new();
    for round in field.rounds() {
        field.each_run("", &mut notes, round, |peer| {
            let idle = Idle { streams, ..idle };
            let found = run_once(family, peer, idle, trust(peer)?, field)?;
            bytes.add(peer.name, streams, found);
            Ok(format!("{found:.0} bytes"))
        });
    }
    let mut heads = vec!["server", "bytes / subscription", "lowest to highest"];
    heads.extend(ratios.iter().map(|ratio| ratio.head));
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in &field.peers {
        let Some(sample) = bytes.of(peer.name, streams) else {
            continue;
        };
        let mut row = vec![
            peer.name.to_owned(),
            format!("{:.0}", sample.median()),
            sample.spread(0),
        ];
        row.extend(ratio_cells(&bytes, peer.name, streams, ratios));
        rows.push(row);
        bars.push(Bar {
            group: format!("{streams} subscriptions"),
            name: peer.name,
            value: sample.median(),
        });
    }
    Answer {
        method: format!(
            "{streams} readers send a browser's request to a topic, receive the response head and wait. \
             Memory is the growth of the server's PSS (`/proc/PID/smaps_rollup`) per subscription, after {} \
             that stay open; each run has a fresh server. Buffers in the kernel are not in it.",
            idle.warm_up
        ),
        heads,
        rows,
        goals: Vec::new(),
        unit: "bytes of user-space memory per idle subscription (less is better)",
        bars,
        notes,
    }
}

/// One fresh server: the bytes that each subscription adds.
fn run_once(
    family: &Family,
    peer: &Peer,
    idle: Idle,
    trust: Option<Trust>,
    field: &Field<'_>,
) -> Result<f64> {
    let time = field.longest_run();
    let server = Server::start(family, peer, field.pins)?;
    let mut crowd = Crowd::with(server.address, PAYLOAD_BYTES, 1, trust)?;
    crowd.subscribe(idle.warm_up, time)?;
    let before = settled(&server, time)?;
    crowd.subscribe(idle.streams as usize, time)?;
    let after = settled(&server, time)?;
    Ok(after.saturating_sub(before) as f64 / idle.streams as f64)
}
