//! [`Failure`]: why a call to the server failed, with a message for the operator.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bellwether_topics::broker::BrokerError;

/// Why a call to the server failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The broker was shut down.
    ShutDown,
    /// The server sent nothing for this time.
    TimedOut(Duration),
    /// The connection could not be made, or broke.
    Connection(redis::RedisError),
    /// The server replied with an error.
    ErrorReply(ErrorReply),
    /// The server replied with another shape than the command has.
    UnexpectedReply(&'static str),
}

/// An error reply of the server: its code and its text.
#[derive(Debug)]
pub(crate) struct ErrorReply {
    code: String,
    text: String,
}

impl ErrorReply {
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

    /// Whether the error lasts until an operator changes the server or the key.
    pub(crate) fn is_lasting(&self) -> bool {
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

    /// Whether the server would repeat the error on this connection, while a new connection may lead to another server:
    /// a primary became a replica, or a node of a cluster gave the log away.
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

    /// Whether the server is reachable and will serve once it has loaded its data.
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
            ("LOADING", "the server still loads its data"),
            ("MISCONF", "the server cannot write its data to disk"),
            (
                "NOPERM",
                "the user may not do this; see the README for the commands that it needs",
            ),
            ("NOAUTH", "the server needs a password; put it into the URL"),
            ("WRONGPASS", "the user name or the password is wrong"),
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
            Self::ShutDown => f.write_str("the log is shut down"),
            Self::TimedOut(after) => write!(f, "the Redis server did not answer within {after:?}"),
            Self::Connection(error) => {
                write!(f, "the connection to the Redis server failed: {error}")
            }
            Self::ErrorReply(reply) => {
                write!(
                    f,
                    "{} ({} {})",
                    reply.advice(),
                    reply.code,
                    reply.text.trim_end()
                )
            }
            Self::UnexpectedReply(what) => {
                write!(f, "the Redis server sent an unexpected reply: {what}")
            }
        }
    }
}

impl Error for Failure {}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        match error.code() {
            Some(code) => Self::ErrorReply(ErrorReply {
                code: code.to_owned(),
                text: error.detail().unwrap_or_default().to_owned(),
            }),
            None => Self::Connection(error),
        }
    }
}

/// Never a refusal: the records were right, whichever error the server sends. The server's own text is only in the
/// source, since the message may reach clients.
impl From<&Failure> for BrokerError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::ErrorReply(reply) => {
                Self::unavailable(reply.advice()).with_source(failure.to_string())
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
