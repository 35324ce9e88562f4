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

/// An event source to be, from [`EventSource::builder`].
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

    /// Sets the method. Default `GET`.
    ///
    /// A source connects again when a stream ends, and so sends the same request again: for one that must not be
    /// repeated there is [`once`](Self::once).
    pub fn method(mut self, method: Method) -> Self {
        self.settings.template.method = method;
        self
    }

    /// Sets the body, which is sent with every request. Default empty. Its type goes into `content-type`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.settings.template.body = body.into();
        self
    }

    /// Sets a header field of every request; a field of the same name is replaced, also one of ours.
    ///
    /// Fields go to the origin of the URL only: after a redirect to another one, none of them is sent, since any of
    /// them may be a secret (of those about a body, `content-type` goes with the body). `last-event-id` and
    /// `accept-encoding` have methods of their own.
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

    /// Asks for a token before every request, redirects included, and sends it as `Authorization: Bearer`.
    ///
    /// So a token that has expired is replaced on the next connection. It goes to the origin of the URL only. A failure
    /// counts as one of the connection: it is told in [`Waiting`](crate::Waiting), and tried again.
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

    /// Resumes after this id, for instance one that an earlier run has stored. Default: none.
    pub fn last_event_id(mut self, id: EventId) -> Self {
        self.settings.last_event_id = id;
        self
    }

    /// Sets when to connect again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sends one request and never another, but for redirects.
    ///
    /// The end of the answer is [`Item::Closed`](crate::Item::Closed); if it is torn, or if there is none, an `Err`.
    /// Where the server has told by an event `bellwether.finished` or `bellwether.error` whether the answer is whole, that
    /// counts and not how the connection ended. For answers such as those of language models, where a second request would begin (and bill) a second answer.
    pub fn once(mut self) -> Self {
        self.settings.reconnects = false;
        self
    }

    /// Sets how long it may take from looking up the name to the head of the response, all redirects included.
    ///
    /// Default 30 s. Some APIs send no head before the first word: raise it for those.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets after how much silence an open stream is taken for dead, and the source connects again. Default 5 min.
    ///
    /// Every byte counts, also a comment. The default is above what proxies allow (60 s to 5 min), so it ends streams
    /// only that are dead anyway. With a server that sends comments every 15 s, 45 s finds a dead one sooner: three of
    /// the `keep_alive_ms` that an event `bellwether.open` promises are the bound for its stream without a word of yours, but
    /// at least 10 s and never more than this.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = Some(timeout);
        self
    }

    /// Lets a stream be silent for ever, whatever its opening event promises. A server that vanishes is then noticed by TCP alone.
    pub fn no_idle_timeout(mut self) -> Self {
        self.settings.idle_timeout = None;
        self
    }

    /// Sets how many redirects one connection may take. Default 20, as in browsers; 0 follows none.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.settings.max_redirects = redirects;
        self
    }

    /// Sets how long a line and how large an event may be. Default 4 MiB each; a stream that goes beyond ends with
    /// [`Error::is_limit`].
    ///
    /// With both at `n` bytes a source holds at most 4 × `n`, twice that while a line of invalid UTF-8 is replaced, and
    /// what transport and [`Encoding`] hold. Events are decoded one by one, as they are asked for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Asks the server to compress, with these codings in order of preference. Default: none.
    ///
    /// Proxies that compress tend to hold events back until a buffer is full, so it has to be asked for. What comes
    /// compressed unasked is read all the same, in every coding that is compiled in; any other is refused.
    pub fn accept_encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        let names: Vec<_> = encodings.into_iter().map(Encoding::as_str).collect();
        self.settings.template.accept_encoding = match names.is_empty() {
            true => None,
            false => HeaderValue::try_from(names.join(", ")).ok(),
        };
        self
    }

    /// Sets the name by which this server tells gaps. Default `bellwether.gap`.
    pub fn gap_event(mut self, name: EventName) -> Self {
        self.settings.gap_event = Some(name);
        self
    }

    /// Takes gap events for events like any other.
    pub fn no_gap_event(mut self) -> Self {
        self.settings.gap_event = None;
        self
    }

    /// Sends requests through this. Default: a [`HyperTransport`] of its own.
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
