//! [`BrokerHealth`]: what the log says of a broker: each trouble once when it starts and once when it is over.
//!
//! Publishers may keep an error to themselves, and clients must not see the causes, so this is where an operator reads them.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::broker::BrokerError;
use crate::broker::catch_up::BROKER_TIMEOUT;
use crate::clock;
use crate::lock::{Mutex, lock};

/// How long publishes fail until that is told. Longer than the silence after which the broker counts as lost, which explains
/// failures and is told instead.
const FAILING_AFTER: Duration = BROKER_TIMEOUT.saturating_add(Duration::from_secs(1));
/// How long publishes have to work after a failure until that is told: a small event may find room on a full disk.
const WORKING_AFTER: Duration = Duration::from_secs(3);
/// How often publishes that fail are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The health of a broker, as the two tasks of a node see it.
#[derive(Debug)]
pub(crate) struct BrokerHealth {
    /// Guards what is known; held while that is read or written.
    known: Mutex<Known>,
    failing: Notify,
}

impl BrokerHealth {
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::new(Known::default()),
            failing: Notify::new(),
        }
    }

    /// Notes why the tail has ended.
    pub(crate) fn tail_ended(&self, error: BrokerError) {
        lock(&self.known).tail_error = Some(error);
    }

    /// Notes that nothing was heard for [`BROKER_TIMEOUT`].
    pub(crate) fn silent(&self) {
        let change = lock(&self.known).silent(clock::now());
        tell(change);
    }

    /// Notes a word from the broker.
    pub(crate) fn heard(&self) {
        let change = lock(&self.known).heard(clock::now());
        tell(change);
    }

    /// Notes that the last events could not be stored, or that they could.
    pub(crate) fn published(&self, result: Result<(), String>) {
        let begins = lock(&self.known).published(result, clock::now());
        if begins {
            self.failing.notify_one();
        }
    }

    /// Tells of publishes that fail, for as long as it is polled.
    pub(crate) async fn watch_publishes(&self) {
        loop {
            self.failing.notified().await;
            loop {
                tokio::time::sleep(LOOK).await;
                let (change, is_over) = lock(&self.known).look(clock::now());
                tell(change);
                if is_over {
                    break;
                }
            }
        }
    }
}

/// What the log is told.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Lost { error: String },
    Back { after: Duration },
    Failing { error: String },
    Working { after: Duration },
}

/// Everything that is known; no clock and no I/O.
#[derive(Debug, Default)]
struct Known {
    /// When it was noticed that the broker is silent; `None` while it answers.
    silent_since: Option<Instant>,
    /// Why the last tail ended, since the broker was heard last.
    tail_error: Option<BrokerError>,
    outage: Option<Outage>,
}

/// A time in which publishes fail, though perhaps not each.
#[derive(Debug)]
struct Outage {
    began_at: Instant,
    last_failure_at: Instant,
    error: String,
    /// The last try has worked.
    works: bool,
    is_told: bool,
}

impl Known {
    fn silent(&mut self, now: Instant) -> Option<Change> {
        if self.silent_since.is_some() {
            return None;
        }
        self.silent_since = Some(now);
        let error = match self.tail_error.take() {
            Some(error) => with_causes(&error),
            None => format!("no answer within {BROKER_TIMEOUT:?}"),
        };
        Some(Change::Lost { error })
    }

    fn heard(&mut self, now: Instant) -> Option<Change> {
        self.tail_error = None;
        let silent_since = self.silent_since.take()?;
        // What failed meanwhile is explained, and what fails from now on is another matter.
        self.outage = None;
        let after = now.duration_since(silent_since) + BROKER_TIMEOUT;
        Some(Change::Back { after })
    }

    /// Whether a time of failures begins.
    fn published(&mut self, result: Result<(), String>, now: Instant) -> bool {
        match (&mut self.outage, result) {
            (None, Ok(())) => false,
            (Some(outage), Ok(())) => {
                outage.works = true;
                false
            }
            (Some(outage), Err(error)) => {
                outage.last_failure_at = now;
                outage.error = error;
                outage.works = false;
                false
            }
            (None, Err(error)) => {
                self.outage = Some(Outage {
                    began_at: now,
                    last_failure_at: now,
                    error,
                    works: false,
                    is_told: false,
                });
                true
            }
        }
    }

