//! The failure of a stream: one error, also for a panic, and its text for the log.

use std::any::Any;
use std::error::Error;
use std::fmt;

/// The error of a producer.
pub(crate) type StreamError = Box<dyn Error + Send + Sync>;

/// The error of a generator that panicked.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> StreamError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    match message {
        Some(message) => format!("the generator panicked: {message}").into(),
        None => "the generator panicked".into(),
    }
}

/// An error with all its sources, for one line of a log.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
