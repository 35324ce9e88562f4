//! [`TopicsBuilder`]: the settings of a [`Topics`](crate::Topics), and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::log::policy::Policy;
use crate::log::position::{AfterGap, Rules};
use crate::log::retention::Retention;
use crate::presence::{CloseReason, Subscriber, SubscriberLimits};

pub(crate) type OnSubscribe = Arc<dyn Fn(&Subscriber) + Send + Sync>;
pub(crate) type OnClose = Arc<dyn Fn(&Subscriber, CloseReason) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) retention: Retention,
    /// Shared with every subscription that has none of its own.
    pub(crate) rules: Arc<Rules>,
    pub(crate) max_topics: usize,
    pub(crate) max_name_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_topics_per_subscription: usize,
    pub(crate) registrations: SubscriberLimits,
    pub(crate) idempotency_window: Duration,
    pub(crate) max_idempotency_keys: usize,
    pub(crate) publish_timeout: Duration,
    pub(crate) max_pending_publishes: usize,
    pub(crate) max_catch_up_reads: usize,
    pub(crate) on_subscribe: Option<OnSubscribe>,
    pub(crate) on_close: Option<OnClose>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            rules: Arc::default(),
            max_topics: 65_536,
            max_name_bytes: 255,
            max_event_bytes: 256 << 10,
            max_topics_per_subscription: 64,
            registrations: SubscriberLimits {
                total: 1_000_000,
                per_topic: 1_000_000,
            },
            idempotency_window: Duration::from_secs(120),
            max_idempotency_keys: 65_536,
            publish_timeout: Duration::from_secs(5),
            max_pending_publishes: 4096,
            max_catch_up_reads: 64,
            on_subscribe: None,
            on_close: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("retention", &self.retention)
            .field("policy", &self.rules.policy)
            .finish_non_exhaustive()
    }
}

/// The settings of a [`Topics`](crate::Topics). Each has a default that is safe to keep.
///
/// ```
/// use bellwether_topics::{Policy, Topics};
///
/// let topics = Topics::builder()
///     .policy(Policy::skip_to_latest())
///     .max_topics(100)
///     .build();
/// assert!(topics.is_ready());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "settings do nothing until `build` or `open`"]
pub struct TopicsBuilder {
    pub(crate) config: Config,
}

impl TopicsBuilder {
    /// How much history is kept in memory. Default: [`Retention::new`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// What happens to readers that are too slow, unless their subscription says otherwise. Default:
    /// [`Policy::disconnect`].
    pub fn policy(mut self, policy: Policy) -> Self {
        Arc::make_mut(&mut self.config.rules).policy = policy;
        self
    }

    /// Where a reader goes on after a gap at the start of its stream, unless its subscription says otherwise. Default:
    /// [`AfterGap::Rest`].
    pub fn after_gap(mut self, after_gap: AfterGap) -> Self {
        Arc::make_mut(&mut self.config.rules).after_gap = after_gap;
        self
    }

    /// The most topics that exist at once. Default: 65,536, of about 400 bytes each.
    ///
    /// A topic exists while somebody holds it, reads it, or history has an event of it.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.config.max_topics = topics;
        self
    }

    /// The longest name of a topic, in bytes. Default: 255, which is also the most that brokers have to take.
    pub fn max_name_bytes(mut self, bytes: usize) -> Self {
        self.config.max_name_bytes = bytes.min(255);
        self
    }

    /// The largest encoded event, in bytes. Default: 256 KiB.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.config.max_event_bytes = bytes;
        self
    }

    /// The most topics of one subscription. Default: 64. Its memory and the work of a look grow with them.
    pub fn max_topics_per_subscription(mut self, topics: usize) -> Self {
        self.config.max_topics_per_subscription = topics;
        self
    }

    /// The most subscribers at once. Default: a million; connections are bounded elsewhere.
    pub fn max_subscribers(mut self, subscribers: usize) -> Self {
        self.config.registrations.total = subscribers;
        self
    }

    /// The most subscribers of one topic at once. Default: a million.
    pub fn max_subscribers_per_topic(mut self, subscribers: usize) -> Self {
        self.config.registrations.per_topic = subscribers;
        self
    }

    /// How long an idempotency key is known, and how many at most; beyond that the oldest is forgotten early.
    /// Default: 2 minutes, 65,536 keys.
    ///
    /// With a broker, this is the broker's setting and not used.
    pub fn idempotency_window(mut self, duration: Duration, max_keys: usize) -> Self {
        self.config.idempotency_window = duration;
        self.config.max_idempotency_keys = max_keys;
        self
    }

    /// How long a publish waits for the broker before it fails. Default: 5 s. Unused without a broker.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.config.publish_timeout = timeout;
        self
    }

    /// How many publishes may wait for the broker; one more fails at once. Default: 4,096. Unused without a broker.
    ///
    /// Worst-case memory is this times [`max_event_bytes`](Self::max_event_bytes).
    pub fn max_pending_publishes(mut self, publishes: usize) -> Self {
        self.config.max_pending_publishes = publishes.max(1);
        self
    }

    /// How many readers may read old pages from the broker at the same time; others wait their turn. Default: 64.
    /// Unused without a broker.
    pub fn max_catch_up_reads(mut self, readers: usize) -> Self {
        self.config.max_catch_up_reads = readers.max(1);
        self
    }

    /// Calls this for each new subscriber, in the task that subscribes, without any lock.
    pub fn on_subscribe(mut self, hook: impl Fn(&Subscriber) + Send + Sync + 'static) -> Self {
        self.config.on_subscribe = Some(Arc::new(hook));
        self
    }

    /// Calls this once for each subscriber that leaves, whatever the reason, without any lock.
    pub fn on_close(
        mut self,
        hook: impl Fn(&Subscriber, CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.config.on_close = Some(Arc::new(hook));
        self
    }
}
