//! What a log on NATS promises, on a real server: the broker contract, and the traps of JetStream.

#![allow(clippy::unwrap_used)]

mod contract;
mod world;
