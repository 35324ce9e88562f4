//! The integration tests of `bellwether`, one binary.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod attributes;
mod defaults;
#[cfg(target_os = "linux")]
mod engine;
mod handlers;
mod leaving;
mod links;
mod logging;
mod pages;
mod process;
mod programs;
mod serving;
mod stopping;
mod streams;
mod subscription_ends;
mod subscriptions;
mod support;
#[cfg(feature = "testing")]
mod testing;
mod ui;
