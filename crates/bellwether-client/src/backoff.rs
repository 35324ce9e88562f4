//! [`Retry`]: whether to try again, and how long to wait before that. Pure: random numbers and counts are arguments.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;

/// When and how often an [`EventSource`](crate::EventSource) connects again.
///
/// The wait before a reconnect has two parts. The first is the reconnection time: what the stream said by `retry:`, or
/// [`reconnection_time`](Self::reconnection_time), and never less than [`min_delay`](Self::min_delay). The second comes
/// on top and is random. It is at most a tenth of the first after a connection that brought an event. After `n`
/// failures without an event in between it is anything up to `backoff` doubled `n` − 1 times ("full jitter"), at most
/// `max_backoff`. A `Retry-After` of a refused request is a floor for both together. So a client never reconnects
/// before the time that the server asked for, and a thousand clients never reconnect at once.
///
/// A failure is a connection that brings no event: a network error, a timeout, a status that is tried again, a stream
/// that ends without an event. Only an event resets the count; an answer with 200 does not, since a server that opens
/// every stream and ends it at once would be asked without pause.
///
/// ```
/// use std::time::Duration;
/// use bellwether_client::Retry;
///
/// let retry = Retry::default().unavailable().max_backoff(Duration::from_secs(10)).max_failures(5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub(crate) reconnection_time: Duration,
    pub(crate) min_delay: Duration,
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) max_failures: Option<u32>,
    statuses: BTreeSet<u16>,
    has_jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            reconnection_time: Duration::from_secs(3),
            min_delay: Duration::from_millis(500),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            max_failures: None,
            statuses: BTreeSet::new(),
            has_jitter: true,
        }
    }
}

impl Retry {
    /// Time that the source waits before it reconnects a stream that has set none by `retry:`. Default: 3 s,
    /// as in Chromium and WebKit.
    #[must_use]
    pub fn reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// Minimum time between two connections, whatever a stream's `retry:` says. Default: 500 ms, as in
    /// Firefox.
    ///
    /// With zero, a server that sends `retry: 0` and ends each stream is asked as fast as the network allows.
    #[must_use]
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.min_delay = delay;
        self
    }

    /// Maximum of the random wait that is added after the first failure. It doubles with each further
    /// failure. Default: 1 s. Zero adds nothing, so that all clients of a failed server ask it at the same
    /// pace.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Maximum of the random wait after many failures. Default: 30 s.
    ///
    /// It is the longest time after which a client notices that the server is back. A short time loads a
    /// server that is starting.
    #[must_use]
    pub fn max_backoff(mut self, backoff: Duration) -> Self {
        self.max_backoff = backoff;
        self
    }

    /// Maximum number of failures in a row. The source then ends with
    /// [`Error::has_given_up`](crate::Error::has_given_up). Default: no limit. With 1 the first failure is
    /// final; 0 counts as 1.
    #[must_use]
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.max_failures = Some(failures.max(1));
        self
    }

    /// HTTP status on which the source tries again instead of ending. Default: none, as the standard says.
    ///
    /// 200 and 204 keep their meaning, and a redirect is followed: naming those here has no effect.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.statuses.insert(status.as_u16());
        self
    }

    /// Tries again on 429, 500, 502, 503 and 504, which a load balancer sends while a service restarts.
    #[must_use]
    pub fn unavailable(mut self) -> Self {
        self.statuses.extend([429, 500, 502, 503, 504]);
        self
    }

    /// Waits exactly the lower bound of each wait, and the doubled backoff in full. This is for a single
    /// client and for tests: many clients without jitter reconnect in the same moment.
    #[must_use]
    pub fn no_jitter(mut self) -> Self {
        self.has_jitter = false;
        self
    }

    /// Whether a request that was refused with this status is made again.
    pub(crate) fn is_retried(&self, status: StatusCode) -> bool {
        status != StatusCode::OK
            && status != StatusCode::NO_CONTENT
            && self.statuses.contains(&status.as_u16())
    }

    /// How long to wait.
    ///
    /// `failures` counts those in a row, `told` is the stream's `retry:`, `floor` the `Retry-After`, and `chance` is
    /// between 0 and 1.
    pub(crate) fn delay(
        &self,
        failures: u32,
        told: Option<Duration>,
        floor: Option<Duration>,
        chance: f64,
    ) -> Duration {
        let base = told.unwrap_or(self.reconnection_time).max(self.min_delay);
        let base = base.max(floor.unwrap_or_default());
        let chance = chance.clamp(0.0, 1.0);
        let more = match failures {
            0 if self.has_jitter => base.div_f64(10.0).mul_f64(chance),
            0 => Duration::ZERO,
            _ => {
                let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                let span = self.backoff.saturating_mul(doubled).min(self.max_backoff);
                match self.has_jitter {
                    true => span.mul_f64(chance),
                    false => span,
                }
            }
        };
        base.saturating_add(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_failures_the_wait_is_what_the_stream_said_and_at_most_a_tenth_more() {
        let retry = Retry::default();
        assert_eq!(retry.delay(0, None, None, 0.0), 3 * SECOND);
        assert_eq!(retry.delay(0, Some(10 * SECOND), None, 0.0), 10 * SECOND);
        assert_eq!(retry.delay(0, Some(10 * SECOND), None, 1.0), 11 * SECOND);
        assert_eq!(
            retry.no_jitter().delay(0, Some(10 * SECOND), None, 1.0),
            10 * SECOND
        );
    }

    #[test]
    fn a_stream_cannot_ask_for_less_than_the_minimum() {
        let told = Some(Duration::ZERO);
        assert_eq!(Retry::default().delay(0, told, None, 0.0), SECOND / 2);
        let eager = Retry::default().min_delay(Duration::ZERO);
        assert_eq!(eager.delay(0, told, None, 1.0), Duration::ZERO);
    }

    #[test]
    fn failures_double_the_random_part_up_to_its_bound() {
        let retry = Retry::default();
        let spans = [1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|n| retry.delay(n, None, None, 1.0));
        let expected = [1, 2, 4, 8, 16, 30, 30, 30].map(|s| (3 + s) * SECOND);
        assert_eq!(spans, expected);
        assert_eq!(retry.delay(7, None, None, 0.0), 3 * SECOND, "full jitter");
        assert_eq!(retry.delay(2, None, None, 0.5), 4 * SECOND);
        assert_eq!(retry.no_jitter().delay(2, None, None, 0.5), 5 * SECOND);
    }

    #[test]
    fn retry_after_is_a_floor_and_never_a_shortcut() {
        let retry = Retry::default();
        let wait = retry.delay(1, None, Some(60 * SECOND), 0.0);
        assert_eq!(wait, 60 * SECOND);
        assert_eq!(retry.delay(1, None, Some(SECOND), 0.0), 3 * SECOND);
        assert!(retry.delay(1, None, Some(Duration::MAX), 1.0) >= Duration::MAX / 2);
    }

    #[test]
    fn only_named_statuses_are_tried_again() {
        let ask = |retry: &Retry, status| retry.is_retried(StatusCode::from_u16(status).unwrap());
        let unavailable = Retry::default().unavailable();
        for status in [429, 500, 502, 503, 504] {
            assert!(!ask(&Retry::default(), status));
            assert!(ask(&unavailable, status));
        }
        for status in [204, 400, 401, 404, 501, 505] {
            assert!(!ask(&unavailable, status));
        }
        let no_content = Retry::default().status(StatusCode::NO_CONTENT);
        assert!(!ask(&no_content, 204));
    }
}