    /// The change to log now, and whether the checks are over.
    fn look(&mut self, now: Instant) -> (Option<Change>, bool) {
        let is_silent = self.silent_since.is_some();
        let Some(outage) = &mut self.outage else {
            return (None, true);
        };
        let is_over = outage.works && now.duration_since(outage.last_failure_at) >= WORKING_AFTER;
        if is_over {
            let after = outage.last_failure_at.duration_since(outage.began_at);
            let change = outage.is_told.then_some(Change::Working { after });
            self.outage = None;
            return (change, true);
        }
        let is_due = now.duration_since(outage.began_at) >= FAILING_AFTER;
        if outage.works || outage.is_told || is_silent || !is_due {
            return (None, false);
        }
        outage.is_told = true;
        let error = outage.error.clone();
        (Some(Change::Failing { error }), false)
    }
}

fn tell(change: Option<Change>) {
    match change {
        None => {}
        Some(Change::Lost { error }) => tracing::warn!(
            target: "bellwether_topics::health",
            error,
            "the broker does not answer; streams stay open, and publishes fail until it is back: start it, or see why this \
             process cannot reach it"
        ),
        Some(Change::Back { after }) => tracing::info!(
            target: "bellwether_topics::health",
            "the broker answers again after {} s; readers get what they have missed, or a gap",
            after.as_secs()
        ),
        Some(Change::Failing { error }) => tracing::warn!(
            target: "bellwether_topics::health",
            error,
            "publishes fail although the broker answers; reading goes on: the error says what it lacks, mostly room"
        ),
        Some(Change::Working { after }) => tracing::info!(
            target: "bellwether_topics::health",
            "publishes work again after {} s",
            after.as_secs()
        ),
    }
}

/// An error and what is behind it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own message, and some causes the message of their error.
        if cause_text.starts_with(&text) {
            text = cause_text;
        } else if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Result<(), String> {
        Err("the disk is full".to_owned())
    }

    #[test]
    fn what_an_error_and_its_cause_both_say_is_said_once() {
        let of = |message: &str, cause: &'static str| {
            with_causes(&BrokerError::unavailable(message).with_source(cause))
        };
        assert_eq!(of("no answer", "timed out"), "no answer: timed out");
        assert_eq!(
            of("no answer: timed out", "timed out"),
            "no answer: timed out"
        );
        assert_eq!(
            of("free the key", "free the key (WRONGTYPE)"),
            "free the key (WRONGTYPE)"
        );
    }

    #[test]
    fn failing_publishes_are_told_once_and_once_that_they_work() {
        let mut known = Known::default();
        let begin = Instant::now();
        let second = |second| begin + Duration::from_secs(second);
        assert!(known.published(failure(), second(0)));
        assert_eq!(known.look(second(5)), (None, false));
        assert!(!known.published(failure(), second(5)));
        let error = "the disk is full".to_owned();
        assert_eq!(
            known.look(second(6)),
            (Some(Change::Failing { error }), false)
        );
        assert_eq!(known.look(second(60)), (None, false));
        // One that works between others that fail is no end.
        known.published(Ok(()), second(60));
        assert!(!known.published(failure(), second(61)));
        known.published(Ok(()), second(62));
        assert_eq!(known.look(second(63)), (None, false));
        let after = Duration::from_secs(61);
        assert_eq!(
            known.look(second(64)),
            (Some(Change::Working { after }), true)
        );
        assert_eq!(known.look(second(65)), (None, true));
    }

    #[test]
    fn a_lost_broker_explains_failures_and_is_told_alone() {
        let mut known = Known::default();
        let begin = Instant::now();
        let second = |second| begin + Duration::from_secs(second);
        known.tail_error = Some(BrokerError::unavailable("connection refused"));
        assert!(known.published(failure(), second(0)));
        let error = "connection refused".to_owned();
        assert_eq!(known.silent(second(5)), Some(Change::Lost { error }));
        assert_eq!(known.silent(second(10)), None);
        assert_eq!(known.look(second(10)), (None, false));
        let after = Duration::from_secs(12);
        assert_eq!(known.heard(second(12)), Some(Change::Back { after }));
        assert_eq!(known.heard(second(13)), None);
        assert_eq!(known.look(second(13)), (None, true));
    }

    #[test]
    fn a_failure_that_passes_is_left_to_its_publisher() {
        let mut known = Known::default();
        let begin = Instant::now();
        assert!(known.published(failure(), begin));
        known.published(Ok(()), begin);
        assert_eq!(known.look(begin + WORKING_AFTER), (None, true));
        assert!(known.published(failure(), begin + WORKING_AFTER));
    }
}
