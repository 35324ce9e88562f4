//! The timeouts of a connection, as plain functions of what happened and when.
//!
//! A [`ConnectionClock`] holds what the connection is doing and since when. Its owner asks it for the next
//! deadline, keeps one timer for that, and asks again when the timer fires. Moving a deadline
//! forward therefore touches no timer, and an open event stream with nothing to write has none.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::Timeouts;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionPhase {
    /// The TLS handshake runs.
    #[cfg(feature = "tls")]
    Handshake { since: Instant },
    /// The head of a request is awaited or arriving.
    Head { since: Instant },
    /// This many requests wait for their responses or are being answered.
    Busy { requests: u32 },
    /// All requests are answered and no byte of another has come.
    Idle { since: Instant },
    /// HTTP/2: the client was told that the connection ends.
    ShuttingDown { since: Instant },
    /// The socket serves another protocol now and has no deadlines here.
    Upgraded,
}

/// The timeout that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpiredTimeout {
    #[cfg(feature = "tls")]
    Handshake,
    Head,
    Idle,
    Write,
    Goaway,
}

impl ExpiredTimeout {
    /// The name used in logs and as the `reason` label of metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "tls")]
            Self::Handshake => "handshake_timeout",
            Self::Head => "head_timeout",
            Self::Idle => "idle",
            Self::Write => "too_slow",
            Self::Goaway => "goaway_timeout",
        }
    }
}

/// How long a client may take to answer HTTP/2 GOAWAY; a second is many round trips.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// What one connection is doing and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionClock {
    phase: ConnectionPhase,
    /// Since when the socket takes nothing of what was written to it.
    stalled: Option<Instant>,
}

impl ConnectionClock {
    /// A connection that was accepted now and begins with a TLS handshake.
    #[cfg(feature = "tls")]
    pub(super) fn handshake(now: Instant) -> Self {
        Self {
            phase: ConnectionPhase::Handshake { since: now },
            stalled: None,
        }
    }

    /// A connection of which the first head is awaited from now on.
    pub(super) fn head(now: Instant) -> Self {
        Self {
            phase: ConnectionPhase::Head { since: now },
            stalled: None,
        }
    }

    /// A connection that has had an answer and waits for the next request.
    pub(super) fn idle(now: Instant) -> Self {
        Self {
            phase: ConnectionPhase::Idle { since: now },
            stalled: None,
        }
    }

    /// Bytes have come. On HTTP/1 the first one after an answer begins the next head.
    pub(super) fn bytes_read(&mut self, now: Instant) {
        if let ConnectionPhase::Idle { .. } = self.phase {
            self.phase = ConnectionPhase::Head { since: now };
        }
    }

    /// A complete head has come.
    pub(super) fn request_began(&mut self) {
        let requests = match self.phase {
            ConnectionPhase::Busy { requests } => requests + 1,
            _ => 1,
        };
        self.phase = ConnectionPhase::Busy { requests };
    }

    /// A response has been written, or dropped.
    pub(super) fn request_ended(&mut self, now: Instant) {
        if let ConnectionPhase::Busy { requests } = self.phase {
            self.phase = match requests {
                0 | 1 => ConnectionPhase::Idle { since: now },
                _ => ConnectionPhase::Busy {
                    requests: requests - 1,
                },
            };
        }
    }

    /// The socket took nothing. The first refusal since it last took something counts.
    pub(super) fn write_stalled(&mut self, now: Instant) {
        self.stalled.get_or_insert(now);
    }

    /// The socket took something, or all there was.
    pub(super) fn write_advanced(&mut self) {
        self.stalled = None;
    }

    /// The client was told that the connection ends.
    pub(super) fn begin_shutdown(&mut self, now: Instant) {
        self.phase = ConnectionPhase::ShuttingDown { since: now };
    }

    /// The socket was handed over to another protocol.
    pub(super) fn upgrade(&mut self) {
        *self = Self {
            phase: ConnectionPhase::Upgraded,
            stalled: None,
        };
    }

