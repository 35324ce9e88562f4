//! [`Retention`]: how much history a log keeps in memory.

use std::time::Duration;

/// The bounds of a log's history in memory. Whichever is reached first removes the oldest events.
///
/// All topics of one [`Topics`](crate::Topics) share one log, and these bounds are the log's: the memory that history
/// takes is at most `max_bytes`, plus `max_keys` and `max_key_bytes` per topic that uses conflation keys and is in use.
/// With a durable broker this is just the part that readers share in memory; how long events live is the broker's
/// setting.
///
/// Age is looked at when something is published and when a subscription begins, so a log in which nothing happens keeps
/// its last events longer.
///
/// ```
/// use bellwether_topics::{Retention, Topics};
/// use std::time::Duration;
///
/// let retention = Retention::new().max_events(1_000).max_age(Duration::from_secs(60));
/// let topics = Topics::builder().retention(retention).build();
/// # let _ = topics;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_age: Duration,
    pub(crate) max_keys: usize,
    pub(crate) max_key_bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}

impl Retention {
    /// The defaults: 16,384 events, 16 MiB, one hour; 1,024 keys and 1 MiB per topic for conflation.
    pub const fn new() -> Self {
        Self {
            max_events: 16_384,
            max_bytes: 16 << 20,
            max_age: Duration::from_secs(3600),
            max_keys: 1024,
            max_key_bytes: 1 << 20,
        }
    }

    /// The most events kept, at least one. Default: 16,384.
    ///
    /// Too few, and a burst overtakes readers that are merely a moment late.
    #[must_use]
    pub const fn max_events(mut self, events: usize) -> Self {
        self.max_events = if events == 0 { 1 } else { events };
        self
    }

    /// The most memory that kept events take, in bytes, overhead of about 320 bytes per event included. The newest
    /// event stays even if it alone takes more. Default: 16 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long an event is kept. Default: one hour.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// The most conflation keys per topic whose newest event is kept beyond the history. Default: 1,024.
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// The most memory per topic that such newest events take, in bytes. Default: 1 MiB.
    #[must_use]
    pub const fn max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = bytes;
        self
    }
}
