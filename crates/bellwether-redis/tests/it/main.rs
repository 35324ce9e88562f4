//! The broker on a real server: the contract, and what goes wrong with servers.

#![allow(clippy::unwrap_used)]

mod contract;
mod damage;
mod epochs;
mod history;
mod outages;
mod proxy;
mod quiet;
mod records;
mod servers;
mod support;
mod trimming;
