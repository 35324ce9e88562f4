//! The field of one question: the peers that take part, and where and how they run.

use std::time::Duration;

use crate::options::Options;
use crate::peers::Peer;
use crate::questions::Question;
use crate::server::Pins;

/// What a question needs to measure.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) options: &'a Options,
    pub(crate) pins: Pins,
    /// Those that were asked for and can be measured here, in the order of the tables.
    pub(crate) peers: Vec<&'static Peer>,
    /// The others that were asked for, with the reason.
    pub(crate) absent: Vec<String>,
}

impl<'a> Field<'a> {
    pub(crate) fn gather(question: &Question, options: &'a Options, pins: Pins) -> Self {
        let pins = match pins {
            Pins::Apart if question.needs_all_cores => Pins::Shared,
            pins => pins,
        };
        let mut field = Self {
            options,
            pins,
            peers: Vec::new(),
            absent: Vec::new(),
        };
        for peer in question.family.peers {
            if !options.wants(peer.name) {
                continue;
            }
            match (peer.prepare)(options) {
                Ok(()) => field.peers.push(peer),
                Err(reason) => field
                    .absent
                    .push(format!("`{}` is not measured: {reason}", peer.name)),
            }
        }
        field
    }

    /// Runs every peer once per round. A run that cannot be measured becomes a note.
    pub(crate) fn each_run(
        &self,
        what: &str,
        notes: &mut Vec<String>,
        round: usize,
        mut run: impl FnMut(&'static Peer) -> crate::Result<String>,
    ) {
        for peer in &self.peers {
            let name = match what {
                "" => format!("round {round}, {}", peer.name),
                what => format!("round {round}, {what}, {}", peer.name),
            };
            match run(peer) {
                Ok(found) => eprintln!("  {name}: {found}"),
                Err(error) => {
                    eprintln!("  {name}: VOID: {error}");
                    notes.push(format!("void: {name}: {error}"));
                }
            }
        }
    }

    pub(crate) fn rounds(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.options.rounds
    }

    pub(crate) fn longest_run(&self) -> Duration {
        self.options.longest_run
    }

    /// A load, or a tenth of it in a smoke run.
    pub(crate) fn scaled(&self, load: u64) -> u64 {
        if self.options.is_quick {
            (load / 10).max(1)
        } else {
            load
        }
    }
}
