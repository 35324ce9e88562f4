//! [`ConnectError`], and what a call to the server can fail with.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bellwether_topics::broker::BrokerError;

/// Why a log in Redis could not be opened. The message says what was found and what to do about it.
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
    /// A setting, the URL included, is wrong: the caller's mistake.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Settings
    }

    /// The server could not be reached, did not answer in time, or does not serve at the moment. Trying again later may
    /// help. One that still loads its data is waited for.
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
            Failure::Told(told) if told.is_lasting() => Kind::Unsuitable,
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

/// Why a call got no answer, or not the one it wanted.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The broker was shut down.
    Shut,
    /// Nothing came for this long.
    Silent(Duration),
    /// The connection could not be made, or broke.
    Lost(redis::RedisError),
    /// The server answered with an error.
    Told(Told),
    /// The server answered with something else than the command gives.
    Odd(&'static str),
}

/// An error that the server answered with.
#[derive(Debug)]
pub(crate) struct Told {
    code: String,
    text: String,
}

impl Told {
    pub(crate) fn new(error: &redis::ServerError) -> Self {
        Self {
            code: error.code().to_owned(),
            text: error.details().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        // Errors of commands within a script come with their own code in front of the text or as the code.
        self.code == code
            || self
                .text
                .strip_prefix(code)
                .is_some_and(|rest| rest.starts_with(' '))
    }

    /// Whether it stays so until somebody changes the server or the key.
    fn is_lasting(&self) -> bool {
        [
            "WRONGTYPE",
            "NOPERM",
            "NOAUTH",
            "WRONGPASS",
            "MOVED",
            "CROSSSLOT",
            "READONLY",
        ]
        .iter()
        .any(|code| self.has_code(code))
    }

    /// Whether the server goes on to say so on this connection, while a new one may lead to a better server: a primary
    /// became a replica, a node of a cluster gave the log away.
    pub(crate) fn ends_connection(&self) -> bool {
        [
            "READONLY",
            "LOADING",
            "MOVED",
            "MASTERDOWN",
            "CLUSTERDOWN",
            "NOAUTH",
        ]
        .iter()
        .any(|code| self.has_code(code))
    }

    /// Whether the server is there and will serve once it has read its data.
    pub(crate) fn is_loading(&self) -> bool {
        self.has_code("LOADING")
    }

    fn advice(&self) -> &'static str {
        const ADVICE: [(&str, &str); 10] = [
            (
                "WRONGTYPE",
                "a key of the log holds something else; choose another name or remove the key",
            ),
            (
                "OOM",
                "the server is at its maxmemory; raise it or keep fewer records",
            ),
            (
                "READONLY",
                "the server is a replica; connect to the primary",
            ),
            ("LOADING", "the server still reads its data"),
            ("MISCONF", "the server cannot write its data to disk"),
            (
                "NOPERM",
                "the user may not do this; see the README for the commands that it needs",
            ),
            ("NOAUTH", "the server wants a password; put it into the URL"),
            ("WRONGPASS", "user name or password are wrong"),
            (
                "MOVED",
                "another node of the cluster holds the log; connect to that one",
            ),
            ("BUSY", "the server is held up by a script"),
        ];
        let found = ADVICE.iter().find(|(code, _)| self.has_code(code));
        found.map_or("the server answered with an error", |(_, advice)| advice)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shut => f.write_str("the log is shut down"),
            Self::Silent(after) => write!(f, "the Redis server did not answer within {after:?}"),
            Self::Lost(error) => write!(f, "the connection to the Redis server failed: {error}"),
            Self::Told(told) => {
                write!(
                    f,
                    "{} ({} {})",
                    told.advice(),
                    told.code,
                    told.text.trim_end()
                )
            }
            Self::Odd(what) => write!(f, "the Redis server answered oddly: {what}"),
        }
    }
}

impl Error for Failure {}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        match error.code() {
            Some(code) => Self::Told(Told {
                code: code.to_owned(),
                text: error.detail().unwrap_or_default().to_owned(),
            }),
            None => Self::Lost(error),
        }
    }
}

/// Never a refusal: whatever the server says, the records were right. What it says in its own words is the source, since the
/// message may reach clients.
impl From<&Failure> for BrokerError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Told(told) => {
                Self::unavailable(told.advice()).with_source(failure.to_string())
            }
            _ => Self::unavailable(failure.to_string()),
        }
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        Self::from(&failure)
    }
}
