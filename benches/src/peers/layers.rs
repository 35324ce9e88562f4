//! Peers with one topic and layers around everything, as applications in production have them.

use std::io;

use tower_http::cors::CorsLayer;
use tower_http::trace::{HttpMakeClassifier, TraceLayer};

use super::fan_out::{axum, bellwether, limit};
use super::{Family, Peer, ready};

/// A further peer is an entry here.
pub(crate) static FAMILY: Family = Family {
    name: "layers",
    peers: &[
        Peer {
            name: "bellwether-layers",
            about: "a `Topic`, `subscribe()` as the answer of a handler, with tower-http's `TraceLayer` and `CorsLayer` by `Application::layer`",
            prepare: ready,
            serve: serve_bellwether,
        },
        Peer {
            name: "axum-layers",
            about: "axum 0.8 `Sse` over `tokio::sync::broadcast`, `keep_alive`, with the same layers by `Router::layer`",
            prepare: ready,
            serve: serve_axum,
        },
        Peer {
            name: "bellwether",
            about: "the application without the layers",
            prepare: ready,
            serve: bellwether::serve,
        },
        Peer {
            name: "axum",
            about: "the router without the layers",
            prepare: ready,
            serve: axum::serve,
        },
        Peer {
            name: "limit",
            about: "an epoll loop that makes one buffer per event and one `send` of it per reader; nothing else",
            prepare: ready,
            serve: limit::serve,
        },
    ],
};

/// The traces have no subscriber, so the layer alone is measured.
fn trace() -> TraceLayer<HttpMakeClassifier> {
    TraceLayer::new_for_http()
}

fn serve_bellwether() -> io::Result<()> {
    let application = bellwether::application()?
        .layer(trace())
        .layer(CorsLayer::permissive());
    bellwether::run(application)
}

fn serve_axum() -> io::Result<()> {
    axum::run(axum::router().layer(trace()).layer(CorsLayer::permissive()))
}
