//! Peers with one topic that speak HTTP/2 to clients that begin with it.

use super::fan_out::{axum, bellwether};
use super::{Family, Peer, ready};

/// A further peer is an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "http2",
    peers: &[
        Peer {
            name: "bellwether",
            about: "a `Topic`, `subscribe()` as the answer of a handler, every setting the default",
            prepare: ready,
            serve: bellwether::serve,
        },
        Peer {
            name: "axum",
            about: "axum 0.8 `Sse` over `tokio::sync::broadcast`, an `Event` per reader, `keep_alive`, by `axum::serve` with the feature `http2`",
            prepare: ready,
            serve: axum::serve,
        },
    ],
};
