//! Whether readers that never read delay the others or fill the server's memory.

use super::Question;
use super::idle_memory::settled;
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Bar, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "stuck",
    asks: "do readers that never read change anything for the others?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

const GOOD: usize = 20;
/// Stuck readers, which are also the sizes of the samples: none, and as many as good ones.
const STUCK: [u64; 2] = [0, 20];
const EVENTS: u64 = 20_000;
const EVENT_BYTES: usize = 1024;

/// A memory below this is one that did not grow.
const SMALL_KIB: f64 = 1024.0;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let (mut millis, mut growth) = (Samples::new(), Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        for stuck in STUCK {
            field.each_run(&format!("{stuck} stuck"), &mut notes, round, |peer| {
                let (p99, kib) = run_once(peer, stuck as usize, field)?;
                millis.add(peer.name, stuck, p99);
                growth.add(peer.name, stuck, kib);
                Ok(format!("p99 {p99:.3} ms, memory grew by {kib:.0} KiB"))
            });
        }
    }
    let (mut rows, mut bars, mut goals) = (Vec::new(), Vec::new(), Vec::new());
    for peer in &field.peers {
        for stuck in STUCK {
            let (Some(p99), Some(kib)) = (millis.of(peer.name, stuck), growth.of(peer.name, stuck))
            else {
                continue;
            };
            rows.push(vec![
                peer.name.to_owned(),
                stuck.to_string(),
                format!("{:.3}", p99.median()),
                p99.spread(3),
                format!("{:.0}", kib.median()),
            ]);
            bars.push(Bar {
                group: format!("p99 of {GOOD} good readers beside {stuck} stuck ones"),
                name: peer.name,
                value: p99.median(),
            });
        }
    }
    bars.sort_by_key(|bar| bar.group.len());
    let [without, with] = STUCK;
    if let Some(ratio) = millis.ratio(("bellwether", with), ("bellwether", without)) {
        let what = "p99 of good readers, bellwether with / without stuck ones".to_owned();
        goals.push(Goal::at_most(what, 1.5, ratio));
    }
    if let (Some(with), Some(without)) = (
        growth.of("bellwether", with),
        growth.of("bellwether", without),
    ) {
        let what = "KiB that the memory grew more with stuck readers, bellwether".to_owned();
        let more = with.median() - without.median();
        goals.push(Goal::at_most(what, SMALL_KIB, more));
    }
    Ok(Answer {
        method: format!(
            "{} events of {EVENT_BYTES} bytes go to {GOOD} readers, the next one when the last of them has the \
             previous one, without and with {} more that read the head of their answer and then never again. \
             Latency is from the client's publish to each good reader's receive; every good reader checks every \
             number. Memory is the growth of the server's PSS over the run, which includes the history that a \
             server keeps; each run has a fresh server.",
            field.scaled(EVENTS),
            STUCK[1],
        ),
        heads: vec![
            "server",
            "stuck readers",
            "p99 of the good ones, ms",
            "lowest to highest",
            "memory growth, KiB",
        ],
        rows,
        goals,
        unit: "ms from publish to receive (less is better)",
        bars,
        notes,
    })
}

/// One fresh server: the good readers' p99 in milliseconds, and the growth of memory in KiB.
fn run_once(peer: &Peer, stuck: usize, field: &Field<'_>) -> Result<(f64, f64)> {
    let time = field.longest_run();
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, EVENT_BYTES)?;
    crowd.subscribe(GOOD, time)?;
    crowd.subscribe_stuck(stuck)?;
    crowd.publish(Pace::Window(1), 20, time)?;
    let before = settled(&server, time)?;
    let delivered = crowd.publish(Pace::Window(1), field.scaled(EVENTS), time)?;
    let after = settled(&server, time)?;
    let grown = after.saturating_sub(before) as f64 / 1024.0;
    Ok((delivered.latencies.percentile(0.99), grown))
}
