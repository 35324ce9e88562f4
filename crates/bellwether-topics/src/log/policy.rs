//! [`Policy`]: what happens to a reader that is too slow. Pure.
//!
//! A reader is a cursor over a shared log, so every policy is a move of the cursor. Nothing is ever queued for a
//! reader, so a reader that is behind costs no more than one that is not.

use std::time::Duration;

/// What to do with a reader that is behind.
///
/// Behind means: the log has removed events that the reader had not read yet, or more events or bytes wait for it than
/// its [`Policy`] allows. A reader that replays history after a reconnect is not measured against those bounds until it
/// has caught up once; otherwise it would be disconnected for what it came back to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slow {
    /// End the stream. The client comes back with its last id, and gets a gap if events are lost by then.
    ///
    /// For streams in which every event counts. Costs the client a reconnect.
    #[default]
    Disconnect,
    /// Deliver a gap (`lag`) and go on with the next event published.
    ///
    /// For streams in which old events are worth nothing: a live video's comments, a log tail.
    SkipToLatest,
    /// Deliver only the newest event of each conflation key, in the order of the log.
    ///
    /// For values that replace one another: prices, positions, progress. Events without a key are all delivered. The
    /// newest event of a key is kept even when the history has let it go, bounded by
    /// [`Retention::max_keys`](crate::Retention::max_keys); the reader gets a gap only if those bounds were reached.
    LatestPerKey,
}

/// A [`Slow`] and the bounds beyond which it applies.
///
/// ```
/// use bellwether_topics::Policy;
///
/// let policy = Policy::skip_to_latest().max_lag_events(500);
/// assert_eq!(Policy::default(), Policy::disconnect());
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) slow: Slow,
    pub(crate) max_lag_events: u64,
    pub(crate) max_lag_bytes: u64,
    pub(crate) retry: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self::disconnect()
    }
}

impl Policy {
    const fn new(slow: Slow, max_lag_events: u64) -> Self {
        Self {
            slow,
            max_lag_events,
            max_lag_bytes: u64::MAX,
            retry: Duration::from_secs(2),
        }
    }

    /// [`Slow::Disconnect`], once the history has moved past the reader.
    pub const fn disconnect() -> Self {
        Self::new(Slow::Disconnect, u64::MAX)
    }

    /// [`Slow::SkipToLatest`], once the history has moved past the reader.
    pub const fn skip_to_latest() -> Self {
        Self::new(Slow::SkipToLatest, u64::MAX)
    }

    /// [`Slow::LatestPerKey`], as soon as more than one event waits.
    pub const fn latest_per_key() -> Self {
        Self::new(Slow::LatestPerKey, 1)
    }

    /// Maximum number of events that wait for the reader before the policy applies.
    ///
    /// Default: no bound but the history's own; one event for [`latest_per_key`](Self::latest_per_key). Events that a
    /// filter rejects count too, since the reader must read them. Zero makes every reader slow that still has something
    /// to read when an event is published.
    #[must_use]
    pub const fn max_lag_events(mut self, events: u64) -> Self {
        self.max_lag_events = events;
        self
    }

    /// Maximum size of the encoded events that wait for the reader before the policy applies, in bytes.
    ///
    /// Default: no bound but the history's own.
    #[must_use]
    pub const fn max_lag_bytes(mut self, bytes: u64) -> Self {
        self.max_lag_bytes = bytes;
        self
    }

    /// Delay that a disconnected client waits before it comes back. Default: 2 s.
    #[must_use]
    pub const fn retry(mut self, delay: Duration) -> Self {
        self.retry = delay;
        self
    }

    /// The rule for slow readers.
    pub const fn slow(&self) -> Slow {
        self.slow
    }

    /// The delay that a disconnected client waits before it comes back.
    pub const fn retry_delay(&self) -> Duration {
        self.retry
    }
}

/// How far a reader is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) lag_events: u64,
    pub(crate) lag_bytes: u64,
    /// Whether the history still has every event that waits for the reader.
    pub(crate) is_complete: bool,
    /// Whether it still has the newest one of each key, and every one without a key.
    pub(crate) is_complete_per_key: bool,
    /// Whether the reader has caught up once.
    pub(crate) was_live: bool,
}

/// What a reader does next, as its policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Read what waits.
    Read,
    /// Read the newest of each key.
    ReadLatest,
    /// Deliver a gap, then read what is left in the history.
    GapThenRest,
    /// Deliver a gap, then wait for what comes next.
    GapThenLatest,
    /// End the stream.
    Disconnect,
}

impl Policy {
    /// Whether only the history's own bounds apply, so that the lag need not be counted.
    pub(crate) fn is_unbounded(&self) -> bool {
        self.max_lag_events == u64::MAX && self.max_lag_bytes == u64::MAX
    }

    pub(crate) fn decide(&self, now: Situation) -> Decision {
        let is_over = now.lag_events > self.max_lag_events || now.lag_bytes > self.max_lag_bytes;
        match self.slow {
            Slow::Disconnect | Slow::SkipToLatest
                if now.is_complete && !(is_over && now.was_live) =>
            {
                Decision::Read
            }
            Slow::Disconnect => Decision::Disconnect,
            Slow::SkipToLatest => Decision::GapThenLatest,
            Slow::LatestPerKey if now.is_complete && !is_over => Decision::Read,
            Slow::LatestPerKey if now.is_complete_per_key => Decision::ReadLatest,
            Slow::LatestPerKey => Decision::GapThenRest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TIME: Situation = Situation {
        lag_events: 3,
        lag_bytes: 300,
        is_complete: true,
        is_complete_per_key: true,
        was_live: true,
    };

    #[test]
    fn a_reader_within_its_bounds_reads() {
        for policy in [
            Policy::disconnect().max_lag_events(3).max_lag_bytes(300),
            Policy::skip_to_latest().max_lag_events(3),
            Policy::latest_per_key().max_lag_events(3),
        ] {
            assert_eq!(policy.decide(IN_TIME), Decision::Read);
        }
    }

    #[test]
    fn a_reader_beyond_its_bounds_meets_its_policy() {
        for over in [
            Policy::disconnect().max_lag_events(2),
            Policy::disconnect().max_lag_bytes(299),
        ] {
            assert_eq!(over.decide(IN_TIME), Decision::Disconnect);
        }
        let skip = Policy::skip_to_latest().max_lag_events(2);
        assert_eq!(skip.decide(IN_TIME), Decision::GapThenLatest);
        assert_eq!(
            Policy::latest_per_key().decide(IN_TIME),
            Decision::ReadLatest
        );
    }

    #[test]
    fn a_reader_that_replays_is_not_slow() {
        let replaying = Situation {
            was_live: false,
            ..IN_TIME
        };
        let policy = Policy::disconnect().max_lag_events(0).max_lag_bytes(0);
        assert_eq!(policy.decide(replaying), Decision::Read);
    }

    #[test]
    fn a_reader_that_the_log_has_passed_never_just_reads() {
        let passed = Situation {
            lag_events: 0,
            lag_bytes: 0,
            is_complete: false,
            is_complete_per_key: false,
            was_live: false,
        };
        assert_eq!(Policy::disconnect().decide(passed), Decision::Disconnect);
        assert_eq!(
            Policy::skip_to_latest().decide(passed),
            Decision::GapThenLatest
        );
        assert_eq!(
            Policy::latest_per_key().decide(passed),
            Decision::GapThenRest
        );
        let keyed = Situation {
            is_complete_per_key: true,
            ..passed
        };
        assert_eq!(Policy::latest_per_key().decide(keyed), Decision::ReadLatest);
    }
}
