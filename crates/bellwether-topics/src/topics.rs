//! [`Topics`]: all topics of one log, by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use crate::broker::Broker;
use crate::broker::health::BrokerHealth;
use crate::broker::newest::NewestLookups;
use crate::broker::sync;
use crate::clock;
use crate::config::{Config, TopicsBuilder};
use crate::error::{Error, Kind};
use crate::event::cursor::{Cursor, Epoch};
use crate::lock::{Mutex, lock};
use crate::log::Log;
use crate::log::held_topics::HeldTopic;
use crate::log::history::{History, Proof};
use crate::log::idempotency::IdempotencyKeys;
use crate::log::wake;
use crate::metrics::Metrics;
use crate::node::{Node, Remote};
use crate::presence::{Registrations, Subscriber};
use crate::read::subscribe::Subscribe;
use crate::topic::{Topic, TypedTopic};

/// Named topics over one shared log. A clone is another handle to the same topics.
///
/// A topic is made when it is first used. It is forgotten when no handle and no subscription of it is left and history
/// has no event of it. Names are up to 255 bytes of text without control characters.
///
/// ```
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let topics = Topics::new();
/// let news = topics.topic("news")?;
/// let mut reader = news.subscribe().open()?;
///
/// let id = news.publish(&ServerSentEvent::text("hello"))?.await?;
///
/// let frame = reader.next().await.unwrap().into_frame().unwrap();
/// assert_eq!(frame.cursor(), id);
/// # Ok::<(), bellwether_topics::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Topics {
    pub(crate) node: Arc<Node>,
}

impl Default for Topics {
    fn default() -> Self {
        Self::new()
    }
}

impl Topics {
    /// Topics with default settings, whose log lives in this process and ends with it.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The settings of topics, all at their defaults.
    pub fn builder() -> TopicsBuilder {
        TopicsBuilder::default()
    }

    pub(crate) fn in_memory(config: Config) -> Self {
        let proof = Proof::Derived(fastrand::u64(..));
        let log = Log::new(
            History::new(Epoch::random(), proof, config.retention),
            IdempotencyKeys::new(config.idempotency_window, config.max_idempotency_keys),
            true,
        );
        Self {
            node: Arc::new(Node {
                log: Arc::new(log),
                config,
                registrations: Registrations::default(),
                metrics: Arc::new(Metrics::new()),
                remote: None,
            }),
        }
    }

    /// Topics with default settings, whose log lives in a broker. For other settings use [`Topics::builder`] and
    /// [`TopicsBuilder::open`].
    ///
    /// # Errors
    ///
    /// As [`TopicsBuilder::open`].
    pub async fn with(broker: impl Broker) -> Result<Self, Error> {
        Self::builder().open(broker).await
    }

    pub(crate) async fn on_broker(config: Config, broker: Arc<dyn Broker>) -> Result<Self, Error> {
        let bounds = tokio::time::timeout(config.publish_timeout, broker.bounds())
            .await
            .map_err(|_| Kind::TimedOut {
                after: config.publish_timeout,
            })??;
        let mut history = History::new(bounds.epoch, Proof::Stored, config.retention);
        // The tag is unknown until the tail brings the record at the head; zero if there is none.
        let tag = (bounds.head == crate::Offset::ZERO).then_some(0);
        history.reset(bounds.epoch, bounds.head, tag);
        let log = Arc::new(Log::new(
            history,
            IdempotencyKeys::new(config.idempotency_window, config.max_idempotency_keys),
            false,
        ));
        let metrics = Arc::new(Metrics::new());
        let is_ready = Arc::new(AtomicBool::new(true));
        metrics.broker_ready.set(1.0);
        let health = Arc::new(BrokerHealth::new());
        let (publishes, queue) = mpsc::channel(config.max_pending_publishes);
        let appender = tokio::spawn(sync::append_all(
            broker.clone(),
            queue,
            config.publish_timeout,
            metrics.clone(),
            health.clone(),
        ));
        let follower = tokio::spawn(sync::follow(
            broker.clone(),
            log.clone(),
            is_ready.clone(),
            metrics.clone(),
            health,
        ));
        let remote = Remote {
            lookups: NewestLookups::start(broker.clone()),
            broker,
            publishes: Mutex::new(Some(publishes)),
            catch_up_reads: Arc::new(Semaphore::new(config.max_catch_up_reads)),
            is_ready,
            appender: Mutex::new(Some(appender)),
            follower,
        };
        Ok(Self {
            node: Arc::new(Node {
                log,
                config,
                registrations: Registrations::default(),
                metrics,
                remote: Some(remote),
            }),
        })
    }

