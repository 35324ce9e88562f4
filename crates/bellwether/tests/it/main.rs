//! The integration tests of `bellwether`, one binary.

#![allow(clippy::unwrap_used)]

mod attributes;
mod handlers;
mod leaving;
mod pages;
mod process;
mod programs;
mod stopping;
mod streams;
mod support;
mod ui;
