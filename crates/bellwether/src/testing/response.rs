//! [`TestResponse`]: a response whose events a test reads.

use axum::body::Body;
use axum::response::Response;
use bellwether_wire::Message;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use super::reader::{End, EventReader};

/// The response to [`oneshot`](super::oneshot). Its events are read as an `EventSource` reads them.
///
/// The opening event of a subscription (`bellwether.open`) is not shown, as no client shows it; its id counts. Other
/// events of the framework's own, such as `bellwether.error`, are events like any other here.
#[derive(Debug)]
pub struct TestResponse {
    head: Parts,
    pub(super) reader: EventReader,
}

impl TestResponse {
    pub(super) fn new(response: Response) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head,
            reader: EventReader::new(body),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Leaves right after the event with this number, counted from 1: the body is dropped, and the server sees a
    /// client that closes its connection.
    ///
    /// ```
    /// use bellwether::testing::{End, oneshot, request};
    /// use bellwether::{Application, Json, get, stream};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let numbers = get(|| stream!( for number in 0.. { yield Json(number); } ));
    /// let application = Application::new().route(("/", numbers));
    /// let mut response = oneshot(application, request("/")).await.leave_after_events(2);
    /// assert_eq!(response.read_all().await.len(), 2);
    /// assert_eq!(response.end(), Some(&End::Left));
    /// # });
    /// ```
    #[must_use]
    pub fn leave_after_events(mut self, events: usize) -> Self {
        self.reader.leave_after_events(events);
        self
    }

    /// Leaves after this number of bytes of the body. An event that is not whole by then is not shown, as no client
    /// shows it.
    #[must_use]
    pub fn leave_after_bytes(mut self, bytes: usize) -> Self {
        self.reader.leave_after_bytes(bytes);
        self
    }

    /// The next event; `None` once the stream has ended, and [`end`](Self::end) then says how. A future that is
    /// dropped has lost nothing.
    pub async fn next_event(&mut self) -> Option<Message> {
        self.reader.next().await
    }

    /// The next `count` events, or fewer if the stream ends before.
    pub async fn read_events(&mut self, count: usize) -> Vec<Message> {
        let mut events = Vec::new();
        while events.len() < count
            && let Some(event) = self.next_event().await
        {
            events.push(event);
        }
        events
    }

    /// All events until the end. A stream without an end needs [`leave_after_events`](Self::leave_after_events) first.
    pub async fn read_all(&mut self) -> Vec<Message> {
        self.read_events(usize::MAX).await
    }

    /// How the stream ended; `None` as long as it goes on, or its end was not read yet.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.reader.end.as_ref()
    }

    /// The id with which a client would come back now; empty if there is none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// The body as text, or what of it was not read yet: for error pages and for the bytes of a stream that ends. What
    /// follows a cut is not there.
    pub async fn text(self) -> String {
        let mut text = Vec::new();
        let mut body = self.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The body, for a test that looks at its frames. Empty once the stream has ended.
    pub fn into_body(self) -> Body {
        self.reader.into_body().unwrap_or_default()
    }
}
