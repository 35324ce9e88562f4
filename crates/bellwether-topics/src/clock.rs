//! The clock of everything here that is not pure: tokio's, so that a test which pauses it pauses the whole crate.

use std::time::Instant;

/// Now. Works without a runtime too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
