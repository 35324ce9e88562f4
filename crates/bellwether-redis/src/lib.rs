#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod broker;
mod builder;
mod check;
mod error;
mod keys;
mod link;
mod observe;
mod reply;
mod scripts;
mod tail;

pub use crate::broker::RedisBroker;
pub use crate::builder::RedisBuilder;
pub use crate::error::ConnectError;
