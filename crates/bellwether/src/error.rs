//! What can go wrong when an application starts or serves.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use axum::BoxError;

/// The result of running an application.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An application could not start or could not go on.
///
/// Opaque: ask it what it is. `Debug` prints the message for people with its causes, because that
/// is what `fn main() -> bellwether::Result<()>` shows.
///
/// ```
/// # fn check(error: &bellwether::Error) {
/// if error.is_address_in_use() {
///     eprintln!("another program listens there");
/// }
/// # }
/// ```
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Configuration,
    AddressInUse,
    Io,
    Hook,
}

impl Error {
    /// The caller's settings cannot be used.
    pub(crate) fn configuration(message: impl Into<String>, source: Option<BoxError>) -> Self {
        Self {
            kind: Kind::Configuration,
            message: message.into(),
            source,
        }
    }

    /// The environment refused something.
    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::AddrInUse => Kind::AddressInUse,
            _ => Kind::Io,
        };
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// A start or stop hook of the application has failed.
    pub(crate) fn hook(message: impl Into<String>, source: Option<BoxError>) -> Self {
        Self {
            kind: Kind::Hook,
            message: message.into(),
            source,
        }
    }

    /// Whether a setting cannot be used: a missing directory, an unreadable certificate, a port
    /// that is no number. The caller's mistake.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        self.kind == Kind::Configuration
    }

    /// Whether another program listens on the address.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        self.kind == Kind::AddressInUse
    }

    /// Whether the operating system refused something else.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == Kind::Io
    }

    /// Whether one of the application's own hooks failed.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        self.kind == Kind::Hook
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
