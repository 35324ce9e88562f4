//! The sending side: one body for each event stream, one writer for sockets, and three thin drivers.
//!
//! [`body`] joins a [`producer`] of events to the rules in [`stream`](crate::stream). Layers wrap it. Who polls it is
//! decided once, when the response is there: hyper (HTTP/2, HTTP/1.0, other servers) pulls it as any body; a [`task`]
//! sends one stream over one socket; a [`shard`] of the [`engine`] sends many. The two drivers of this crate write
//! through a [`chunk_writer`], which frames chunks and keeps what a socket did not take. [`stream_state`] holds what
//! a body and its driver share, [`feed`] what a shard has read for many.

mod blocking;
mod body;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only a shard uses all of it")
)]
mod chunk_writer;
mod cleanup;
#[cfg(target_os = "linux")]
mod engine;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only a shard uses all of it")
)]
mod feed;
mod head;
mod producer;
#[cfg(target_os = "linux")]
mod shard;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only a shard uses all of it")
)]
mod stream_state;
mod task;
mod timer;

pub(crate) use body::EventBody;
pub(crate) use chunk_writer::{LINGER, MAX_DISCARDED_BYTES, PollSocket};
#[cfg(target_os = "linux")]
pub(crate) use engine::{Engine, EngineConfig, ReturnedConnection};
#[cfg(target_os = "linux")]
pub(crate) use feed::Feed;
pub(crate) use head::{CachedDate, write_head};
pub(crate) use producer::{EventEncoder, EventProducer, FillReport, FillStatus};
#[cfg(all(target_os = "linux", feature = "tls"))]
pub(crate) use shard::TlsSocket;
#[cfg(target_os = "linux")]
pub(crate) use shard::{Handover, RequestInput, ShardSocket};
pub(crate) use stream_state::{MAX_AHEAD_BYTES, StreamState};
pub(crate) use task::{StreamTask, StreamTaskConfig};
