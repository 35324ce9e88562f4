//! [`Error`]: why a stream or a connection ended, or why an event could not be read.

use std::fmt;
use std::time::Duration;

use bellwether_wire::DecodeError;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::gap::Gap;
use crate::transport::TransportError;

/// An error of any type, as transports and token providers have them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with an event source.
///
/// An `Err` of an [`EventSource`](crate::EventSource) is its end: [`is_closed`](Self::is_closed) is true and
/// the stream is over. `{error}` prints what failed, and `{error:#}` what caused it too. As the cause of a [`Waiting`](crate::Waiting) it is a failure after which the source
/// reconnects. The methods say what failed and whose fault it is.
///
/// ```no_run
/// use bellwether_client::{Error, EventSource};
///
/// # async fn run() -> Result<(), Error> {
/// let mut source = EventSource::new("http://127.0.0.1:8000/events")?;
/// while let Some(message) = source.next_message().await {
///     match message {
///         Ok(message) => println!("{}", message.data),
///         Err(error) if error.is_finished() => break,
///         Err(error) if error.is_closed() => return Err(error),
///         Err(error) => eprintln!("{error:#}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Box<Kind>,
    is_closed: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Blame: the caller.
    Url {
        found: String,
        wanted: &'static str,
    },
    Header {
        found: String,
    },
    /// Blame: the server, which answered something else than a stream.
    Refused(Refusal),
    Redirect {
        status: StatusCode,
        headers: HeaderMap,
        why: &'static str,
    },
    /// Blame: the network, or the peer that cut the stream.
    Transport(TransportError),
    Timeout {
        what: &'static str,
        after: Duration,
    },
    Coding(std::io::Error),
    Token(BoxError),
    Limit(DecodeError),
    GaveUp {
        failures: u32,
        last: Option<Error>,
    },
    Json {
        event: String,
        source: serde_json::Error,
    },
    Gap(Gap),
    /// Blame: the application behind the server, which said so.
    ErrorEvent {
        data: String,
    },
}

/// A response that is no event stream.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body_start: Bytes,
    pub(crate) why: RefusedFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedFor {
    Status,
    ContentType,
    Encoding,
}

impl Error {
    /// Whether the stream is over: no item follows this one. Otherwise the source goes on, and this error
    /// concerns one event or one connection.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The URL, a header or a setting cannot be used: the caller's mistake. Trying again fails again.
    ///
    /// ```
    /// use bellwether_client::EventSource;
    ///
    /// let error = EventSource::new("ftp://example.com/").unwrap_err();
    /// assert!(error.is_invalid() && !error.is_transport());
    /// ```
    pub fn is_invalid(&self) -> bool {
        matches!(*self.kind, Kind::Url { .. } | Kind::Header { .. })
    }

    /// The server answered with another status than 200; [`status`](Self::status) is that status.
    ///
    /// The source ends, unless [`Retry::status`](crate::Retry::status) or
    /// [`Retry::unavailable`](crate::Retry::unavailable) names the status. [`body_start`](Self::body_start)
    /// often says what is wrong.
    pub fn is_status(&self) -> bool {
        matches!(&*self.kind, Kind::Refused(refusal) if refusal.why == RefusedFor::Status)
    }

    /// The server answered with 204: it has nothing more to send, and its clients shall not reconnect.
    pub fn is_finished(&self) -> bool {
        self.is_status() && self.status() == Some(StatusCode::NO_CONTENT)
    }

    /// The server answered with 200, but with another content type than `text/event-stream`.
    ///
    /// The source ends. The URL usually names a page instead of a stream, or a proxy has answered.
    pub fn is_content_type(&self) -> bool {
        matches!(&*self.kind, Kind::Refused(refusal) if refusal.why == RefusedFor::ContentType)
    }

    /// A redirect cannot be followed: it has no valid target, its target is not allowed, or there were more
    /// than [`max_redirects`](crate::EventSourceBuilder::max_redirects).
    pub fn is_redirect(&self) -> bool {
        matches!(*self.kind, Kind::Redirect { .. })
    }

