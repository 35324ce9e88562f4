//! Whether a thousand readers that never read delay a hundred good ones, fill the memory, and are evicted in time.

use std::time::{Duration, Instant};

use super::Question;
use super::beside::{Beside, HEADS, UNIT};
use crate::Result;
use crate::field::Field;
use crate::load::crowd::{Crowd, Pace};
use crate::peers::{Peer, fan_out};
use crate::report::{Answer, Goal, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "stuck-crowd",
    asks: "do a thousand readers that never read change anything for a hundred others, at 5 MB/s?",
    family: &fan_out::FAMILY,
    needs_all_cores: false,
    measure,
};

const GOOD: usize = 100;
/// Without and with readers that never read; also the sizes of the samples.
const STUCK: [u64; 2] = [0, 1_000];
const EVENT_BYTES: usize = 16 * 1024;
const BYTES_PER_SECOND: u64 = 5_000_000;
/// How long events are published. Less than [`DEADLINE`], so that the memory is measured while the stuck readers are
/// there.
const SECONDS: u64 = 15;
/// Bellwether's default for a socket that takes nothing, and the time until this program notices.
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(5);

fn measure(field: &Field<'_>) -> Result<Answer> {
    let sizes = [STUCK[0], field.scaled(STUCK[1])];
    let (mut beside, mut gone) = (Beside::new(GOOD, sizes, 2), Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        for stuck in sizes {
            field.each_run(&format!("{stuck} stuck"), &mut notes, round, |peer| {
                let found = run_once(peer, stuck, field)?;
                let mut words = beside.add(peer, stuck, found.p99, found.kib);
                if let Some(seconds) = found.evicted {
                    gone.add(peer.name, stuck, seconds);
                    words += &format!(", evicted after {seconds:.1} s");
                }
                Ok(words)
            });
        }
    }
    let (rows, bars) = beside.table(&field.peers, |peer, stuck| {
        let evicted = gone.of(peer, stuck);
        Some(evicted.map_or("–".to_owned(), |gone| format!("{:.1}", gone.median())))
    });
    let with = sizes[1];
    let mut goals = Vec::from_iter(beside.goal());
    if let Some(more) = beside.more_kib() {
        let what = "KiB of the process for each stuck reader, bellwether".to_owned();
        goals.push(Goal::at_most(what, 64.0, more.max(0.0) / with as f64));
    }
    if let Some(gone) = gone.of("bellwether", with) {
        let what = "seconds until the last stuck reader is evicted, bellwether".to_owned();
        let bound = (DEADLINE + MAX_WAIT).as_secs_f64();
        goals.push(Goal::at_most(what, bound, gone.highest()));
    }
    Ok(Answer {
        method: format!(
            "Events of {EVENT_BYTES} bytes are published at {} MB/s for {SECONDS} s to {GOOD} readers, without and with \
             {with} more that read the head of their answer and then never again. Latency is from the client's \
             publish to each good reader's receive; every good reader checks every number. Memory is the growth of \
             the server's PSS over that time, which includes the history that a server keeps. Then events go on \
             slowly until the server has closed every stuck reader's socket, counted from the first event; \
             Bellwether's deadline for a socket that takes nothing is {} s, the others are not waited for. Each \
             run has a fresh server.",
            BYTES_PER_SECOND / 1_000_000,
            DEADLINE.as_secs(),
        ),
        heads: [&HEADS[..], &["all evicted after, s"]].concat(),
        rows,
        goals,
        unit: UNIT,
        bars,
        notes,
    })
}

/// The figures of one run.
struct Found {
    /// The good readers' p99 in milliseconds.
    p99: f64,
    /// The growth of the server's memory.
    kib: f64,
    /// Seconds until every stuck reader's socket was closed, where that was waited for.
    evicted: Option<f64>,
}

fn run_once(peer: &Peer, stuck: u64, field: &Field<'_>) -> Result<Found> {
    let time = field.longest_run();
    let server = Server::start(&fan_out::FAMILY, peer, field.pins)?;
    let mut crowd = Crowd::new(server.address, EVENT_BYTES)?;
    crowd.subscribe(GOOD, time)?;
    let files = server.open_files()?;
    crowd.subscribe_stuck(stuck as usize)?;
    let before = server.memory()?;
    let interval = Duration::from_secs(1) * EVENT_BYTES as u32 / BYTES_PER_SECOND as u32;
    let events = field.scaled(SECONDS) * BYTES_PER_SECOND / EVENT_BYTES as u64;
    let begin = Instant::now();
    let delivered = crowd.publish(Pace::Every(interval), events, time)?;
    let kib = server.memory()?.saturating_sub(before) as f64 / 1024.0;
    let mut evicted = None;
    if stuck > 0 && peer.name.starts_with("bellwether") {
        while server.open_files()? > files {
            if begin.elapsed() > DEADLINE + MAX_WAIT {
                return Err("stuck readers were not evicted in time".into());
            }
            crowd.publish(Pace::Every(Duration::from_millis(100)), 2, time)?;
        }
        evicted = Some(begin.elapsed().as_secs_f64());
    }
    Ok(Found {
        p99: delivered.latencies.percentile(0.99),
        kib,
        evicted,
    })
}
