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
//! // A client that comes back says which id it had last, and gets exactly what came after it.
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
//! Within one epoch of one log, a reader that resumes after an id gets exactly the later events of its topics, in order,
//! once each. Where that cannot be kept, the first thing it gets is a [`Gap`]. There is never a silent hole.
//!
//! # How it works
//!
//! All topics of a [`Topics`] share one log. An event is encoded once, with its id in it, into a [`Frame`]. A
//! [`Subscription`] is a [`Cursor`] over the log and holds no queue, so a slow reader costs what an idle one costs, and
//! delays nobody; what happens when the log moves past it says its [`Policy`]. Where the log has to outlive the process
//! or to be shared by several, it lives in a [`Broker`](broker::Broker).
//!
//! Pure and without a clock: `cursor`, `history`, `conflation`, `policy`, `window`, `waiting`. The lock is in `log`;
//! around it `topics`, `topic`, `subscription`; towards a broker `relay` and `deep`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod broker;
mod clock;
mod config;
mod conflation;
mod cursor;
mod deep;
mod delivery;
mod error;
mod few;
mod frame;
mod gap;
mod history;
mod log;
mod looks;
mod memory;
#[cfg(test)]
mod model;
mod observe;
mod pins;
mod place;
mod policy;
mod presence;
mod reader;
mod relay;
mod removed;
mod resumption;
mod retention;
mod setup_error;
mod subscribe;
mod subscription;
mod sync;
mod topic;
mod topics;
mod waiting;
mod wake;
mod window;

pub use bellwether_wire::ServerSentEvent;

pub use crate::config::TopicsBuilder;
pub use crate::cursor::{Cursor, Epoch, MAX_CURSOR_BYTES, Offset, ParseCursorError};
pub use crate::delivery::Delivery;
pub use crate::error::Error;
pub use crate::frame::Frame;
pub use crate::gap::{GAP_EVENT_NAME, Gap, GapReason};
pub use crate::memory::Memory;
pub use crate::place::{AfterGap, Place};
pub use crate::policy::{Policy, Slow};
pub use crate::presence::{CloseReason, Subscriber};
pub use crate::reader::{LogReader, Read, TopicId, Watch, WatchToken};
pub use crate::resumption::Resumption;
pub use crate::retention::Retention;
pub use crate::setup_error::SetupError;
pub use crate::subscribe::Subscribe;
pub use crate::subscription::{Subscription, Taken};
pub use crate::topic::{MAX_KEY_BYTES, PublishOptions, Published, Topic, TypedTopic};
pub use crate::topics::Topics;
