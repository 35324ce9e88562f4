//! [`EventSourceBuilder`]: what to request, and with which limits and deadlines.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwether_wire::{EventId, EventName, Limits};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::address::Address;
use crate::backoff::Retry;
use crate::error::{BoxError, Error, Kind};
use crate::event_source::EventSource;
use crate::gap::GAP_EVENT_NAME;
use crate::inflate::Encoding;
use crate::machine::{Machine, Settings};
use crate::request::RequestTemplate;
use crate::transport::{HyperTransport, Transport};

pub(crate) type TokenFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Asked for a token before each request.
#[derive(Clone)]
pub(crate) struct TokenProvider(pub(crate) Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}

/// Settings of an [`EventSource`], from [`EventSource::builder`].
///
/// Each setter is usable alone. [`build`](Self::build) reports the first mistake of all of them.
///
/// ```
/// use std::time::Duration;
/// use bellwether_client::{EventSource, Retry};
///
/// let source = EventSource::builder("https://example.com/prices")
///     .header("x-api-key", "secret")
///     .retry(Retry::default().unavailable())
///     .idle_timeout(Duration::from_secs(45))
///     .build()?;
/// # Ok::<(), bellwether_client::Error>(())
/// ```
#[must_use]
pub struct EventSourceBuilder {
    settings: Settings,
    token: Option<TokenProvider>,
    transport: Option<Arc<dyn Transport>>,
    /// The first thing that was wrong; told by `build`, so that each method can be used in a chain.
    error: Option<Error>,
}

impl EventSourceBuilder {
    pub(crate) fn new(url: &str) -> Self {
        let (address, error) = match url.parse::<Address>() {
            Ok(address) => (address.into_parts(), None),
            Err(error) => (Default::default(), Some(error)),
        };
        let (url, authorization) = address;
        let mut headers = HeaderMap::new();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let template = RequestTemplate {
            url,
            method: Method::GET,
            headers,
            body: Bytes::new(),
            accept_encoding: None,
        };
        Self {
            settings: Settings {
                template,
                retry: Retry::default(),
                reconnects: true,
                connect_timeout: Duration::from_secs(30),
                idle_timeout: Some(Duration::from_secs(5 * 60)),
                max_redirects: 20,
                limits: Limits::default(),
                last_event_id: EventId::default(),
                gap_event: Some(GAP_EVENT_NAME),
            },
            token: None,
            transport: None,
            error,
        }
    }

    /// HTTP method of every request. Default: `GET`.
    ///
    /// The source connects again when a stream ends, and then sends the same request again. For a request
    /// that must not be repeated there is [`once`](Self::once).
    pub fn method(mut self, method: Method) -> Self {
        self.settings.template.method = method;
        self
    }

