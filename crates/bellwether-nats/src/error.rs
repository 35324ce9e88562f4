//! [`ConnectError`]: why a log on NATS could not be opened.

use std::error::Error;
use std::fmt;

/// Why [`NatsBuilder::connect`](crate::NatsBuilder::connect) failed. The message has what was found and what to do, and no
/// password.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use bellwether_nats::NatsBroker;
///
/// let error = NatsBroker::builder("nats://127.0.0.1:1").stream("a b").connect().await.unwrap_err();
/// assert!(error.is_invalid());
/// assert!(error.to_string().starts_with(r#"stream "a b" is no name of a stream"#));
/// # });
/// ```
#[derive(Debug)]
pub struct ConnectError {
    kind: Kind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The caller's mistake: an address, a name or a limit that is not valid.
    Invalid,
    /// No server answers.
    Unreachable,
    /// The server refuses the user, or the user may not do what the log needs.
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
