//! How the process ends: exit codes for scripts, and [`Failure`], which prints its reason once.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::show;

/// The server refused, or input could not be read or sent.
pub(crate) const REFUSED: u8 = 1;
/// The arguments make no sense; clap ends with it too.
pub(crate) const USAGE: u8 = 2;
/// There was no connection, or it broke, and none is to be made again.
pub(crate) const NO_CONNECTION: u8 = 3;
/// Ended by Ctrl-C, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub(crate) const TERMINATED: u8 = 143;

/// Why a command ends before its time.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// `None` where there is nothing to say.
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: Some(message.to_string()),
        }
    }

    /// Standard output cannot be written. A reader that has left has got what it wanted.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                code: 0,
                message: None,
            };
        }
        Self::new(REFUSED, format_args!("cannot write the output: {error}"))
    }

    /// Says why on standard error, and gives the exit code.
    pub(crate) fn tell(self) -> ExitCode {
        if let Some(message) = self.message {
            print_error(&message);
        }
        ExitCode::from(self.code)
    }
}

/// Writes one line to standard error. That it may be closed is no reason to stop.
pub(crate) fn print_error(message: &str) {
    let text = show::plain(message);
    let _ = writeln!(anstream::stderr().lock(), "bellwether: {text}");
}

/// An error with all its causes in one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own message.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Ends the process on Ctrl-C or SIGTERM, from another thread than the one that may be stuck in a full pipe.
///
/// Each event is written and flushed as a whole, so there is nothing left to do.
pub(crate) async fn end_on_signal() {
    let code = tokio::select! {
        signal = tokio::signal::ctrl_c() => signal.ok().map(|()| INTERRUPTED),
        () = terminated() => Some(TERMINATED),
    };
    if let Some(code) = code {
        std::process::exit(code.into());
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_left_is_no_failure() {
        let left = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((left.code, left.message), (0, None));
        let full = Failure::output(&io::ErrorKind::StorageFull.into());
        assert_eq!(full.code, REFUSED);
    }

    #[test]
    fn causes_are_joined_and_not_repeated() {
        let inner = io::Error::other("the wire is cut");
        assert_eq!(with_causes(&io::Error::other(inner)), "the wire is cut");
    }
}
