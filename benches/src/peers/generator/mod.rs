//! Peers whose handlers generate events. All but the limit send keep-alives after 15 s of silence, whether that
//! is their default or not, unless their name says otherwise.

mod actix;
mod axum;
mod bellwether;
mod limit;

use serde::{Deserialize, Serialize};

use super::{Family, KEEP_ALIVE, Peer, announce, ready, runtime};

/// A further peer is a file and an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "generator",
    peers: &[
        Peer {
            name: "bellwether",
            about: "`#[get]` on a generator that yields `Json(value)`",
            prepare: ready,
            serve: bellwether::serve_json,
        },
        Peer {
            name: "bellwether-event",
            about: "the same, yielding `ServerSentEvent::json(value)`",
            prepare: ready,
            serve: bellwether::serve_events,
        },
        Peer {
            name: "axum",
            about: "axum 0.8 `Sse` with `Event::json_data` and `keep_alive`, by `axum::serve`",
            prepare: ready,
            serve: axum::serve,
        },
        Peer {
            name: "axum-silent",
            about: "axum 0.8 without the keep-alive, which is its default",
            prepare: ready,
            serve: axum::serve_silent,
        },
        Peer {
            name: "actix",
            about: "actix-web-lab 0.29 `Sse::from_infallible_stream` with `Data::new_json` and `with_keep_alive`, one worker",
            prepare: ready,
            serve: actix::serve,
        },
        Peer {
            name: "limit",
            about: "an epoll loop that writes events into a buffer of 60,000 bytes and gives it to the kernel by one `send`; nothing else",
            prepare: ready,
            serve: limit::serve,
        },
    ],
};

/// What every event carries; `load::events` knows its bytes.
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
