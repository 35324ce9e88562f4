//! Peers with one topic, to which a client publishes and others subscribe.

pub(super) mod axum;
pub(super) mod bellwether;
mod blacksheep;
mod hyper;
pub(super) mod limit;
mod nchan;

use std::io;
use std::path::PathBuf;

use super::{Family, KEEP_ALIVE, Peer, announce, print_address, ready, runtime};

/// Events that a peer's channel holds for readers that are behind.
const BACKLOG: usize = 1024;

/// A further peer is a file and an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "fan-out",
    peers: &[
        Peer {
            name: "bellwether",
            about: "a `Topic`, `subscribe()` as the answer of a handler, every setting the default",
            prepare: ready,
            serve: bellwether::serve,
        },
        Peer {
            name: "bellwether-body",
            about: "the same with the delivery engine switched off",
            prepare: ready,
            serve: bellwether::serve_body,
        },
        Peer {
            name: "axum",
            about: "axum 0.8 `Sse` over `tokio::sync::broadcast`, an `Event` per reader, `keep_alive`, by `axum::serve`",
            prepare: ready,
            serve: axum::serve,
        },
        Peer {
            name: "hyper",
            about: "hyper 1 with a body of shared, encoded bytes from `tokio::sync::broadcast`; no keep-alive",
            prepare: ready,
            serve: hyper::serve,
        },
        Peer {
            name: "limit",
            about: "an epoll loop that makes one buffer per event and one `send` of it per reader; nothing else",
            prepare: ready,
            serve: limit::serve,
        },
        Peer {
            name: "nchan",
            about: "nginx with nchan as the system installs it, `nchan_subscriber eventsource`, one process",
            prepare: nchan::prepare,
            serve: nchan::serve,
        },
        Peer {
            name: "blacksheep",
            about: "BlackSheep 2 on uvicorn with uvloop and httptools, a queue per reader (with `--with-python`)",
            prepare: blacksheep::prepare,
            serve: blacksheep::serve,
        },
    ],
};

/// Where a program that is not ours keeps its files: in the build's folder, beside this program.
pub(super) fn build_folder(name: &str) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join(name))
}
