//! The body of an event stream: the stream as HTTP polls it, until the delivery engine takes it away.
//!
//! What is sent when is decided by the [`stream`](super::stream). When the client leaves, hyper drops the body: that is
//! where the generator gets its moment, or is dropped too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::Bytes;
use http_body::Frame;

use super::failure::log_failure;
use super::options::StreamOptions;
use super::source::Source;
use super::stream::EventStream;
use super::takeover::{self, Offer};
use crate::lifecycle::{Presence, StreamGuard, StreamPath, Streams};

/// The body of one event stream.
pub(crate) struct EventBody {
    /// None once the delivery engine has the stream.
    stream: Option<Box<EventStream>>,
    state: BodyState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// Only there to be polled once; see [`takeover`].
    Measuring,
    Unpolled,
    Polled,
}

impl EventBody {
    pub(crate) fn new(
        source: Pin<Box<dyn Source>>,
        options: StreamOptions,
        guard: StreamGuard,
        presence: Arc<Presence>,
    ) -> Self {
        Self {
            stream: Some(Box::new(EventStream::new(source, options, guard, presence))),
            state: BodyState::Unpolled,
        }
    }

    /// A body without a stream that says how far it is from the call that polls it.
    pub(super) fn measuring() -> Self {
        Self {
            stream: None,
            state: BodyState::Measuring,
        }
    }

    /// Polls the source until it has given something, at most for the head's wait.
    ///
    /// # Errors
    ///
    /// The source failed before its first event: the response can still have a real status.
    pub(crate) async fn prime(&mut self) -> Result<(), BoxError> {
        match &mut self.stream {
            Some(stream) => stream.prime().await,
            None => Ok(()),
        }
    }

    /// Logs the error with its causes, once.
    pub(super) fn log_failure(&self, error: &BoxError) {
        if let Some(stream) = &self.stream {
            log_failure(stream.guard(), error);
        }
    }

    /// A stream that the engine did not get after all; its first bytes are out.
    pub(crate) fn resumed(offer: Offer) -> Self {
        Streams::note_path(StreamPath::Body);
        Self {
            stream: Some(Box::new(EventStream::resumed(offer))),
            state: BodyState::Polled,
        }
    }

    /// Gives the stream to the delivery engine if the server's call allows it and nothing is in between. What is left
    /// to send is the stream's first bytes.
    #[inline(never)]
    fn give_up(&mut self, distance: Option<usize>) -> Vec<u8> {
        if self.state == BodyState::Measuring {
            takeover::note_distance(distance);
            return Vec::new();
        }
        self.state = BodyState::Polled;
        let Some(mut stream) = self.stream.take() else {
            return Vec::new();
        };
        let is_bare = distance.is_some_and(takeover::is_bare);
        match stream.take_subscription(is_bare) {
            Some(subscription) => {
                let (offer, primed) = stream.into_offer(subscription);
                takeover::offer(offer);
                primed
            }
            None => {
                Streams::note_path(StreamPath::Body);
                self.stream = Some(stream);
                Vec::new()
            }
        }
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.state != BodyState::Polled {
            let primed = this.give_up(takeover::distance());
            if !primed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(primed.into()))));
            }
        }
        match &mut this.stream {
            Some(stream) => stream.poll_frame(cx),
            // The engine's; this body is dropped before long.
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_some_and(|s| s.is_over())
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.retire();
        }
    }
}
