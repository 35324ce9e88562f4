//! The request as handlers see it, and the id after which a client resumes.
//!
//! The part of it that knows whether the client is still connected is in
//! [`client_connection`](crate::client_connection).

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Uri, Version};

use crate::client_connection::{ClientConnection, Disconnected};

/// The longest `Last-Event-ID` that is read, in bytes. A longer one is treated as unknown
/// text when the stream resumes; it costs nothing.
const MAX_LAST_EVENT_ID_BYTES: usize = 256;

/// A request that knows whether its client is still connected.
///
/// As an extractor it comes last, since it takes the body. A handler that takes the body in another way,
/// such as by `Json`, has [`ClientConnection`] instead. A generator that holds it is not
/// dropped at once when the client leaves: for a bounded moment (5 s by default) it runs on, its
/// items thrown away, and [`is_disconnected`](Self::is_disconnected) is true, so that its
/// clean-up code runs.
///
/// The disconnect is known to handlers made by [`bellwether::get`](fn@crate::get) and its
/// siblings and to every handler of an [`Application`](crate::Application).
///
/// ```
/// use std::time::Duration;
/// use bellwether::{Request, ServerSentEvent, Stream, get, stream};
///
/// #[get("/events")]
/// fn events(request: Request) -> impl Stream<Item = ServerSentEvent> {
///     stream!(
///         while !request.is_disconnected() {
///             yield ServerSentEvent::text("tick");
///             tokio::time::sleep(Duration::from_secs(1)).await;
///         }
///         println!("clean up here");
///     )
/// }
/// ```
#[derive(Debug)]
pub struct Request {
    parts: Parts,
    /// A mutex only to make the whole shareable between threads; it is never locked.
    body: Mutex<Body>,
    client: ClientConnection,
}

impl Request {
    /// Whether the client has disconnected.
    ///
    /// The call is cheap and does not read the body.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.client.is_disconnected()
    }

    /// Resolves when the client has disconnected: the awaitable form of
    /// [`is_disconnected`](Self::is_disconnected). The future does not hold the request.
    pub fn disconnected(&self) -> Disconnected {
        self.client.disconnected()
    }

    /// The id after which the client wants to go on; see [`LastEventId`].
    #[must_use]
    pub fn last_event_id(&self) -> LastEventId {
        LastEventId(last_event_id(&self.parts.headers, &self.parts.uri))
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The target.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The extensions: what layers and the server have added.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// Runs one of axum's extractors on the head of this request.
    ///
    /// ```
    /// use axum::http::HeaderMap;
    /// use bellwether::{Request, get};
    ///
    /// #[get("/agent")]
    /// async fn agent(mut request: Request) -> String {
    ///     let headers = request.extract::<HeaderMap>().await.unwrap_or_default();
    ///     format!("{:?}", headers.get("user-agent"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The rejection of the extractor.
    pub async fn extract<T>(&mut self) -> Result<T, T::Rejection>
    where
        T: FromRequestParts<()>,
    {
        T::from_request_parts(&mut self.parts, &()).await
    }

    /// Reads the whole body, up to `limit` bytes. A second call returns an empty body.
    ///
    /// # Errors
    ///
    /// The body is longer than `limit`, or the client stopped sending it.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, axum::Error> {
        let body = std::mem::take(&mut self.body);
        axum::body::to_bytes(into_body(body), limit).await
    }

    /// Converts the request into axum's. It then no longer knows whether the client is connected.
    #[must_use]
    pub fn into_axum(self) -> axum::extract::Request {
        http::Request::from_parts(self.parts, into_body(self.body))
    }
}

fn into_body(body: Mutex<Body>) -> Body {
    body.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Sync> FromRequest<S> for Request {
    type Rejection = Infallible;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        let client = ClientConnection::of(&parts.extensions);
        Ok(Self {
            parts,
            body: body.into(),
            client,
        })
    }
}

/// The id of the last event that a reconnecting client has seen.
///
/// From the header `Last-Event-ID`, else from the query parameter `last_event_id`, `lastEventId`
/// or `evs_last_event_id` (for a first connection and for clients that cannot set headers). It
/// comes from the client and may be anything: at most 256 bytes of text, never an error.
///
/// ```
/// use bellwether::{LastEventId, ServerSentEvent, Stream, get, stream};
///
/// #[get("/count")]
/// fn count(last: LastEventId) -> impl Stream<Item = ServerSentEvent> {
///     let next = last.parse::<u64>().map_or(0, |seen| seen + 1);
///     stream!( for i in next..10 { yield ServerSentEvent::text(i.to_string()).id(i); } )
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastEventId(Option<String>);

impl LastEventId {
    /// The id as it came; `None` if the client sent none.
    #[must_use]
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id, parsed as `T`. It is `None` if there is no id or it cannot be parsed.
    #[must_use]
    pub fn parse<T: std::str::FromStr>(&self) -> Option<T> {
        self.as_deref()?.parse().ok()
    }
}

impl<'a> From<&'a LastEventId> for Option<&'a str> {
    /// So that `topic.subscribe().after(&last)` reads well.
    fn from(last: &'a LastEventId) -> Self {
        last.as_deref()
    }
}

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(last_event_id(&parts.headers, &parts.uri)))
    }
}

/// The header wins over the query. Bytes that are not UTF-8 are replaced, as everywhere in the
/// format, so that a foreign id is unknown rather than an error.
pub(crate) fn last_event_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    sent_last_event_id(headers, uri).filter(|id| id.len() <= MAX_LAST_EVENT_ID_BYTES)
}

/// As [`last_event_id`], but for an id that is too long: that is cut to an id that no server has sent, so that the
/// subscription that resumes knows that there was one.
pub(crate) fn sent_last_event_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    const QUERY_NAMES: [&str; 3] = ["last_event_id", "lastEventId", "evs_last_event_id"];
    // An empty header says nothing, so it does not win over the query.
    let header = headers
        .get("last-event-id")
        .filter(|value| !value.is_empty());
    let mut id = match header {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => {
            uri.query()?;
            let query: axum::extract::Query<Vec<(String, String)>> =
                axum::extract::Query::try_from_uri(uri).ok()?;
            query
                .0
                .into_iter()
                .find(|(name, id)| QUERY_NAMES.contains(&&**name) && !id.is_empty())?
                .1
        }
    };
    if id.len() > MAX_LAST_EVENT_ID_BYTES {
        id = id.chars().take(MAX_LAST_EVENT_ID_BYTES).collect();
        id.push_str("...");
    }
    Some(id)
}
