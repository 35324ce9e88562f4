//! What a log on NATS promises, on a real server: the broker contract, and the traps of JetStream.

#![allow(clippy::unwrap_used)]
#![allow(
    clippy::print_stdout,
    reason = "counts of a fault test are for whoever reads its output"
)]

mod connect;
mod consumers;
mod contract;
mod damage;
mod histories;
mod lines;
mod outages;
mod readme;
mod records;
mod wire;
mod world;