    /// No bytes came in time: no head of a response within
    /// [`connect_timeout`](crate::EventSourceBuilder::connect_timeout), or nothing on an open stream within
    /// [`idle_timeout`](crate::EventSourceBuilder::idle_timeout). The source reconnects.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.kind, Kind::Timeout { .. })
    }

    /// The network failed: no connection could be made, or one broke. [`source`](std::error::Error::source)
    /// says how.
    pub fn is_transport(&self) -> bool {
        matches!(*self.kind, Kind::Transport(_))
    }

    /// The content coding of the body is broken, the body ends before the coding does, or the coding is not
    /// compiled in.
    pub fn is_encoding(&self) -> bool {
        match &*self.kind {
            Kind::Coding(_) => true,
            Kind::Refused(refusal) => refusal.why == RefusedFor::Encoding,
            _ => false,
        }
    }

    /// A line or an event is beyond the [`Limits`](crate::Limits).
    ///
    /// The source ends, since the same stream would break the same limit again. Raise it by
    /// [`limits`](crate::EventSourceBuilder::limits) if the server may send such events.
    pub fn is_limit(&self) -> bool {
        matches!(*self.kind, Kind::Limit(_))
    }

    /// The token provider failed; [`source`](std::error::Error::source) is its error. The source tries again.
    pub fn is_token(&self) -> bool {
        matches!(*self.kind, Kind::Token(_))
    }

    /// The number of failures that [`Retry::max_failures`](crate::Retry::max_failures) allows is reached; the source
    /// is the last of them.
    pub fn has_given_up(&self) -> bool {
        matches!(*self.kind, Kind::GaveUp { .. })
    }

    /// The data of one event is not JSON of the wanted type. The stream goes on with the next event.
    pub fn is_json(&self) -> bool {
        matches!(*self.kind, Kind::Json { .. })
    }

    /// The lost history, where [`Messages`](crate::Messages) has no other way to report it. The stream goes
    /// on.
    ///
    /// A client that keeps state fetches the state again.
    pub fn gap(&self) -> Option<&Gap> {
        match &*self.kind {
            Kind::Gap(gap) => Some(gap),
            _ => None,
        }
    }

    /// The server reported a failure by an event `bellwether.error` after the stream had started: the stream
    /// is not whole.
    ///
    /// [`error_event`](Self::error_event) is the event's data. From [`Messages`](crate::Messages) and
    /// [`next_message`](crate::EventSource::next_message) it comes instead of that event, and the stream goes
    /// on. As an end or a cause it means that the connection ended cleanly, but the stream is incomplete.
    pub fn is_error_event(&self) -> bool {
        self.error_event().is_some()
    }

    /// The data of that event, see [`is_error_event`](Self::is_error_event). Bellwether's servers send JSON
    /// with `status` and `message`.
    pub fn error_event(&self) -> Option<&str> {
        match &*self.kind {
            Kind::ErrorEvent { data } => Some(data),
            _ => None,
        }
    }

    /// HTTP status of the response that was not a stream, if there was one. After
    /// [`has_given_up`](Self::has_given_up) it is the status of the last failure.
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.kind {
            Kind::Refused(refusal) => Some(refusal.status),
            Kind::Redirect { status, .. } => Some(*status),
            Kind::GaveUp { last, .. } => last.as_ref()?.status(),
            _ => None,
        }
    }

    /// Header fields of that response.
    pub fn headers(&self) -> Option<&HeaderMap> {
        match &*self.kind {
            Kind::Refused(refusal) => Some(&refusal.headers),
            Kind::Redirect { headers, .. } => Some(headers),
            Kind::GaveUp { last, .. } => last.as_ref()?.headers(),
            _ => None,
        }
    }

    /// First bytes of the body of that response, at most 8 KiB, decompressed. APIs say there what is wrong.
    pub fn body_start(&self) -> Option<&Bytes> {
        match &*self.kind {
            Kind::Refused(refusal) => Some(&refusal.body_start),
            Kind::GaveUp { last, .. } => last.as_ref()?.body_start(),
            _ => None,
        }
    }

    /// The same error, as the last item of a stream.
    pub(crate) fn closed(mut self) -> Self {
        self.is_closed = true;
        self
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self {
            kind: Box::new(kind),
            is_closed: false,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Kind::Limit(error).into()
    }
}

/// `{error}` is the message alone, as reporters of errors want it; `{error:#}` has all its causes behind it, in one line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        let mut cause = std::error::Error::source(self).filter(|_| f.alternate());
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { found, wanted } => {
                write!(f, "cannot connect to {found:?}: {wanted} is needed")
            }
            Self::Header { found } => write!(f, "cannot send the header field {found:?}"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Redirect { status, why, .. } => {
                write!(f, "cannot follow the redirect with status {status}: {why}")
            }
            Self::Transport(error) if error.is_cut() => f.write_str("the event stream was cut"),
            Self::Transport(_) => f.write_str("cannot reach the server"),
            Self::Timeout { what, after } => write!(f, "{what} within {after:?}"),
            Self::Coding(_) => f.write_str("cannot decompress the event stream"),
            Self::Token(_) => f.write_str("cannot get a token for the request"),
            Self::Limit(error) => error.fmt(f),
            Self::GaveUp { failures, .. } => {
                write!(f, "gave up after {failures} failures in a row")
            }
            // The reason is part of the message, since without it nothing can be done about the event.
            Self::Json { event, source } => {
                write!(f, "cannot read the data of an event {event:?}: {source}")
            }
            Self::Gap(gap) => gap.fmt(f),
            Self::ErrorEvent { data } => {
                let start: String = data.chars().take(200).collect();
                write!(f, "the server failed in the middle of the stream: {start}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |name| {
            let value = self.headers.get(name).map(|value| value.as_bytes());
            value.unwrap_or_default().escape_ascii().to_string()
        };
        match self.why {
            RefusedFor::Status if self.status == StatusCode::NO_CONTENT => {
                f.write_str("the server has no more events: it answered with status 204")
            }
            RefusedFor::Status => write!(
                f,
                "the server refused the event stream: found status {}, 200 is allowed",
                self.status
            ),
            RefusedFor::ContentType => write!(
                f,
                "the server did not answer with an event stream: found content type \"{}\", text/event-stream is allowed",
                field(http::header::CONTENT_TYPE)
            ),
            RefusedFor::Encoding => write!(
                f,
                "cannot read the event stream: found content encoding \"{}\", which is not compiled in",
                field(http::header::CONTENT_ENCODING)
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.kind {
            Kind::Transport(error) => Some(error),
            Kind::Coding(error) => Some(error),
            Kind::Token(error) => Some(&**error),
            Kind::GaveUp { last, .. } => last.as_ref().map(|error| error as _),
            // What is behind the reason, which the message has.
            Kind::Json { source, .. } => std::error::Error::source(source),
            _ => None,
        }
    }
}

// A stream's error crosses tasks.
const _: () = {
    const fn is_portable<T: Send + Sync + 'static>() {}
    is_portable::<Error>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alternate_form_has_the_causes_behind_the_message() {
        let error = Error::from(Kind::Coding(std::io::Error::other("invalid gzip header")));
        assert_eq!(error.to_string(), "cannot decompress the event stream");
        assert_eq!(
            format!("{error:#}"),
            "cannot decompress the event stream: invalid gzip header"
        );
    }
}
