//! The servers that are measured, each run as a process of its own.
//!
//! There are six families, each with its own routes on a loopback port. The peers in
//! [`generator`] serve `/generator?events=N`, which sends N small JSON events as fast as it can
//! and ends, and `/idle`, which sends one event and then stays open. The peers in [`fan_out`]
//! serve `/events`, a subscription to their one topic, and `POST /publish`, whose body is the data
//! of one event for all subscribers; those in [`brokers`] do the same with a broker behind them, those in
//! [`layers`] with layers around everything, those in [`tls`] behind TLS, and those in [`http2`] are read by HTTP/2. All
//! run on one thread, so that a ratio compares the same service.

mod application;
pub(crate) mod brokers;
pub(crate) mod fan_out;
pub(crate) mod generator;
pub(crate) mod http2;
pub(crate) mod layers;
pub(crate) mod tls;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::options::Options;

/// A server that can be measured.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The name on the command line and in tables.
    pub(crate) name: &'static str,
    /// What it is, with the calls that are used.
    pub(crate) about: &'static str,
    /// Whether it can be measured here; else the reason why it cannot.
    pub(crate) prepare: fn(&Options) -> Result<(), String>,
    /// Serves until the process ends.
    pub(crate) serve: fn() -> io::Result<()>,
}

/// Peers with the same routes.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// In the order of the tables.
    pub(crate) peers: &'static [Peer],
}

impl Family {
    pub(crate) fn find(&self, peer: &str) -> Option<&'static Peer> {
        self.peers.iter().find(|other| other.name == peer)
    }
}

pub(crate) static FAMILIES: &[&Family] = &[
    &generator::FAMILY,
    &fan_out::FAMILY,
    &layers::FAMILY,
    &tls::FAMILY,
    &http2::FAMILY,
    &brokers::FAMILY,
];

/// For a peer that is part of this program.
#[expect(clippy::unnecessary_wraps, reason = "others can be missing")]
fn ready(_: &Options) -> Result<(), String> {
    Ok(())
}

/// The silence after which a peer sends a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The runtime of a peer that brings none of its own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Prints the address of this peer for the bench.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// Prints the address of this peer for the bench, and ends the process when the bench has ended.
fn announce(address: SocketAddr) -> io::Result<()> {
    announce(address)?;
    let watch = || {
        // The bench holds the other end and sends nothing; an end means that the bench has ended.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(0);
    };
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(watch)
        .map(drop)
}