    /// Body of every request. Default: empty. Its type goes into the header `content-type`.
    ///
    /// ```
    /// use bellwether_client::EventSource;
    /// use http::Method;
    ///
    /// let source = EventSource::builder("https://example.com/v1/chat")
    ///     .method(Method::POST)
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"stream":true}"#)
    ///     .once()
    ///     .build()?;
    /// # Ok::<(), bellwether_client::Error>(())
    /// ```
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.settings.template.body = body.into();
        self
    }

    /// Header field of every request. It replaces a field of the same name, also one that the source sets.
    ///
    /// Fields go to the origin of the URL only. After a redirect to another origin none of them is sent,
    /// since any of them may be a secret; `content-type` alone goes with the body. `last-event-id` and
    /// `accept-encoding` have methods of their own. An invalid name or value is an error of
    /// [`build`](Self::build).
    ///
    /// ```
    /// use bellwether_client::EventSource;
    ///
    /// let error = EventSource::builder("https://example.com/").header("no spaces", "x").build().unwrap_err();
    /// assert!(error.is_invalid());
    /// ```
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let Ok(name) = name.try_into() else {
            return self.refuse("a name that is none".to_owned());
        };
        match value.try_into() {
            Ok(mut value) => {
                // Kept out of logs and of compression tables: it may be a key.
                value.set_sensitive(true);
                self.settings.template.headers.insert(name, value);
                self
            }
            Err(_) => self.refuse(name.as_str().to_owned()),
        }
    }

    /// Function that returns the token for `Authorization: Bearer`. It runs before every request, redirects
    /// included. Default: none.
    ///
    /// A token that has expired is therefore replaced on the next connection. The token goes to the origin of
    /// the URL only. A failure counts as a failed connection: it is the cause of a
    /// [`Waiting`](crate::Waiting), and the source tries again.
    ///
    /// ```
    /// # use bellwether_client::EventSource;
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok("t".to_owned()) }
    /// let builder = EventSource::builder("https://example.com/").bearer_token(|| fresh_token());
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn bearer_token<F, T, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.token = Some(TokenProvider(Arc::new(move || {
            let token = provider();
            Box::pin(async move { token.await.map_err(Into::into) })
        })));
        self
    }

    /// Event id after which the first request resumes, for instance one that an earlier run has stored.
    /// Default: none.
    ///
    /// ```
    /// use bellwether_client::{EventId, EventSource};
    ///
    /// let stored = "41";
    /// let source = EventSource::builder("https://example.com/prices")
    ///     .last_event_id(EventId::new(stored)?)
    ///     .build()?;
    /// assert_eq!(source.last_event_id(), "41");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_event_id(mut self, id: EventId) -> Self {
        self.settings.last_event_id = id;
        self
    }

    /// Rules for connecting again. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sends one request and does not connect again. Redirects are still followed.
    ///
    /// A whole response ends with [`Item::Closed`](crate::Item::Closed). A response that is cut, or a missing
    /// one, ends with an `Err`. If the server has sent an event `bellwether.finished` or `bellwether.error`,
    /// that event decides, not the end of the connection. Use it for answers such as those of language
    /// models, where a second request would start and bill a second answer.
    pub fn once(mut self) -> Self {
        self.settings.reconnects = false;
        self
    }

    /// Maximum time from the lookup of the name to the head of the response, all redirects included. Default:
    /// 30 s.
    ///
    /// Some APIs send no head before the first word of an answer: raise the time for those. Too small a value
    /// fails slow servers again and again; too large a value hides a server that accepts connections and
    /// never answers.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Maximum time that an open stream may be silent. The source then closes the connection and connects
    /// again. Default: 5 min.
    ///
    /// Every byte counts, also a comment. The default is above the limits of common proxies (60 s to 5 min),
    /// so it ends only streams that are dead anyway. A server that sends comments every 15 s allows 45 s,
    /// which finds a dead connection sooner. An event `bellwether.open` sets the time of its stream to three
    /// of the `keep_alive_ms` that it promises, at least 10 s and never more than this value. Too small a
    /// value reconnects on every quiet stream.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = Some(timeout);
        self
    }

    /// Never ends a silent stream, whatever its opening event promises. Only TCP then notices a server that
    /// has vanished.
    pub fn no_idle_timeout(mut self) -> Self {
        self.settings.idle_timeout = None;
        self
    }

    /// Maximum number of redirects of one connection. Default: 20, as in browsers. Zero follows none.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.settings.max_redirects = redirects;
        self
    }

    /// Maximum length of a line and maximum size of an event, in bytes. Default: 4 MiB each. A stream beyond
    /// them ends with [`Error::is_limit`].
    ///
    /// With both at `n` bytes a source holds at most 4 × `n`, twice that while a line of invalid UTF-8 is
    /// replaced, and what the transport and the [`Encoding`] hold. Events are decoded one by one, when they
    /// are asked for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Content codings that the server may use, in order of preference. Default: none is asked for.
    ///
    /// Proxies that compress tend to hold events back until a buffer is full, which delays them. A compressed
    /// response that was not asked for is read in every coding that is compiled in; any other coding is
    /// refused.
    pub fn accept_encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        let names: Vec<_> = encodings.into_iter().map(Encoding::as_str).collect();
        self.settings.template.accept_encoding = match names.is_empty() {
            true => None,
            false => HeaderValue::try_from(names.join(", ")).ok(),
        };
        self
    }

    /// Name of the event that this server uses to report a gap. Default: `bellwether.gap`.
    pub fn gap_event(mut self, name: EventName) -> Self {
        self.settings.gap_event = Some(name);
        self
    }

    /// Treats gap events like any other event, so that they arrive as
    /// [`Item::Message`](crate::Item::Message).
    pub fn no_gap_event(mut self) -> Self {
        self.settings.gap_event = None;
        self
    }

    /// Transport that sends the requests. Default: a [`HyperTransport`] of the source's own.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Checks the settings. Nothing is sent before the first item is asked for.
    ///
    /// # Errors
    ///
    /// The URL or a header field cannot be used: [`Error::is_invalid`].
    pub fn build(self) -> Result<EventSource, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let transport = self
            .transport
            .unwrap_or_else(|| Arc::new(HyperTransport::new()));
        let machine = Machine::new(self.settings, fastrand::u64(..));
        Ok(EventSource::with_parts(machine, transport, self.token))
    }

    // For the fuzz target and simulations, which drive the machine by themselves.
    #[doc(hidden)]
    pub fn into_machine(self, seed: u64) -> Result<Machine, Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Machine::new(self.settings, seed)),
        }
    }

    fn refuse(mut self, found: String) -> Self {
        let error = Kind::Header { found };
        self.error.get_or_insert_with(|| error.into());
        self
    }
}

impl fmt::Debug for EventSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSourceBuilder")
            .field("settings", &self.settings)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
