//! The integration tests of `bellwether`, one binary.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod attributes;
mod defaults;
mod handlers;
mod leaving;
mod links;
mod pages;
mod process;
mod programs;
mod serving;
mod stopping;
mod streams;
mod support;
mod ui;
