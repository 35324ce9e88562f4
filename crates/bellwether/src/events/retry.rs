//! When a client comes back: the `retry:` that it is told when a stream begins and when a stop ends it.
//!
//! Never the same for all, so that whoever takes the reconnects is not met by all in one moment.

use std::time::Duration;

use bellwether_wire::ServerSentEvent;

use crate::lifecycle::DrainPlan;

/// Until the client is told otherwise, it comes back after a time between this and twice as much, so that all clients of
/// a server that was killed do not come back at once.
const SOONEST_AT_FIRST: Duration = Duration::from_secs(2);

/// A stop tells no client to come back earlier.
const SOONEST_AFTER_STOP: Duration = Duration::from_secs(1);

/// The time after which the client of one subscription comes back, told at the beginning.
pub(super) fn first_retry() -> Duration {
    SOONEST_AT_FIRST.mul_f64(1.0 + fastrand::f64())
}

impl DrainPlan {
    /// The time after which the client of one stream comes back that the stop has ended.
    pub(super) fn retry(&self) -> Duration {
        let range = self.spread().max(Duration::from_secs(2));
        SOONEST_AFTER_STOP + range.mul_f64(fastrand::f64())
    }
}

/// Appends when to come back.
pub(super) fn write_retry(out: &mut Vec<u8>, delay: Duration) {
    // An event that holds only a delay always encodes.
    let _ = ServerSentEvent::new().retry(delay).encode_into(out);
}
