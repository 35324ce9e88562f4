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
//! The crate's README says what to set on the server, what is promised then, how a log is stored, and which metrics there
//! are. The types of the client crate stay inside.
//!
//! Two Lua scripts are the heart (`scripts/`): one appends, one reads, and each looks first at whether the log still is the
//! one that it was. Around them: `append` and `reply` turn records into calls and answers into pages, `link` holds
//! connections and the bound in time, `tail` follows the log, `check` judges a server at connect.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod broker;
mod builder;
mod check;
mod damage;
mod error;
mod keys;
mod link;
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
