//! [`Retention`]: how much history a log keeps in memory.

use std::time::Duration;

/// The bounds of a log's history in memory. Whichever is reached first removes the oldest events.
///
/// All topics of one [`Topics`](crate::Topics) share one log, and these bounds are the log's: the memory that history
/// takes is at most `max_bytes`, plus `max_keys` and `max_key_bytes` per topic that uses conflation keys and is in use.
/// With a durable broker this is only the part that readers share in memory; the broker's own settings decide how long
/// events are kept.
///
/// The age is checked when something is published and when a subscription is opened, so a log without either keeps its
/// last events longer.
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

    /// Maximum number of events that are kept, at least one. Default: 16,384.
    ///
    /// With too few, a burst overtakes readers that are merely a moment late. More cost up to
    /// [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub const fn max_events(mut self, events: usize) -> Self {
        self.max_events = if events == 0 { 1 } else { events };
        self
    }

    /// Maximum memory of the events that are kept, in bytes, with about 320 bytes of overhead for each event. Default:
    /// 16 MiB. The newest event stays even if it alone takes more.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Maximum age of an event. Default: one hour. A reader that comes back later gets a gap.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Maximum number of conflation keys per topic whose newest event is kept beyond the history. Default: 1,024. With
    /// fewer than a topic has, a slow reader gets a gap once an event of another key is lost.
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Maximum memory of those newest events per topic, in bytes. Default: 1 MiB. Worst-case memory is this number
    /// times the topics that use conflation keys and are in use.
    #[must_use]
    pub const fn max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = bytes;
        self
    }
}
