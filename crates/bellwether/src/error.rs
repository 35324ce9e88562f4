//! What can go wrong when an application starts or serves.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use axum::BoxError;
use bellwether_topics::SetupError;

/// The result of running an application.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An application could not start or could not go on.
///
/// The error is opaque; its methods say what it is. `Debug` prints the message and its causes for people,
/// because `fn main() -> bellwether::Result<()>` shows that.
///
/// ```
/// use bellwether::Application;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let listener = bellwether::Listener::tcp("127.0.0.1:0").await.unwrap();
/// let error = Application::new().serve_files("no/such/directory").start(listener).await.unwrap_err();
/// assert!(error.is_configuration());
/// assert!(!error.is_address_in_use());
/// # }
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorKind {
    Configuration,
    AddressInUse,
    Io,
    Setup,
    Hook,
}

impl Error {
    /// The caller's settings cannot be used.
    pub(crate) fn configuration(message: impl Into<String>, source: Option<BoxError>) -> Self {
        Self {
            kind: ErrorKind::Configuration,
            message: message.into(),
            source,
        }
    }

    /// The environment refused something.
    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            _ => ErrorKind::Io,
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
            kind: ErrorKind::Hook,
            message: message.into(),
            source,
        }
    }

    /// Whether a setting cannot be used: a missing directory, an unreadable certificate, an invalid port. It
    /// is the caller's mistake, and the same program fails again.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        self.kind == ErrorKind::Configuration
    }

    /// Whether another program listens on the address. Stop that program, or choose another port.
    #[must_use]
    pub fn is_address_in_use(&self) -> bool {
        self.kind == ErrorKind::AddressInUse
    }

    /// Whether the operating system refused something else.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == ErrorKind::Io
    }

    /// Whether something else that the application needs could not be set up, such as a broker.
    /// [`source`](std::error::Error::source) is that error.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        self.kind == ErrorKind::Setup
    }

    /// Whether one of the application's own hooks failed. [`source`](std::error::Error::source) is the error that the
    /// hook returned; it is empty for a hook that took too long.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        self.kind == ErrorKind::Hook
    }
}

/// For `?` in `main`: what the operating system refused, an unreadable certificate among others; an invalid topic name;
/// a broker that cannot be opened or reached.
///
/// [`source`](std::error::Error::source) is the error itself, but for errors of I/O and of topics, which become the
/// message.
impl<E: SetupError> From<E> for Error {
    fn from(error: E) -> Self {
        let any: Box<dyn StdError + Send + Sync> = Box::new(error);
        let any = match any.downcast::<io::Error>() {
            Ok(error) => {
                let message = error.to_string();
                return Self {
                    source: None,
                    ..Self::io(message, *error)
                };
            }
            Err(any) => any,
        };
        match any.downcast::<bellwether_topics::Error>() {
            Ok(error) => {
                let message = error.to_string();
                // The message is that of the error itself, so only what is behind it is a source.
                let source = error.source().map(|source| source.to_string().into());
                Self::configuration(message, source)
            }
            Err(source) => Self {
                kind: ErrorKind::Setup,
                message: "set up the application".into(),
                source: Some(source),
            },
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_may_use_the_question_mark_on_what_a_program_begins_with() {
        fn missing_file() -> Result<()> {
            std::fs::read("/no/such/file")?;
            Ok(())
        }
        fn no_topic() -> Result<()> {
            bellwether_topics::Topics::new().topic("")?;
            Ok(())
        }
        /// Stands for the error of a broker, of which this crate knows none.
        #[derive(Debug)]
        struct Unreachable;
        impl fmt::Display for Unreachable {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cannot reach the broker at 127.0.0.1:1")
            }
        }
        impl StdError for Unreachable {}
        impl SetupError for Unreachable {}
        fn no_broker() -> Result<()> {
            Err(Unreachable)?
        }
        let error = no_broker().expect_err("there is no broker");
        assert!(error.is_setup(), "{error:?}");
        assert!(
            error
                .source()
                .is_some_and(|source| source.is::<Unreachable>())
        );
        assert_eq!(
            format!("{error:?}"),
            "set up the application: cannot reach the broker at 127.0.0.1:1"
        );
        let error = missing_file().expect_err("there is no such file");
        assert!(
            error.is_io() && format!("{error:?}").contains("No such file"),
            "{error:?}"
        );
        let error = no_topic().expect_err("an empty name is none");
        assert!(error.is_configuration(), "{error:?}");
        assert!(error.to_string().contains("as a name"), "{error}");
    }
}
