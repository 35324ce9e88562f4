//! The testkit against real sockets, real processes and a real browser.
#![allow(clippy::unwrap_used)]

mod browser;
mod client;
mod daemon;
mod program;
