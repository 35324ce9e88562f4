//! A log in a NATS JetStream stream, behind the [`Broker`](bellwether_topics::broker::Broker) contract.
//!
//! ```no_run
//! use bellwether_nats::NatsBroker;
//! use bellwether_topics::Topics;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let topics = Topics::with(NatsBroker::connect("nats://127.0.0.1:4222").await?).await?;
//! assert!(topics.is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! The crate's README has what to set on the server, what the broker then promises, how it stores a log, and its
//! metrics. The types of the client crate are not part of this API.
//!
//! Pure: `settings` checks a stream, `name` and `record` turn records into messages and back, `outcome` decides what
//! may be sent again, `api` is JetStream's JSON. The `link` is the connection; `append` publishes over it in `round`s;
//! a `feed` is a consumer that notices what it misses; `pages` and `tail` read with feeds.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod append;
mod broker;
mod builder;
mod error;
mod feed;
mod link;
mod lookup;
mod message_ids;
mod name;
mod observe;
mod outcome;
mod pages;
mod record;
mod round;
mod settings;
mod shared;
mod sweep;
mod tail;

pub use crate::broker::NatsBroker;
pub use crate::builder::NatsBuilder;
pub use crate::error::ConnectError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
