//! The promises of the wire crate, tested through its public door: bytes in, events out, and back.

#![allow(clippy::unwrap_used)]

mod decoding;
mod encoding;
mod json;
mod properties;
mod standard;
mod vectors;
