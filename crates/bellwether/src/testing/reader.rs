//! Reads the events of a body, and says how it ended.

use std::time::{Duration, Instant};

use axum::body::Body;
use bellwether_wire::{Decoder, EventId, Message};
use http_body_util::BodyExt;

/// How long a reader waits for an event, by the clock of the machine and not by tokio's, which may be paused.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The event with which a subscription tells where it begins.
const OPEN: &str = "bellwether.open";

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// As a stream ends that is done. An `EventSource` reconnects all the same, unless it was a
    /// [`finish`](crate::ServerEventsResponse::finish).
    Clean,
    /// It was cut, as a stream is that has failed.
    Cut,
    /// The test has left, as [`TestResponse::leave_after_events`](super::TestResponse::leave_after_events) said.
    Left,
    /// Ten seconds of the machine's clock have passed without an event. They are looked at with each keep-alive, so
    /// with the default interval a test in real time notices it after 15 s.
    Silent,
}

/// A body that is being read.
#[derive(Debug)]
pub(super) struct EventReader {
    /// Nothing once the stream has ended; dropping it is what the server sees of a client that leaves.
    body: Option<Body>,
    decoder: Decoder,
    /// What has come and is not decoded yet.
    input: Vec<u8>,
    /// The id of the opening event.
    pub(super) opened_at: Option<EventId>,
    pub(super) end: Option<End>,
    events_left: Option<usize>,
    bytes_left: Option<usize>,
    patience: Duration,
}

impl EventReader {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body: Some(body),
            decoder: Decoder::new(),
            input: Vec::new(),
            opened_at: None,
            end: None,
            events_left: None,
            bytes_left: None,
            patience: TEST_TIMEOUT,
        }
    }

    pub(super) fn leave_after_events(&mut self, events: usize) {
        self.events_left = Some(events);
    }

    pub(super) fn leave_after_bytes(&mut self, bytes: usize) {
        self.bytes_left = Some(bytes);
    }

    pub(super) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(super) fn into_body(self) -> Option<Body> {
        self.body
    }

    /// The next event; `None` once the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let since = Instant::now();
        loop {
            if self.end.is_some() {
                return None;
            }
            if self.events_left == Some(0) {
                self.close(End::Left);
                return None;
            }
            if let Some(message) = self.decode() {
                if message.event == OPEN {
                    self.opened_at = Some(message.last_event_id);
                    continue;
                }
                if let Some(left) = &mut self.events_left {
                    *left -= 1;
                    // At once and not at the next call, as a client leaves that has all it wants.
                    if *left == 0 {
                        self.close(End::Left);
                    }
                }
                return Some(message);
            }
            if self.bytes_left == Some(0) {
                self.close(End::Left);
            } else if since.elapsed() > self.patience {
                self.close(End::Silent);
            } else {
                self.take().await;
            }
        }
    }

    /// An event of the bytes that are here.
    fn decode(&mut self) -> Option<Message> {
        let mut rest = &self.input[..];
        // Beyond the limits of the decoder nothing more can be read: as good as a cut.
        let decoded = self.decoder.decode(&mut rest);
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        decoded.unwrap_or_else(|_| {
            self.close(End::Cut);
            None
        })
    }

    /// Waits for more bytes, or for the end.
    async fn take(&mut self) {
        let Some(body) = &mut self.body else {
            return self.close(End::Clean);
        };
        match body.frame().await {
            None => self.close(End::Clean),
            Some(Err(_)) => self.close(End::Cut),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let taken = self
                    .bytes_left
                    .map_or(data.len(), |left| left.min(data.len()));
                if let Some(left) = &mut self.bytes_left {
                    *left -= taken;
                }
                self.input.extend_from_slice(&data[..taken]);
            }
        }
    }

    fn close(&mut self, end: End) {
        self.body = None;
        self.input.clear();
        self.end = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_sends_only_keep_alives_is_silent() {
        let keep_alives = async_stream::stream! {
            loop {
                yield Ok::<_, std::convert::Infallible>(Bytes::from_static(b":\n"));
            }
        };
        let mut reader = EventReader::new(Body::from_stream(keep_alives));
        reader.patience = Duration::from_millis(1);
        assert_eq!(reader.next().await, None);
        assert_eq!(reader.end, Some(End::Silent));
    }
}
