//! [`SetupError`]: errors that `?` takes in the `main` of a program that serves topics.

/// An error of something that a program sets up before it serves: a file, an address, a topic, a broker.
///
/// `?` turns such an error into the framework's `bellwether::Error`, so that `main` needs one type of error and the
/// framework need not know the brokers. The crates of brokers implement the trait for the errors of their constructors.
/// Implement it for your own errors where a program opens something in the same way.
///
/// ```
/// use std::fmt;
/// use bellwether_topics::SetupError;
///
/// #[derive(Debug)]
/// struct NoVault;
///
/// impl fmt::Display for NoVault {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("cannot open the vault: it has no door")
///     }
/// }
///
/// impl std::error::Error for NoVault {}
/// impl SetupError for NoVault {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error of the set-up of an application",
    note = "`?` turns errors of I/O, of topics and of brokers into a `bellwether::Error`",
    note = "for others, let the function return `Result<(), Box<dyn std::error::Error>>`, which takes `bellwether::Error` too"
)]
pub trait SetupError: std::error::Error + Send + Sync + 'static {}

impl SetupError for std::io::Error {}
impl SetupError for crate::Error {}
