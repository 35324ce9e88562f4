//! Warns of a generator that blocks its thread, in debug builds.
//!
//! A call that blocks inside a generator stops every stream and request of its thread, and nothing shows which one it
//! is. So a debug build logs it, once for each route.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest time that one poll of a generator may take without a warning.
const TOO_LONG: Duration = Duration::from_millis(200);

/// Watches one poll, until it is dropped.
#[must_use]
pub(super) struct Watch<'a> {
    path: &'a str,
    began: Option<Instant>,
}

/// Begins to watch a poll of a generator of this route.
pub(super) fn watch(path: &str) -> Watch<'_> {
    Watch {
        path,
        began: cfg!(debug_assertions).then(Instant::now),
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        if took > TOO_LONG && is_first(self.path) {
            tracing::warn!(
                target: "bellwether::stream",
                path = self.path,
                ?took,
                "a generator holds its thread, and other requests wait for it: use async calls such as tokio's `sleep`, \
                 or `spawn_blocking`"
            );
        }
    }
}

/// Whether the route was not named before.
fn is_first(path: &str) -> bool {
    static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    !named.contains(path) && named.insert(path.to_owned())
}
