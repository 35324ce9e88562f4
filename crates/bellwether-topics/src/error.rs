//! [`Error`]: what can go wrong with publishing and subscribing.

use std::fmt;
use std::time::Duration;

use bellwether_wire::EncodeError;

/// Why a topic could not be opened, an event not published, or a subscription not started.
///
/// Opaque: each question below names a case and what the caller can do.
///
/// ```
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// let topics = Topics::builder().max_event_bytes(20).build();
/// let news = topics.topic("news")?;
/// let error = news.publish(&ServerSentEvent::text("x".repeat(100))).unwrap_err();
/// assert!(error.is_too_large() && error.is_invalid());
/// assert_eq!(error.to_string(), "the event is 108 bytes long, at most 20 are allowed");
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Name {
        found: String,
        allowed: &'static str,
    },
    Limit {
        what: &'static str,
        max: usize,
    },
    TooLong {
        what: &'static str,
        found: usize,
        max: usize,
    },
    EventTooLarge {
        found: usize,
        max: usize,
    },
    NoData,
    Encode(EncodeError),
    Closed,
    Full {
        max: usize,
    },
    TimedOut {
        after: Duration,
    },
    Refused(BrokerError),
    Unavailable(BrokerError),
}

impl Error {
    /// The topics were closed; nothing more can be published or read. The process is stopping.
    pub fn is_closed(&self) -> bool {
        matches!(self.kind, Kind::Closed)
    }

    /// A name, key or event breaks a rule, or the event cannot be encoded. The mistake is the caller's, or that of the
    /// client from which the caller has the text. Trying again is no use.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self.kind,
            Kind::Name { .. }
                | Kind::TooLong { .. }
                | Kind::EventTooLarge { .. }
                | Kind::NoData
                | Kind::Encode(_)
                | Kind::Refused(_)
        )
    }

    /// The encoded event is larger than allowed, which is one way to be [invalid](Self::is_invalid).
    pub fn is_too_large(&self) -> bool {
        matches!(self.kind, Kind::EventTooLarge { .. })
    }

    /// A bound of the configuration is reached: topics, subscribers, publishes under way. The call may succeed later,
    /// when others have left.
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, Kind::Limit { .. } | Kind::Full { .. })
    }

    /// The broker did not confirm in time. Whether the event is in the log is unknown. Publish it again with the same
    /// idempotency key, and it is in the log once.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::TimedOut { .. })
    }

    /// The broker cannot be reached or does not work at the moment. As with a timeout, the event may be in the log.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.kind, Kind::Unavailable(_) | Kind::TimedOut { .. })
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind }
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self {
            kind: Kind::Encode(error),
        }
    }
}

impl From<BrokerError> for Error {
    fn from(error: BrokerError) -> Self {
        let kind = match error.is_refused() {
            true => Kind::Refused(error),
            false => Kind::Unavailable(error),
        };
        Self { kind }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Name { found, allowed } => {
                write!(f, "cannot use {found:?} as a name: {allowed}")
            }
            Kind::Limit { what, max } => write!(f, "too many {what}: at most {max} are allowed"),
            Kind::TooLong { what, found, max } => {
                write!(f, "{what} is {found} bytes long, at most {max} are allowed")
            }
            Kind::EventTooLarge { found, max } => write!(
                f,
                "the event is {found} bytes long, at most {max} are allowed"
            ),
            Kind::NoData => f.write_str(
                "cannot publish an event without data: clients do not dispatch it and some lose its id",
            ),
            Kind::Encode(_) => f.write_str("cannot encode the event"),
            Kind::Closed => f.write_str("the topics are closed"),
            Kind::Full { max } => write!(
                f,
                "cannot publish: {max} events wait for the broker already, which is the bound"
            ),
            Kind::TimedOut { after } => {
                write!(f, "the broker did not confirm the event within {after:?}")
            }
            Kind::Refused(_) => f.write_str("the broker refused the event"),
            Kind::Unavailable(_) => f.write_str("the broker is not available"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Encode(error) => Some(error),
            Kind::Refused(error) | Kind::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a call of a [`Broker`](crate::broker::Broker) failed.
///
/// ```
/// use bellwether_topics::broker::BrokerError;
///
/// let error = BrokerError::unavailable("no answer from 127.0.0.1:4222");
/// assert!(!error.is_refused());
/// assert!(bellwether_topics::Error::from(error).is_unavailable());
/// ```
#[derive(Debug)]
pub struct BrokerError {
    is_refused: bool,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BrokerError {
    /// The broker does not work at the moment. An append may have happened all the same, so the caller tries again
    /// under the same idempotency key.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            is_refused: false,
            message: message.into(),
            source: None,
        }
    }

    /// The broker can never store these records. Nothing was appended, and trying again is no use.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            is_refused: true,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether trying again is no use.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}
