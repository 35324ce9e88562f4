//! A log in a Redis or Valkey stream, behind the [`Broker`](bellwether_topics::broker::Broker) contract.
//!
//! ```no_run
//! use bellwether_redis::RedisBroker;
//! use bellwether_topics::Topics;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let topics = Topics::with(RedisBroker::connect("redis://127.0.0.1:6379").await?).await?;
//! assert!(topics.is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! The crate's README has what to set on the server, what the broker then promises, how it stores a log, and its
//! metrics. The types of the client crate are not part of this API.
//!
//! Three Lua scripts do the work on the server (`scripts/`): one appends, one reads pages, one reads the newest records
//! of topics. Each first checks whether the log is still the same one. Around them: `append` and `reply` turn records
//! into calls and replies into pages, `link` holds the connections and the timeout, `tail` follows the log, `check`
//! checks a server at connect.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod broker;
mod builder;
mod check;
mod damage;
mod error;
mod failure;
mod keys;
mod link;
mod log;
mod observe;
mod reply;
mod scripts;
mod seen;
mod tail;

pub use crate::broker::RedisBroker;
pub use crate::builder::RedisBuilder;
pub use crate::error::ConnectError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
