//! The built command: bytes in, bytes out, exit codes.

#![allow(clippy::unwrap_used)]

mod bench;
mod decode;
mod encode;
mod exit_codes;
mod hub_log;
mod js_client;
mod listen;
#[cfg(feature = "sqlite")]
mod log_file;
mod restart;
mod round_trip;
mod send;
mod serve;
mod servers;
mod support;

// The loader of the vectors is the wire crate's.
#[allow(dead_code)]
#[path = "../../../bellwether-wire/tests/it/vectors.rs"]
mod wire_vectors;
