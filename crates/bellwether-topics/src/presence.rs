//! Who is subscribed: registrations, their bounds, and kicking a subject.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::error::{Error, Kind};
use crate::lock::{Mutex, lock};

/// An open subscription, as an application sees it.
///
/// ```
/// use bellwether_topics::Topics;
///
/// let topics = Topics::new();
/// let reader = topics.subscribe(["news", "weather"]).subject("user 17").open()?;
/// let present = topics.subscribers();
/// assert_eq!(present[0].subject.as_deref(), Some("user 17"));
/// assert_eq!(present[0].topics.len(), 2);
/// # drop(reader);
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// Who reads, if the application set it by [`Subscribe::subject`](crate::Subscribe::subject).
    pub subject: Option<Arc<str>>,
    /// The names of the topics that the subscription reads.
    pub topics: Arc<[Arc<str>]>,
    /// When the subscription was opened.
    pub since: SystemTime,
}

/// Why a subscription ended.
///
/// ```
/// use bellwether_topics::{CloseReason, Taken, Topics};
///
/// let topics = Topics::new();
/// let mut reader = topics.topic("news")?.subscribe().subject("user 17").open()?;
/// assert_eq!(topics.kick("user 17"), 1);
/// assert_eq!(reader.try_frames(65_536, &mut Vec::new()), Taken::Closed);
/// assert_eq!(reader.close_reason(), Some(CloseReason::Kicked));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The subscription was dropped: its client left.
    Left,
    /// The reader was too slow for its policy.
    TooSlow,
    /// Its subject was kicked by [`Topics::kick`](crate::Topics::kick).
    Kicked,
    /// Its right to read ended.
    Expired,
    /// The topics were closed: the process is stopping.
    Stopping,
    /// History was lost, and the subscription has [`AfterGap::Close`](crate::AfterGap::Close).
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

/// A subscription's entry in the [`Registrations`].
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

/// All registrations. The lock guards them and is never held together with another lock.
#[derive(Debug, Default)]
pub(crate) struct Registrations(Mutex<PresenceState>);

#[derive(Debug, Default)]
struct PresenceState {
    registrations: Vec<Option<Arc<Registration>>>,
    free: Vec<u32>,
    per_topic: HashMap<Arc<str>, usize>,
    per_subject: HashMap<Arc<str>, Vec<u32>>,
}

/// The maximum numbers of registrations.
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

    /// Marks a subject's registrations and returns their number. Their subscriptions notice when they are woken.
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
