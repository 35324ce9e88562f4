//! The broker on NATS JetStream: a log in a stream, shared by all nodes that open it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod append;
mod broker;
mod builder;
mod error;
mod feed;
mod link;
mod name;
mod observe;
mod pages;
mod record;
mod settings;
mod shared;
mod tail;

pub use crate::broker::NatsBroker;
pub use crate::builder::NatsBuilder;
pub use crate::error::ConnectError;
