//! The clock of the shell around the pure parts: tokio's, so that tests which pause it pause all of this crate.

use std::time::Instant;

/// Now. Works without a runtime too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
