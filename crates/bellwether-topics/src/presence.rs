//! Who is subscribed: registrations, their bounds, and sending a subject away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::error::{Error, Kind};
use crate::lock::{Mutex, lock};

/// A subscriber that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// Who it is, if the application said so.
    pub subject: Option<Arc<str>>,
    /// The names of the topics that it reads.
    pub topics: Arc<[Arc<str>]>,
    /// When it subscribed.
    pub since: SystemTime,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was dropped: its client left.
    Left,
    /// It was too slow for its policy.
    TooSlow,
    /// Its subject was sent away by [`Topics::kick`](crate::Topics::kick).
    Kicked,
    /// Its right to read ended.
    Expired,
    /// The topics were closed: the process is stopping.
    Stopping,
    /// History was lost, and it was set to end then.
    Gap,
}

impl CloseReason {
    /// Every reason, in a stable order.
    pub const ALL: [Self; 6] = [
        Self::Left,
        Self::TooSlow,
        Self::Kicked,
        Self::Expired,
        Self::Stopping,
        Self::Gap,
    ];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TooSlow => "too_slow",
            Self::Kicked => "kicked",
            Self::Expired => "expired",
            Self::Stopping => "stopping",
            Self::Gap => "gap",
        }
    }
}

/// A subscription's entry here.
#[derive(Debug)]
pub(crate) struct Registration {
    index: u32,
    pub(crate) subscriber: Subscriber,
    is_kicked: AtomicBool,
}

impl Registration {
    pub(crate) fn is_kicked(&self) -> bool {
        self.is_kicked.load(Ordering::Acquire)
    }
}

/// All registrations. The lock guards them and is never held together with another one.
#[derive(Debug, Default)]
pub(crate) struct Registrations(Mutex<PresenceState>);

#[derive(Debug, Default)]
struct PresenceState {
    registrations: Vec<Option<Arc<Registration>>>,
    free: Vec<u32>,
    per_topic: HashMap<Arc<str>, usize>,
    per_subject: HashMap<Arc<str>, Vec<u32>>,
}

/// How many registrations there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriberLimits {
    pub(crate) total: usize,
    pub(crate) per_topic: usize,
}

impl Registrations {
    pub(crate) fn take(
        &self,
        subscriber: Subscriber,
        limits: SubscriberLimits,
    ) -> Result<Arc<Registration>, Error> {
        let mut state = lock(&self.0);
        let state = &mut *state;
        if state.registrations.len() - state.free.len() >= limits.total {
            return Err(Error::from(Kind::Limit {
                what: "subscribers",
                max: limits.total,
            }));
        }
        let is_full = |topic| {
            state
                .per_topic
                .get(topic)
                .is_some_and(|count| *count >= limits.per_topic)
        };
        if subscriber.topics.iter().any(is_full) {
            return Err(Error::from(Kind::Limit {
                what: "subscribers of a topic",
                max: limits.per_topic,
            }));
        }
        for topic in subscriber.topics.iter() {
            *state.per_topic.entry(topic.clone()).or_default() += 1;
        }
        let index = state.free.pop().unwrap_or_else(|| {
            state.registrations.push(None);
            (state.registrations.len() - 1) as u32
        });
        if let Some(subject) = &subscriber.subject {
            let registrations = state.per_subject.entry(subject.clone()).or_default();
            registrations.push(index);
        }
        let registration = Arc::new(Registration {
            index,
            subscriber,
            is_kicked: AtomicBool::new(false),
        });
        state.registrations[index as usize] = Some(registration.clone());
        Ok(registration)
    }

    pub(crate) fn leave(&self, registration: &Registration) {
        let mut state = lock(&self.0);
        let state = &mut *state;
        state.registrations[registration.index as usize] = None;
        state.free.push(registration.index);
        for topic in registration.subscriber.topics.iter() {
            if let Some(count) = state.per_topic.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    state.per_topic.remove(topic);
                }
            }
        }
        if let Some(subject) = &registration.subscriber.subject
            && let Some(registrations) = state.per_subject.get_mut(subject)
        {
            registrations.retain(|index| *index != registration.index);
            if registrations.is_empty() {
                state.per_subject.remove(subject);
            }
        }
    }

    /// Marks a subject's registrations. Their subscriptions notice when they are woken.
    pub(crate) fn kick(&self, subject: &str) -> usize {
        let state = lock(&self.0);
        let Some(indexes) = state.per_subject.get(subject) else {
            return 0;
        };
        let registrations = indexes
            .iter()
            .filter_map(|index| state.registrations[*index as usize].as_ref());
        registrations
            .map(|registration| registration.is_kicked.store(true, Ordering::Release))
            .count()
    }

    pub(crate) fn count(&self) -> usize {
        let state = lock(&self.0);
        state.registrations.len() - state.free.len()
    }

    pub(crate) fn count_of(&self, topic: &str) -> usize {
        lock(&self.0).per_topic.get(topic).copied().unwrap_or(0)
    }

    pub(crate) fn list(&self) -> Vec<Subscriber> {
        let state = lock(&self.0);
        let present = state.registrations.iter().flatten();
        present
            .map(|registration| registration.subscriber.clone())
            .collect()
    }
}
