//! The client against a server that says exactly what it is told to, over pipes in memory and with tokio's clock
//! stopped: what came out, what each request carried, how long it waited, how it ended.

#![allow(clippy::unwrap_used)]

mod support;

mod browser;
mod cases;
mod compressed;
mod connection;
mod control;
mod one_shot;
mod reconnecting;
mod redirects;
mod requests;
mod retrying;
#[cfg(all(feature = "tls", feature = "http2"))]
mod sockets;
mod standard;
mod typed;
mod vectors;
// The loader of the vectors is the wire crate's.
#[allow(dead_code)]
#[path = "../../../bellwether-wire/tests/it/vectors.rs"]
mod wire_vectors;
