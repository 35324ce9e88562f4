//! The tests of this crate from outside, as one program.

#![allow(clippy::unwrap_used)]
#![allow(
    clippy::print_stdout,
    reason = "randomised runs print their seed and their figures"
)]

mod catching_up;
mod checker;
mod contract;
mod counted;
mod crowd;
mod cursors;
mod grants;
mod metrics;
mod nodes;
mod policies;
mod publish;
mod shared;
mod silence;
mod stress;
mod watch;
