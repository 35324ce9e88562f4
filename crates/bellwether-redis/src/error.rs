//! [`ConnectError`]: why a log could not be opened.

use std::error::Error;
use std::fmt;

use crate::failure::Failure;

/// Why a log in Redis could not be opened. The message has what was found and what to do about it, and no password.
///
/// If neither question below is true, the server cannot hold a log as it is: a replica, a version below 7.0, one that
/// evicts keys, a user without the rights, or another value under the log's keys. Someone must change the server.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use bellwether_redis::RedisBroker;
///
/// let error = RedisBroker::connect("http://user:secret@127.0.0.1").await.unwrap_err();
/// assert!(error.is_invalid() && !error.is_unavailable());
/// assert!(error.to_string().starts_with("the address is no URL of a Redis server"));
/// assert!(!error.to_string().contains("secret"));
/// # });
/// ```
#[derive(Debug)]
pub struct ConnectError {
    kind: Kind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Settings,
    Unreachable,
    Unsuitable,
}

impl ConnectError {
    /// A setting, the URL included, is wrong: the caller's mistake. Trying again is no use.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Settings
    }

    /// The server could not be reached, did not answer in time, or does not serve at the moment. Trying again later may
    /// help.
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::new(Kind::Settings, message)
    }

    pub(crate) fn unsuitable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsuitable, message)
    }

    pub(crate) fn failed(address: &str, failure: Failure) -> Self {
        let kind = match &failure {
            Failure::ErrorReply(reply) if reply.is_lasting() => Kind::Unsuitable,
            _ => Kind::Unreachable,
        };
        let message = format!("could not open the log on the Redis server at {address}");
        Self::new(kind, message).with_source(failure)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
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
