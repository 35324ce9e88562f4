//! What a log on NATS promises, on a real server: the broker contract, and the traps of JetStream.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "fault tests print their figures")]

mod connect;
mod consumers;
mod contract;
mod damage;
mod histories;
mod outages;
mod proxy;
mod readme;
mod records;
mod support;
