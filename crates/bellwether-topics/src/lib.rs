//! Named sequences of events with bounded history: publish once, read by cursor, resume exactly.
//!
//! ```
//! use bellwether_topics::{ServerSentEvent, Topics};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let topics = Topics::new();
//! let news = topics.topic("news")?;
//!
//! let mut reader = news.subscribe().open()?;
//! news.publish(&ServerSentEvent::text("hello"))?.await?;
//! let frame = reader.next().await.unwrap().into_frame().unwrap();
//! assert!(frame.bytes().starts_with(b"data: hello\n"));
//!
//! // A client that comes back sends the last id it had, and gets exactly what came after it.
//! drop(reader);
//! news.publish(&ServerSentEvent::text("again"))?.await?;
//! let mut reader = news.subscribe().after(frame.id().as_str()).open()?;
//! let frame = reader.next().await.unwrap().into_frame().unwrap();
//! assert!(frame.bytes().starts_with(b"data: again\n"));
//! # Ok::<(), bellwether_topics::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What it promises
//!
//! Within one epoch of one log, a reader that resumes after an id gets exactly the later events of its topics, in
//! order, once each. If some of them are gone, the reader first gets a [`Gap`]. There is never a silent hole.
//!
//! # How it works
//!
//! All topics of a [`Topics`] share one log. An event is encoded once, with its id in it, into a [`Frame`]. A
//! [`Subscription`] is a [`Cursor`] over the log and holds no queue, so a slow reader costs what an idle one costs, and
//! delays no other reader. Its [`Policy`] decides what happens when the log moves past it. A log that outlives the
//! process, or that several processes share, lives in a [`Broker`](broker::Broker).
//!
//! From the bottom to the top: `event` is what a log holds; `log` the bounded history and each reader's position in it;
//! `broker` the contract, the broker in memory, and how a node follows a broker's log; `read` the reader's side;
//! `topic` and `topics` the publisher's. Pure and without a clock: `event`, and in `log` all but the lock around it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broker;
mod clock;
mod config;
mod error;
mod event;
#[cfg(test)]
mod interleavings;
mod lock;
mod log;
mod metrics;
mod node;
mod presence;
mod read;
mod setup_error;
mod short_list;
mod topic;
mod topics;
mod watch;

pub use bellwether_wire::ServerSentEvent;

pub use crate::broker::memory::Memory;
pub use crate::config::TopicsBuilder;
pub use crate::error::Error;
pub use crate::event::cursor::{Cursor, Epoch, MAX_CURSOR_BYTES, Offset, ParseCursorError};
pub use crate::event::delivery::Delivery;
pub use crate::event::frame::Frame;
pub use crate::event::gap::{GAP_EVENT_NAME, Gap, GapReason};
pub use crate::log::policy::{Policy, Slow};
pub use crate::log::position::{AfterGap, Position};
pub use crate::log::retention::Retention;
pub use crate::presence::{CloseReason, Subscriber};
pub use crate::read::resumption::Resumption;
pub use crate::read::subscribe::Subscribe;
pub use crate::read::subscription::{Subscription, Taken};
pub use crate::setup_error::SetupError;
pub use crate::topic::{MAX_KEY_BYTES, PublishOptions, Published, Topic, TypedTopic};
pub use crate::topics::Topics;
pub use crate::watch::{LogReader, Read, TopicId, Watch, WatchToken};
