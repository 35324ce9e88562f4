//! What a failed stream leaves: one error, also for a panic, and its text for the log.

use std::any::Any;
use std::error::Error;
use std::fmt;

use axum::BoxError;

use crate::lifecycle::StreamGuard;

/// The error of a generator that panicked.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> BoxError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    match message {
        Some(message) => format!("the generator panicked: {message}").into(),
        None => "the generator panicked".into(),
    }
}

/// Logs the error of a stream with its causes, once.
pub(crate) fn log_failure(guard: &StreamGuard, error: &BoxError) {
    tracing::error!(
        target: "bellwether::stream",
        path = guard.path(),
        error = %Chain(error),
        "stream failed"
    );
}

/// An error with all its sources, for one line of a log.
struct Chain<'a>(&'a BoxError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause: Option<&(dyn Error + 'static)> = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
