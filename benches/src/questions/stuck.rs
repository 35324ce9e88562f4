//! Whether readers that never read delay the others or fill the server's memory.

use super::Question;
use super::beside::{Beside, HEADS, UNIT};
use super::idle_memory::settled;
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Goal};
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

/// Growth below this counts as none.
const SMALL_KIB: f64 = 1024.0;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let mut beside = Beside::new(GOOD, STUCK, 3);
    let mut notes = Vec::new();
    for round in field.rounds() {
        for stuck in STUCK {
            field.each_run(&format!("{stuck} stuck"), &mut notes, round, |peer| {
                let (p99, kib) = run_once(peer, stuck as usize, field)?;
                Ok(beside.add(peer, stuck, p99, kib))
            });
        }
    }
    let (rows, bars) = beside.table(&field.peers, |_, _| None);
    let mut goals = Vec::from_iter(beside.goal());
    if let Some(more) = beside.more_kib() {
        let what = "KiB that the memory grew more with stuck readers, bellwether".to_owned();
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
        heads: HEADS.to_vec(),
        rows,
        goals,
        unit: UNIT,
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
