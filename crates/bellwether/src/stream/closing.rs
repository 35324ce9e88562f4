//! How a stream closes: the reason, and the time after which the client reconnects.
//!
//! Reconnects are spread, so that the server that takes them does not meet all of them in one moment.

use std::time::Duration;

use bellwether_wire::{ServerSentEvent, event_id, event_name};
use tokio::time::Instant;

use super::{CloseReason, DrainPlan};

/// The minimum reconnection time that a stop sends.
const MIN_RETRY_AFTER_STOP: Duration = Duration::from_secs(1);

/// Reconnects after a stop spread over at least this time.
const RETRY_SPREAD_AFTER_STOP: Duration = Duration::from_secs(2);

/// This part of the spread is added to each stream's delay at random.
const RETRY_JITTER: f64 = 0.25;

/// The id and name of the event that ends a finished stream; a reconnect that brings it gets 204.
pub(crate) const FINISHED: &str = "bellwether.finished";

/// The client of a finished stream asks again after a time between this and twice as much. The 204 then
/// closes an `EventSource`; clients that treat a 204 as a fault go on asking at this pace.
const MIN_RETRY_AFTER_FINISH: Duration = Duration::from_secs(15);

/// How a stream ends whose subscription was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscriptionEnd {
    pub(crate) reason: CloseReason,
    /// The reconnection time that the client is sent. `None` leaves the one before.
    pub(crate) retry: Option<Duration>,
}

impl DrainPlan {
    /// The reconnection time for the client of a stream that a stop ends now.
    ///
    /// Each stream has one moment at which its client is to be back, and `share` spreads these moments evenly. What is
    /// left of the time until then is the delay, so ends and delays do not add up to a hill. A little of the delay is
    /// the stream's own: clients whose streams end together do not reconnect together.
    pub(crate) fn retry(&self, now: Instant, share: f32) -> Duration {
        let range = self.spread().max(RETRY_SPREAD_AFTER_STOP);
        let share = f64::from(share);
        let own = (share * 1009.0).fract();
        let back = range.mul_f64(share) + range.mul_f64(own * RETRY_JITTER);
        let gone = now.saturating_duration_since(self.began);
        MIN_RETRY_AFTER_STOP + back.saturating_sub(gone)
    }
}

/// Appends the last event of a finished stream.
///
/// It has data, since Firefox and WebKit lose the id of a block without, and the data is JSON, since many readers parse
/// whatever comes. `share` spreads the reconnects.
pub(crate) fn write_finished(out: &mut Vec<u8>, share: f32) {
    let event = ServerSentEvent::text("{}")
        .event(event_name!("bellwether.finished"))
        .retry(MIN_RETRY_AFTER_FINISH.mul_f32(1.0 + share))
        .id(event_id!("bellwether.finished"));
    // Text data and a checked id always encode.
    let _ = event.encode_into(out);
}

/// Appends the reconnection time: a line without a blank line behind it, which many clients would take for an event.
pub(crate) fn write_retry(out: &mut Vec<u8>, delay: Duration) {
    // An event that holds only a delay always encodes.
    let _ = ServerSentEvent::new().retry(delay).encode_into(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_after_a_stop_are_spread_evenly_whatever_the_number_of_streams() {
        let began = Instant::now();
        for streams in [1, 50, 1_200, 5_000, 100_000] {
            let plan = DrainPlan {
                began,
                window: Duration::from_secs(10),
                streams,
            };
            let mut buckets = [0_u32; 25];
            let range = plan.spread().max(RETRY_SPREAD_AFTER_STOP);
            for n in 0..2_000_u16 {
                let share = f32::from(n) / 2_000.0;
                let ends = plan.moment(share);
                let back = ends + plan.retry(ends, share) - MIN_RETRY_AFTER_STOP;
                let bucket = (back - began).as_secs_f64() / range.as_secs_f64() * 20.0;
                buckets[(bucket as usize).min(24)] += 1;
            }
            // On the average 80 in each.
            assert!(
                buckets.iter().all(|count| *count <= 120),
                "{streams}: {buckets:?}"
            );
        }
    }

    #[test]
    fn streams_that_end_at_once_come_back_spread_as_well() {
        let plan = DrainPlan {
            began: Instant::now(),
            window: Duration::from_secs(10),
            streams: 1_200,
        };
        let delay = |share| plan.retry(plan.began, share);
        assert_eq!(delay(0.0), Duration::from_secs(1));
        assert!(delay(0.5) >= Duration::from_secs(4) && delay(0.5) < Duration::from_millis(5500));
        let late = plan.began + Duration::from_secs(60);
        assert_eq!(plan.retry(late, 0.5), Duration::from_secs(1));
    }
}
