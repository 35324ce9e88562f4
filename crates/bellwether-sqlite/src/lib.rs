//! The embedded durable broker: a log in one SQLite file.
//!
//! ```
//! use bellwether_sqlite::SqliteBroker;
//! use bellwether_topics::{ServerSentEvent, Topics};
//!
//! # let path = std::env::temp_dir().join(format!("bellwether-sqlite-{}.db", std::process::id()));
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let topics = Topics::with(SqliteBroker::open(&path)?).await?;
//! let news = topics.topic("news")?;
//! let id = news.publish(&ServerSentEvent::text("hello"))?.await?.id();
//! news.publish(&ServerSentEvent::text("again"))?.await?;
//! topics.close().await?;
//!
//! // In the next process, a reader that has seen the first event gets the second.
//! let topics = Topics::with(SqliteBroker::open(&path)?).await?;
//! let mut reader = topics.topic("news")?.subscribe().after(id.as_str()).open()?;
//! let frame = reader.next().await.unwrap().into_frame().unwrap();
//! assert!(frame.bytes().starts_with(b"data: again\n"));
//! # topics.close().await?;
//! # for end in ["", "-wal", "-shm", "-lock"] {
//! #     let mut name = path.clone().into_os_string();
//! #     name.push(end);
//! #     let _ = std::fs::remove_file(name);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What it promises
//!
//! A publish returns, and a reader sees the event, only after it is on stable storage. An offset is never given out
//! twice in one epoch. On a full or failing disk publishes fail, readers go on, and no restart is needed afterwards.
//! The file opens with the `sqlite3` program.
//!
//! # How it works
//!
//! One thread writes. What queues while a commit runs is the next transaction, so all publishers of one moment share
//! one wait for the disk. Readers have connections of their own, each reading one bounded page from one snapshot.
//! Retention removes the oldest records a few hundred at a time between the commits. [`schema`] has the schema and its
//! version.
//!
//! Pure: `retention`, `record`. SQL: `schema`, `store` and `keys` (what is written), `rows` and `read`, `verify`, and
//! for a damaged file `check` and `repair`. Around them `writer` (the thread), `pool` (the readers' connections),
//! `state` (what both share), `broker` and `tail` (the contract).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod broker;
mod builder;
mod check;
mod error;
mod failure;
mod keys;
mod lock;
mod observe;
mod pool;
mod read;
mod record;
mod repair;
mod retention;
mod rows;
pub mod schema;
mod state;
mod store;
mod tail;
mod topics;
mod verify;
mod writer;

pub use crate::broker::SqliteBroker;
pub use crate::builder::SqliteBuilder;
pub use crate::check::{Problem, Progress, Report, check};
pub use crate::error::OpenError;
pub use crate::repair::{Repaired, repair};

/// Compiles the program of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
