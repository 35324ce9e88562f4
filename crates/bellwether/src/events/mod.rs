//! From what a handler returns to bytes on the wire: items, sources, bodies, responses.
//!
//! An [`IntoEvent`] is what a stream may yield. A source polls such a stream and encodes what is
//! ready into one buffer. The stream around a source adds keep-alives, the orderly end on stop, the
//! error told in band, and closes the stream's account; a body is what HTTP sees of it. An exchange looks at the request: may
//! this client have events, has it been told that the stream is finished, does the first item
//! fail. Nothing here knows of `Application` or the server, so all of it works in any axum app.

mod accept;
mod alarm;
mod body;
mod completion;
mod exchange;
mod failure;
mod item;
mod last_words;
mod leaving;
mod options;
mod response;
mod retry;
mod sender;
mod source;
mod stream;
mod subscription;
mod takeover;

pub(crate) use completion::Completion;
pub(crate) use exchange::{Exchange, answer, set_event_stream_headers};
pub(crate) use failure::{log_failure, panic_error};
pub use item::{EventBuffer, IntoEvent};
pub(crate) use last_words::READING;
pub(crate) use options::StreamOptions;
pub use options::{OnStop, StreamDefaults};
pub use response::ServerEventsResponse;
pub use sender::{EventSender, events_from};
pub(crate) use subscription::{SubscriptionEnd, end_of, write_gap};
pub(crate) use takeover::{Offer, poll as poll_for_takeover, resumed_body};
