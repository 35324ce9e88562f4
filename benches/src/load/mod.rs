//! The load: clients that check every byte they receive, all on one thread.
//!
//! [`readers`] waits for streams that a handler generates, [`crowd`] publishes to the readers of a
//! topic and notes when each of them has each event, over a plain or an encrypted [`stream`];
//! [`http2`] does the same for the streams of HTTP/2. [`ask`] and [`replay`]
//! are clients of servers on a broker. [`framing`] takes HTTP off a response;
//! [`events`] and [`numbered`] hold what is left to the numbers that must come.

pub(crate) mod ask;
pub(crate) mod crowd;
pub(crate) mod events;
mod framing;
pub(crate) mod http2;
pub(crate) mod latencies;
pub(crate) mod numbered;
mod publisher;
pub(crate) mod readers;
pub(crate) mod replay;
pub(crate) mod stream;

use std::fmt;

/// What was wrong with a stream; a run with any of it is void.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Numbers that were left out.
    pub(crate) gaps: u64,
    /// Numbers that came again.
    pub(crate) duplicates: u64,
    /// Blocks that are no event of ours.
    pub(crate) foreign: u64,
}

impl Faults {
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.foreign += other.foreign;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gaps,
            duplicates,
            foreign,
        } = self;
        write!(
            f,
            "{gaps} missing, {duplicates} duplicate, {foreign} foreign events"
        )
    }
}
