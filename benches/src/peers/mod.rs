//! The servers that are measured, each run as a process of its own.
//!
//! A peer serves two routes on a loopback port of the system's choice: `/generator?events=N` sends
//! N small JSON events as fast as it can and ends, `/idle` sends one event and then stays open.
//! All peers send keep-alives after 15 s of silence, whether that is their default or not, and run
//! on one thread, so that a ratio compares the same service.

mod actix;
mod axum;
mod bellwether;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A server that can be measured.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The name on the command line and in tables.
    pub(crate) name: &'static str,
    /// What it is, with the calls that are used.
    pub(crate) about: &'static str,
    /// Serves until the process ends.
    pub(crate) serve: fn() -> io::Result<()>,
}

/// Every peer, in the order of the tables. A further one is a file and a line here.
pub(crate) static PEERS: &[Peer] = &[
    Peer {
        name: "bellwether",
        about: "`#[get]` on a generator that yields `Json(value)`",
        serve: bellwether::serve_json,
    },
    Peer {
        name: "bellwether-event",
        about: "the same, yielding `ServerSentEvent::json(value)`",
        serve: bellwether::serve_events,
    },
    Peer {
        name: "axum",
        about: "axum 0.8 `Sse` with `Event::json_data` and `keep_alive`, by `axum::serve`",
        serve: axum::serve,
    },
    Peer {
        name: "axum-silent",
        about: "axum 0.8 without the keep-alive, which is its default",
        serve: axum::serve_silent,
    },
    Peer {
        name: "actix",
        about: "actix-web-lab 0.29 `Sse::from_infallible_stream` with `Data::new_json` and `with_keep_alive`, one worker",
        serve: actix::serve,
    },
];

/// The peer of this name.
pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}

/// The silence after which a peer sends a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What every event carries; `events::Checker` knows its bytes.
#[derive(Debug, Serialize)]
struct Message {
    i: u64,
    msg: &'static str,
}

impl Message {
    fn new(i: u64) -> Self {
        Self { i, msg: "hello" }
    }
}

/// The query of `/generator`.
#[derive(Debug, Deserialize)]
struct Asked {
    events: u64,
}

/// The runtime of a peer that brings none of its own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Tells the bench where this peer listens, and ends the process when the bench is gone.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()?;
    let watch = || {
        // The bench holds the other end: nothing ever comes, and an end means that it is gone.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(0);
    };
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(watch)
        .map(drop)
}
