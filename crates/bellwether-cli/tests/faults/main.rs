//! Whole processes under faults: nodes of `bellwether serve` on a real broker, a publisher that writes down what was
//! acknowledged, hundreds of readers, and a checker that compares every reader's bytes with the log.
//!
//! Each test prints its figures: events compared, what was lost or doubled, how long it took to come back.

#![cfg(all(feature = "sqlite", feature = "redis", feature = "nats"))]
// The figures are for the reader of the test's output.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod check;
mod cluster;
mod daemon;
mod http;
mod journal;
mod publisher;
mod reader;
mod scene;

mod damaged;
mod disk;
mod frozen;
mod kills;
mod outage;
mod quiet;
mod restored;
mod retention;
mod rolling;