    /// The next timeout to expire, and when.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, ExpiredTimeout)> {
        // A time beyond the range of the clock is no deadline.
        let after = |since: Instant, time, late| since.checked_add(time).map(|at| (at, late));
        let phase = match self.phase {
            #[cfg(feature = "tls")]
            ConnectionPhase::Handshake { since } => {
                after(since, timeouts.tls_handshake, ExpiredTimeout::Handshake)
            }
            ConnectionPhase::Head { since } => after(since, timeouts.head, ExpiredTimeout::Head),
            ConnectionPhase::Idle { since } => after(since, timeouts.idle, ExpiredTimeout::Idle),
            ConnectionPhase::ShuttingDown { since } => {
                after(since, GOAWAY_TIMEOUT, ExpiredTimeout::Goaway)
            }
            ConnectionPhase::Busy { .. } | ConnectionPhase::Upgraded => None,
        };
        let write = self
            .stalled
            .and_then(|since| after(since, timeouts.write_stall, ExpiredTimeout::Write));
        match (phase, write) {
            (Some(phase), Some(write)) => Some(if write.0 <= phase.0 { write } else { phase }),
            (phase, write) => phase.or(write),
        }
    }

    /// The timeout that has expired, if one has.
    pub(super) fn verdict(&self, now: Instant, timeouts: &Timeouts) -> Option<ExpiredTimeout> {
        self.deadline(timeouts)
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, late)| late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn late(clock: &ConnectionClock, now: Instant) -> Option<ExpiredTimeout> {
        clock.verdict(now, &Timeouts::default())
    }

    #[test]
    fn a_dripped_head_is_late_however_many_bytes_came() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        for second in 0..10 {
            clock.bytes_read(start + SECOND * second);
        }
        assert_eq!(late(&clock, start + SECOND * 10 - SECOND / 1000), None);
        assert_eq!(
            late(&clock, start + SECOND * 10),
            Some(ExpiredTimeout::Head)
        );
    }

    #[test]
    fn a_later_head_has_its_time_from_its_own_first_byte() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        clock.request_began();
        clock.request_ended(start + SECOND);
        clock.bytes_read(start + SECOND * 50);
        assert_eq!(late(&clock, start + SECOND * 59), None);
        assert_eq!(
            late(&clock, start + SECOND * 60),
            Some(ExpiredTimeout::Head)
        );
    }

    #[test]
    fn an_answer_that_takes_days_has_no_deadline() {
        let mut clock = ConnectionClock::head(Instant::now());
        clock.request_began();
        assert_eq!(clock.deadline(&Timeouts::default()), None);
    }

    #[test]
    fn idle_time_counts_from_the_end_of_the_last_of_several_answers() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        clock.request_began();
        clock.request_began();
        clock.request_ended(start + SECOND);
        assert_eq!(clock.deadline(&Timeouts::default()), None);
        clock.request_ended(start + SECOND * 2);
        assert_eq!(late(&clock, start + SECOND * 61), None);
        assert_eq!(
            late(&clock, start + SECOND * 62),
            Some(ExpiredTimeout::Idle)
        );
    }

    #[test]
    fn a_stall_counts_from_the_last_byte_that_the_socket_took() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        clock.request_began();
        clock.write_stalled(start);
        clock.write_stalled(start + SECOND * 20);
        assert_eq!(
            late(&clock, start + SECOND * 30),
            Some(ExpiredTimeout::Write)
        );
        clock.write_advanced();
        assert_eq!(late(&clock, start + SECOND * 30), None);
        clock.write_stalled(start + SECOND * 30);
        assert_eq!(late(&clock, start + SECOND * 59), None);
    }

    #[test]
    fn the_earlier_of_two_deadlines_counts() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        clock.write_stalled(start);
        assert_eq!(
            clock.deadline(&Timeouts::default()),
            Some((start + SECOND * 10, ExpiredTimeout::Head))
        );
    }

    #[test]
    fn a_time_beyond_every_clock_is_no_deadline() {
        let clock = ConnectionClock::head(Instant::now());
        assert_eq!(
            clock.deadline(&Timeouts::default().head(Duration::MAX)),
            None
        );
    }

    #[test]
    fn an_upgraded_socket_has_no_deadlines() {
        let start = Instant::now();
        let mut clock = ConnectionClock::head(start);
        clock.write_stalled(start);
        clock.upgrade();
        clock.bytes_read(start);
        assert_eq!(clock.deadline(&Timeouts::default()), None);
    }
}
