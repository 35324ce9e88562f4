//! The tests of this crate from outside, as one program.

#![allow(clippy::unwrap_used)]
#![allow(
    clippy::print_stdout,
    reason = "runs print their figures, and why a test was skipped"
)]

mod contract;
mod damage;
mod damage_gaps;
mod disk;
mod example;
mod folder;
mod kill;
mod open;
mod quiet;
mod readers;
mod readme;
mod records;
mod trimming;
mod versions;
