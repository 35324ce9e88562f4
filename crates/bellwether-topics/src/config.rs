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
    /// Shared by every subscription that has no rules of its own.
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
    /// Bounds of the history in memory. Default: [`Retention::new`], at most 16 MiB.
    ///
    /// Too little history gives readers gaps after a short stall. More costs its memory once per process, whatever the
    /// number of readers.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// Policy for readers that are too slow, unless [`Subscribe::policy`](crate::Subscribe::policy) sets another.
    /// Default: [`Policy::disconnect`].
    pub fn policy(mut self, policy: Policy) -> Self {
        Arc::make_mut(&mut self.config.rules).policy = policy;
        self
    }

    /// Continuation after a gap at the start of a stream, unless [`Subscribe::after_gap`](crate::Subscribe::after_gap)
    /// sets another. Default: [`AfterGap::Rest`].
    pub fn after_gap(mut self, after_gap: AfterGap) -> Self {
        Arc::make_mut(&mut self.config.rules).after_gap = after_gap;
        self
    }

    /// Maximum number of topics that exist at once. Default: 65,536, of about 400 bytes each.
    ///
    /// A topic exists while a handle or a subscription of it exists, or history has an event of it. Beyond the maximum,
    /// [`Topics::topic`](crate::Topics::topic) fails with [`Error::is_limit`](crate::Error::is_limit) for a new name. Where clients choose
    /// names, too large a value lets them take that memory.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.config.max_topics = topics;
        self
    }

    /// Maximum length of a topic's name, in bytes. Default: 255. Brokers need not accept longer names.
    pub fn max_name_bytes(mut self, bytes: usize) -> Self {
        self.config.max_name_bytes = bytes.min(255);
        self
    }

    /// Maximum size of an encoded event, in bytes. Default: 256 KiB.
    ///
    /// A larger event fails with [`Error::is_too_large`](crate::Error::is_too_large). Large events push others out of the
    /// history sooner.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.config.max_event_bytes = bytes;
        self
    }

    /// Maximum number of topics of one subscription. Default: 64. The memory of a subscription and the work of each
    /// read grow with its topics.
    pub fn max_topics_per_subscription(mut self, topics: usize) -> Self {
        self.config.max_topics_per_subscription = topics;
        self
    }

    /// Maximum number of subscribers at once. Default: 1,000,000. A server usually bounds its connections earlier.
    pub fn max_subscribers(mut self, subscribers: usize) -> Self {
        self.config.registrations.total = subscribers;
        self
    }

    /// Maximum number of subscribers of one topic at once. Default: 1,000,000.
    pub fn max_subscribers_per_topic(mut self, subscribers: usize) -> Self {
        self.config.registrations.per_topic = subscribers;
        self
    }

    /// Time for which an idempotency key is remembered, and maximum number of keys. Default: 2 minutes, 65,536 keys.
    /// Beyond that number the oldest key is forgotten early.
    ///
    /// A window shorter than a publisher's retries publishes twice; each key costs its own length and about 100 bytes.
    /// Unused with a broker, which has a window of its own.
    pub fn idempotency_window(mut self, duration: Duration, max_keys: usize) -> Self {
        self.config.idempotency_window = duration;
        self.config.max_idempotency_keys = max_keys;
        self
    }

    /// Time that a publish waits for the broker before it fails with [`Error::is_timeout`](crate::Error::is_timeout).
    /// Default: 5 s. Unused without a broker.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.config.publish_timeout = timeout;
        self
    }

    /// Maximum number of publishes that wait for the broker; one more fails at once. Default: 4,096. Unused without a
    /// broker.
    ///
    /// Too few, and a burst fails that the broker would have taken; the worst-case memory is this number times
    /// [`max_event_bytes`](Self::max_event_bytes).
    pub fn max_pending_publishes(mut self, publishes: usize) -> Self {
        self.config.max_pending_publishes = publishes.max(1);
        self
    }

    /// Maximum number of readers that read old pages from the broker at the same time; others wait. Default: 64.
    /// Unused without a broker.
    ///
    /// Too few, and readers that come back after a restart wait for one another. Too many, and they slow down the broker
    /// for publishers. Each holds one page of about 64 KiB.
    pub fn max_catch_up_reads(mut self, readers: usize) -> Self {
        self.config.max_catch_up_reads = readers.max(1);
        self
    }

    /// Hook that is called for each new subscriber, in the task that subscribes, without any lock. Default: none.
    pub fn on_subscribe(mut self, hook: impl Fn(&Subscriber) + Send + Sync + 'static) -> Self {
        self.config.on_subscribe = Some(Arc::new(hook));
        self
    }

    /// Hook that is called once for each subscriber that leaves, whatever the reason, without any lock. Default: none.
    pub fn on_close(
        mut self,
        hook: impl Fn(&Subscriber, CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.config.on_close = Some(Arc::new(hook));
        self
    }
}