    /// The topic of this name, which is made if it is new.
    ///
    /// # Errors
    ///
    /// The name is empty, too long or has a control character ([`Error::is_invalid`]); there are too many topics
    /// ([`Error::is_limit`]).
    pub fn topic(&self, name: &str) -> Result<Topic, Error> {
        let config = &self.node.config;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::from(Kind::Name {
                found: name.chars().take(64).collect(),
                allowed: "at least one character, and none that is a control character",
            }));
        }
        if name.len() > config.max_name_bytes {
            return Err(Error::from(Kind::TooLong {
                what: "the name of a topic",
                found: name.len(),
                max: config.max_name_bytes,
            }));
        }
        if let Some(held) = self.node.log.held_topics.get(name) {
            return Ok(Topic {
                node: self.node.clone(),
                held,
            });
        }
        let opened = self
            .node
            .log
            .open_topic(name, config.max_topics, clock::now());
        let (key, name) = opened.ok_or(Kind::Limit {
            what: "topics",
            max: config.max_topics,
        })?;
        let held = self.node.log.held_topics.share(Arc::new(HeldTopic {
            log: self.node.log.clone(),
            key,
            names: Arc::from([name]),
        }));
        Ok(Topic {
            node: self.node.clone(),
            held,
        })
    }

    /// The topic of this name for values of one type, which become JSON data.
    ///
    /// # Errors
    ///
    /// As [`topic`](Self::topic).
    pub fn typed<T: Serialize>(&self, name: &str) -> Result<TypedTopic<T>, Error> {
        Ok(TypedTopic::new(self.topic(name)?))
    }

    /// The settings of a subscription of several topics at once, in the order of their common log, with one cursor.
    ///
    /// ```
    /// use bellwether_topics::Topics;
    ///
    /// let topics = Topics::new();
    /// let last_event_id: Option<&str> = None;
    /// let reader = topics.subscribe(["news", "weather"]).after(last_event_id).open()?;
    /// # drop(reader);
    /// # Ok::<(), bellwether_topics::Error>(())
    /// ```
    pub fn subscribe<I>(&self, names: I) -> Subscribe
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut topics = Vec::new();
        for name in names {
            // One topic more than allowed is enough for `open` to fail.
            if topics.len() > self.node.config.max_topics_per_subscription {
                break;
            }
            match self.topic(name.as_ref()) {
                Ok(topic) => topics.push(topic.held),
                Err(error) => return Subscribe::failed(self.node.clone(), error),
            }
        }
        Subscribe::new(self.node.clone(), topics)
    }

    /// Ends all subscriptions of a subject, and returns their number.
    ///
    /// Each delivers what it has already handed out and then ends with [`CloseReason::Kicked`](crate::CloseReason). Its
    /// client may come back, so the application must refuse it where it authenticates.
    pub fn kick(&self, subject: &str) -> usize {
        let kicked = self.node.registrations.kick(subject);
        if kicked > 0 {
            // This wakes more readers than necessary; the others find nothing new. Kicks are rare.
            wake::wake_all(self.node.log.kick());
        }
        kicked
    }

    /// The subscriptions that are open at the moment.
    pub fn subscribers(&self) -> Vec<Subscriber> {
        self.node.registrations.list()
    }

    /// The number of subscriptions that are open at the moment.
    pub fn subscriber_count(&self) -> usize {
        self.node.registrations.count()
    }

    /// The number of topics that exist at the moment.
    pub fn topic_count(&self) -> usize {
        self.node.log.topic_count()
    }

    /// The position of the newest event in the log.
    ///
    /// For a snapshot with a stream behind it: take this cursor first, then read the state, and send both. A
    /// subscription after this cursor misses nothing.
    pub fn head(&self) -> Cursor {
        self.node.log.head_cursor()
    }

    /// Whether the log can be followed: always true without a broker; false while a broker has been silent for 5 s.
    ///
    /// Meanwhile streams stay open, and publishing fails within its timeout. A readiness check should return this
    /// value. A broker that answers but refuses publishes (its disk is full, it has too few replicas) leaves it true: the
    /// node still serves its readers, and the log names the cause.
    pub fn is_ready(&self) -> bool {
        match &self.node.remote {
            None => true,
            Some(remote) => remote.is_ready.load(Ordering::Acquire),
        }
    }

    /// Ends every subscription, refuses further events, and waits until those under way are safe or have failed.
    ///
    /// It also shuts down the broker. If the future is dropped early, publishing has ended all the same.
    ///
    /// # Errors
    ///
    /// The broker fails to shut down ([`Error::is_unavailable`]).
    pub async fn close(&self) -> Result<(), Error> {
        wake::wake_all(self.node.log.close());
        let Some(remote) = &self.node.remote else {
            return Ok(());
        };
        remote.follower.abort();
        lock(&remote.publishes).take();
        let appender = lock(&remote.appender).take();
        if let Some(appender) = appender {
            // An error means that the task panicked or was cancelled with its runtime; either way it has ended.
            let _ = appender.await;
        }
        Ok(remote.broker.shutdown().await?)
    }
}

impl TopicsBuilder {
    /// Makes topics whose log lives in this process and ends with it.
    pub fn build(self) -> Topics {
        Topics::in_memory(self.config)
    }

    /// Makes topics whose log lives in a broker. Starts two tasks on the present runtime: one appends, the other
    /// follows the log.
    ///
    /// # Errors
    ///
    /// The broker does not return its bounds ([`Error::is_unavailable`]).
    pub async fn open(self, broker: impl Broker) -> Result<Topics, Error> {
        Topics::on_broker(self.config, Arc::new(broker)).await
    }
}
