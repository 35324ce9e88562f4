//! The integration tests of `bellwether`, one binary.

#![allow(clippy::unwrap_used)]

mod attributes;
mod handlers;
mod pages;
mod programs;
mod streams;
mod ui;
