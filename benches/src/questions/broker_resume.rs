//! What it costs a broker when the readers of many quiet topics come back to a node that was just started.

use super::Question;
use crate::Result;
use crate::field::Field;
use crate::load::ask::ask;
use crate::peers::{Peer, brokers};
use crate::report::{Answer, Bar, Goal, Sample, Samples};
use crate::server::Server;

pub(super) const QUESTION: Question = Question {
    name: "broker-resume",
    asks: "how long does a broker take to have the readers of many quiet topics back after a restart?",
    family: &brokers::LASTING,
    needs_all_cores: true,
    measure,
};

/// Readers, each of a topic of its own.
const READERS: [u64; 3] = [1, 100, 10_000];
/// Events of a topic that none of them reads, all newer than theirs.
const EVENTS: u64 = 100_000;

/// The most readers against the next fewer of them, which are a hundredth.
const MOST_TIMES_AS_LONG: f64 = 40.0;
/// Milliseconds.
const LONGEST: f64 = 10_000.0;
/// A publish beside all those readers against one in quiet.
const MOST_P99_RATIO: f64 = 3.0;

/// The words of a server's answer.
const CAUGHT_UP: usize = 0;
const DELIVERED: usize = 1;
const READS: usize = 2;
const QUIET_P99: usize = 3;
const P99: usize = 4;
const COUNT: usize = 5;
const GAPS: usize = 6;
const WORDS: usize = 7;

fn measure(field: &Field<'_>) -> Result<Answer> {
    let mut found: [Samples; WORDS] = std::array::from_fn(|_| Samples::new());
    let mut notes = Vec::new();
    for round in field.rounds() {
        for readers in READERS {
            let what = format!("{readers} readers");
            field.each_run(&what, &mut notes, round, |peer| {
                let figures = run_once(peer, readers, field)?;
                for (samples, figure) in found.iter_mut().zip(&figures) {
                    samples.add(peer.name, readers, *figure);
                }
                Ok(format!(
                    "back after {:.1} ms, {:.0} calls, a publish {:.2} ms, in quiet {:.2} ms, {:.0} counted",
                    figures[CAUGHT_UP], figures[READS], figures[P99], figures[QUIET_P99], figures[COUNT],
                ))
            });
        }
    }
    let median = |word: usize, peer: &'static str, readers: u64| {
        found[word].of(peer, readers).map(Sample::median)
    };
    let (mut rows, mut bars, mut goals) = (Vec::new(), Vec::new(), Vec::new());
    for readers in READERS {
        for peer in &field.peers {
            let Some(caught_up) = median(CAUGHT_UP, peer.name, readers) else {
                continue;
            };
            let word = |word| median(word, peer.name, readers).unwrap_or(f64::NAN);
            let one = median(CAUGHT_UP, peer.name, 1).unwrap_or(f64::NAN);
            rows.push(vec![
                peer.name.to_owned(),
                readers.to_string(),
                format!("{caught_up:.1}"),
                format!("{:.1}", caught_up / one),
                format!("{:.0}", word(READS)),
                format!("{:.1}", word(DELIVERED)),
                format!("{:.2}", word(QUIET_P99)),
                format!("{:.2}", word(P99)),
                match peer.name {
                    "redis" => format!("{:.0} slow commands", word(COUNT)),
                    "nats" => format!("{:.0} consumers", word(COUNT)),
                    _ => "–".to_owned(),
                },
            ]);
            bars.push(Bar {
                group: format!("{readers} readers"),
                name: peer.name,
                value: caught_up,
            });
        }
    }
    let [_, fewer, most] = READERS;
    for peer in &field.peers {
        let name = peer.name;
        let (Some(of_most), Some(of_fewer)) = (
            median(CAUGHT_UP, name, most),
            median(CAUGHT_UP, name, fewer),
        ) else {
            continue;
        };
        let what = format!("{name}: time of {most} readers over that of {fewer}");
        goals.push(Goal::at_most(what, MOST_TIMES_AS_LONG, of_most / of_fewer));
        let what = format!("{name}: time of {most} readers, ms");
        goals.push(Goal::at_most(what, LONGEST, of_most));
        if let (Some(p99), Some(quiet)) = (median(P99, name, most), median(QUIET_P99, name, most)) {
            let what = format!("{name}: p99 of a publish beside {most} readers over that in quiet");
            goals.push(Goal::at_most(what, MOST_P99_RATIO, p99 / quiet));
        }
        let counted = match name {
            "redis" => "commands over 1 ms",
            "nats" => "consumers of readers",
            _ => continue,
        };
        if let Some(count) = median(COUNT, name, most) {
            goals.push(Goal::at_most(
                format!("{name}: {counted}, {most} readers"),
                0.0,
                count,
            ));
        }
    }
    Ok(Answer {
        method: format!(
            "Each reader has a quiet topic of its own with one event, which it has seen; after all of these come {} events \
             with 300 bytes of data to another topic. Then a second node, which has nothing in memory, gets all the readers \
             at once, each with its id. They are back when the broker has answered the last of them. A publisher of that \
             node publishes to the loud topic meanwhile, one event after the other; its p99 is compared with that of two \
             seconds before. Then each quiet topic gets an event, and every reader has to get it, without a gap. Slow \
             commands are those of which Redis's SLOWLOG has more than 1 ms; consumers are the most that NATS had more \
             than before. A log in memory does not outlive its node, so there is none here.",
            field.scaled(EVENTS),
        ),
        heads: vec![
            "broker",
            "readers",
            "all back, ms",
            "times one reader's",
            "calls of the broker",
            "then an event to each, ms",
            "publish p99 in quiet, ms",
            "publish p99 meanwhile, ms",
            "the server counted",
        ],
        rows,
        goals,
        unit: "milliseconds until all are back (less is better)",
        bars,
        notes,
    })
}

/// One run with a fresh server.
fn run_once(peer: &Peer, readers: u64, field: &Field<'_>) -> Result<Vec<f64>> {
    let server = Server::start(&brokers::FAMILY, peer, field.pins)?;
    let path = format!("/crowd?readers={readers}&events={}", field.scaled(EVENTS));
    let answer = ask(server.address, &path, field.longest_run())?;
    let figures: Vec<f64> = answer
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    if figures.len() != WORDS {
        return Err(format!("the server answered {answer:?}").into());
    }
    match figures[GAPS] {
        0.0 => Ok(figures),
        gaps => Err(format!("{gaps} readers got a gap, and nothing was lost").into()),
    }
}
