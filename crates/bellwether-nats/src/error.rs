//! [`ConnectError`]: why a log on NATS could not be opened.

use std::error::Error;
use std::fmt;

/// Why [`NatsBuilder::connect`](crate::NatsBuilder::connect) failed. The message says what to do about it.
#[derive(Debug)]
pub struct ConnectError {
    kind: Kind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The caller's mistake: an address or a name that is none.
    Invalid,
    /// No server answers.
    Unreachable,
    /// The server does not let us in, or not to what we need.
    Unauthorized,
    /// The server has no JetStream, or no room.
    Unsupported,
    /// There is a stream, with settings under which this log would not keep its promises.
    Unsuitable,
}

impl ConnectError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether a setting of the builder is not valid: an address, a name, a limit.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Whether no server answered. Trying again later may help.
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Whether the server refused the user, or the user may not do what the log needs.
    pub fn is_unauthorized(&self) -> bool {
        self.kind == Kind::Unauthorized
    }

    /// Whether the server has no JetStream, or JetStream does not take the stream.
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Whether the stream exists with other settings than the log needs, or than the builder was given.
    pub fn is_unsuitable(&self) -> bool {
        self.kind == Kind::Unsuitable
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}

// So that `?` takes it in a `main` that returns a `bellwether::Result`.
impl bellwether_topics::SetupError for ConnectError {}
