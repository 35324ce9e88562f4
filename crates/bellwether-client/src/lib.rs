//! `EventSource` for Rust: server-sent events that reconnect, resume, and say what went wrong.
//!
//! ```no_run
//! use bellwether_client::{EventSource, Item};
//!
//! # async fn run() -> Result<(), bellwether_client::Error> {
//! let mut source = EventSource::new("https://example.com/prices")?;
//! while let Some(item) = source.next().await {
//!     match item? {
//!         Item::Message(message) => println!("{} {}", message.event, message.data),
//!         Item::Gap(gap) => println!("missed events: {}", gap.reason),
//!         Item::Waiting(waiting) => println!("back in {:?}: {:?}", waiting.delay, waiting.cause),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it keeps of the standard
//!
//! WHATWG HTML, section 9.2, whole: only 200 with `text/event-stream` opens a stream, whatever the parameters; 204 and
//! every other answer end it; a network error, a clean end and a torn one are followed by a reconnect after the
//! stream's `retry:`; the last event id lives across connections and goes out as `Last-Event-ID` in UTF-8.
//!
//! # What it does beyond browsers
//!
//! | | default | why |
//! |---|---|---|
//! | [`Retry`] | waits `retry:` (3 s if unset) and up to a tenth more; after failures a random backoff up to 30 s on top, until an event has arrived | browsers never back off nor jitter, so a restarted server meets all its clients in one millisecond |
//! | statuses that are tried again | none, as in browsers; [`Retry::unavailable`] names 429 and the passing 5xx | a 500 is often a bug that more requests do not mend |
//! | [`connect_timeout`](EventSourceBuilder::connect_timeout) | 30 s until the head is there | a server that accepts and says nothing would block a client without end |
//! | [`idle_timeout`](EventSourceBuilder::idle_timeout) | 5 min without a byte, then reconnect | proxies cut silent streams after 1 to 5 min anyway, and the peer may have vanished |
//! | [`max_redirects`](EventSourceBuilder::max_redirects) | 20, credentials to the same origin only | the number of the Fetch standard |
//! | [`limits`](EventSourceBuilder::limits) | 4 MiB for a line and for an event | a server cannot fill the client's memory |
//! | [`accept_encodings`](EventSourceBuilder::accept_encodings) | none asked for, all that are compiled in read | several proxies hold compressed streams back |
//! | gaps | `bellwether.gap` is an [`Item::Gap`] | lost history is always reported |
//! | ends | an event `bellwether.finished`, `bellwether.error` or `bellwether.stopping` says whether the stream was whole | proxies make clean ends of cuts, and cuts of clean ends |
//! | openings | `bellwether.open` is not shown; its id counts, and three of its `keep_alive_ms` of silence, at least 10 s, shorten the idle timeout | a cut before the first event loses nothing, and a dead stream is noticed sooner |
//!
//! # Answers that are one stream
//!
//! An answer that comes once, such as that of a language model, is not to be asked for again when it ends:
//! [`EventSourceBuilder::once`] sends one request, and [`read_events`] reads the body of a response that some other
//! HTTP client got.
//!
//! # Runtimes
//!
//! The default [`transport`] needs tokio. All that decides is a pure state machine without I/O and without a clock;
//! WebAssembly has no transport here, as the timers are tokio's too.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod event_source;

mod address;
mod builder;
mod gap;
mod item;
mod messages;
mod read;

mod backoff;
mod control;
// Open to the fuzz target and to simulations; no part of the API.
mod location;
#[doc(hidden)]
pub mod machine;
mod request;
mod retry_after;

mod inflate;
pub mod transport;

mod error;

#[cfg(doctest)]
mod guide;

pub use bellwether_wire::{EventId, EventName, Limits, event_id, event_name};

pub use crate::address::Address;
pub use crate::backoff::Retry;
pub use crate::builder::EventSourceBuilder;
pub use crate::error::{BoxError, Error};
pub use crate::event_source::EventSource;
pub use crate::gap::{Gap, GapReason};
pub use crate::inflate::Encoding;
pub use crate::item::{Item, Message, Opened, State, Waiting};
pub use crate::messages::Messages;
pub use crate::read::{Events, read_event_bytes, read_events};
pub use crate::transport::{HyperTransport, Transport};
