//! [`Topic`]: publishing, in one way for every log.
//!
//! `publish` hands the event over at once and in order, and never waits. It returns a [`Published`], which can be
//! awaited for the outcome. In a log of this process the event is in the log when `publish` returns, so the id is known
//! without awaiting. With a broker, the event waits for the next group commit, and awaiting [`Published`] shows that
//! the event is safe. So code that awaits is right for every log, and only code that is written for a log in memory may
//! leave it out.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bellwether_wire::{EventId, EventName, ServerSentEvent};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::broker::sync::PendingPublish;
use crate::broker::{NewRecord, tag_of};
use crate::clock;
use crate::error::{Error, Kind};
use crate::event::cursor::Cursor;
use crate::event::frame::{Draft, draft_of_event};
use crate::lock::lock;
use crate::log::LogClosed;
use crate::log::held_topics::HeldTopic;
use crate::log::idempotency::IdempotencyKeys;
use crate::log::wake;
use crate::node::Node;
use crate::read::subscribe::Subscribe;
use crate::read::subscription::Subscription;

/// The longest idempotency or conflation key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// One named topic. A clone is another handle to the same topic.
#[derive(Clone)]
pub struct Topic {
    pub(crate) node: Arc<Node>,
    pub(crate) held: Arc<HeldTopic>,
}

/// Options of a publish.
///
/// ```
/// use bellwether_topics::{PublishOptions, ServerSentEvent, Topics};
///
/// let prices = Topics::new().topic("prices")?;
/// let options = PublishOptions::new().idempotency_key("tick-17").conflation_key("EURUSD");
/// let first = prices.publish_with(options, &ServerSentEvent::text("1.08"))?.id();
/// let again = prices.publish_with(options, &ServerSentEvent::text("1.08"))?.id();
/// assert_eq!(first, again);
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions<'a> {
    idempotency_key: Option<&'a str>,
    conflation_key: Option<&'a str>,
}

impl<'a> PublishOptions<'a> {
    /// No options: the event is published as [`Topic::publish`] does.
    pub const fn new() -> Self {
        Self {
            idempotency_key: None,
            conflation_key: None,
        }
    }

    /// Key under which the event is published once: a later call with the same key in the same topic, within the
    /// [window](crate::TopicsBuilder::idempotency_window), gets the id of the first. At most 255 bytes. Default: none.
    #[must_use]
    pub const fn idempotency_key(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// Key under which a later event replaces this one, for readers that are behind and have the policy
    /// [`Slow::LatestPerKey`](crate::Slow::LatestPerKey). At most 255 bytes. Default: none, so that the event is always
    /// delivered.
    #[must_use]
    pub const fn conflation_key(mut self, key: &'a str) -> Self {
        self.conflation_key = Some(key);
        self
    }
}

impl Topic {
    /// The topic's name.
    pub fn name(&self) -> &str {
        self.held.name()
    }

    /// Publishes an event. Never waits for a reader, nor for anything else.
    ///
    /// The cursor becomes the event's id, in place of any that it has. See [`Published`] for what has happened when
    /// this returns.
    ///
    /// # Errors
    ///
    /// The event has no data, cannot be encoded or is too large ([`Error::is_invalid`]); the topics are closed
    /// ([`Error::is_closed`]); with a broker, too many events wait for it ([`Error::is_limit`]).
    pub fn publish(&self, event: &ServerSentEvent) -> Result<Published, Error> {
        self.publish_with(PublishOptions::new(), event)
    }

    /// Publishes an event once, however often it is called with this key within the window.
    ///
    /// For publishers that try again when they do not know whether the first attempt worked.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and for a key above 255 bytes ([`Error::is_invalid`]).
    pub fn publish_with_key(&self, key: &str, event: &ServerSentEvent) -> Result<Published, Error> {
        self.publish_with(PublishOptions::new().idempotency_key(key), event)
    }

    /// Publishes an event with options.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and for a key above 255 bytes ([`Error::is_invalid`]).
    pub fn publish_with(
        &self,
        options: PublishOptions<'_>,
        event: &ServerSentEvent,
    ) -> Result<Published, Error> {
        let draft = draft_of_event(event, options.conflation_key)?.ok_or(Kind::NoData)?;
        self.hand_over(draft, options)
    }

    fn hand_over(&self, draft: Draft, options: PublishOptions<'_>) -> Result<Published, Error> {
        let result = self.try_hand_over(draft, options);
        if result.is_err() {
            self.node.metrics.publish_failed.increment(1);
        }
        result
    }

    fn try_hand_over(&self, draft: Draft, options: PublishOptions<'_>) -> Result<Published, Error> {
        let keys = [options.idempotency_key, options.conflation_key];
        for key in keys.into_iter().flatten() {
            within("a key", key.len(), MAX_KEY_BYTES)?;
        }
        let (found, max) = (draft.event().len(), self.node.config.max_event_bytes);
        if found > max {
            return Err(Error::from(Kind::EventTooLarge { found, max }));
        }
        let name = self.held.name();
        let Some(remote) = &self.node.remote else {
            let key = options
                .idempotency_key
                .map(|key| IdempotencyKeys::scoped(name, key));
            let appended = self
                .node
                .log
                .append(self.held.key, name, draft, key, clock::now())
                .map_err(|LogClosed| Kind::Closed)?;
            wake::wake_all(appended.wakes);
            if appended.is_new {
                self.node.metrics.published.increment(1);
            }
            return Ok(Published(PublishProgress::Done(appended.cursor)));
        };

        let timeout = self.node.config.publish_timeout;
        let (answer, receiver) = oneshot::channel();
        let pending = PendingPublish {
            record: NewRecord {
                topic: name.clone(),
                tag: tag_of(name, options.idempotency_key),
                event: Bytes::copy_from_slice(draft.event()),
                idempotency_key: options.idempotency_key.map(Arc::from),
                conflation_key: options.conflation_key.map(Arc::from),
            },
            deadline: clock::now() + timeout,
            answer,
        };
        let publishes = lock(&remote.publishes);
        let queue = publishes.as_ref().ok_or(Kind::Closed)?;
        let deadline = pending.deadline;
        queue.try_send(pending).map_err(|error| match error {
            TrySendError::Full(_) => Kind::Full {
                max: self.node.config.max_pending_publishes,
            },
            TrySendError::Closed(_) => Kind::Closed,
        })?;
        Ok(Published(PublishProgress::Waiters {
            receiver,
            deadline,
            timeout,
            timer: None,
        }))
    }

    /// The settings of a subscription of this topic.
    pub fn subscribe(&self) -> Subscribe {
        Subscribe::new(self.node.clone(), vec![self.held.clone()])
    }

    /// The number of subscriptions that read this topic at the moment.
    pub fn subscriber_count(&self) -> usize {
        self.node.registrations.count_of(self.name())
    }
}

impl Subscription {
    /// The topics that the subscription reads.
    pub fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.iter().map(|held| Topic {
            node: self.node.clone(),
            held: held.clone(),
        })
    }
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), Error> {
    match found <= max {
        true => Ok(()),
        false => Err(Error::from(Kind::TooLong { what, found, max })),
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A topic for values of one type, which become JSON data.
///
/// ```
/// use bellwether_topics::Topics;
/// use bellwether_wire::event_name;
///
/// #[derive(serde::Serialize)]
/// struct Price { cents: u32 }
///
/// let prices = Topics::new().typed::<Price>("prices")?.named(event_name!("price"));
/// let published = prices.publish(&Price { cents: 108 })?;
/// assert!(published.id().is_some(), "without a broker it is in the log at once");
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
pub struct TypedTopic<T> {
    topic: Topic,
    name: Option<EventName>,
    // The topic takes values and holds none.
    values: PhantomData<fn(&T)>,
}

impl<T: Serialize> TypedTopic<T> {
    pub(crate) fn new(topic: Topic) -> Self {
        Self {
            topic,
            name: None,
            values: PhantomData,
        }
    }

    /// Name of the events. Default: none, so that browsers dispatch them as `message`.
    #[must_use]
    pub fn named(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// Publishes a value as [`Topic::publish`] does.
    ///
    /// # Errors
    ///
    /// As [`Topic::publish`]; a value that is no JSON is [`Error::is_invalid`].
    pub fn publish(&self, value: &T) -> Result<Published, Error> {
        self.publish_with(PublishOptions::new(), value)
    }

    /// Publishes a value once, however often it is called with this key within the window.
    ///
    /// # Errors
    ///
    /// As [`Topic::publish_with_key`].
    pub fn publish_with_key(&self, key: &str, value: &T) -> Result<Published, Error> {
        self.publish_with(PublishOptions::new().idempotency_key(key), value)
    }

    /// Publishes a value with options.
    ///
    /// # Errors
    ///
    /// As [`Topic::publish_with`].
    pub fn publish_with(&self, options: PublishOptions<'_>, value: &T) -> Result<Published, Error> {
        if let Some(name) = &self.name {
            let event = ServerSentEvent::json(value).event(name.clone());
            return self.topic.publish_with(options, &event);
        }
        // Without a name, the value is written straight into the frame.
        let draft = Draft::encode(192, options.conflation_key, |out| {
            bellwether_wire::encode_json_into(value, out)
        })?;
        self.topic.hand_over(draft, options)
    }

    /// The topic without the type.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The settings of a subscription of this topic.
    pub fn subscribe(&self) -> Subscribe {
        self.topic.subscribe()
    }
}

impl<T> Clone for TypedTopic<T> {
    fn clone(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            name: self.name.clone(),
            values: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TypedTopic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.topic, f)
    }
}

/// The outcome of a publish: a future of the event's [`Cursor`].
///
/// **Without a broker** the event is in the log, and the future is ready at once. **With a broker** the event is in a
/// queue of this process, in the order of the calls. The future is ready when the broker has made the event safe, or
/// fails within the publish timeout. Dropping the future changes nothing about the event; only the outcome stays
/// unknown. The compiler warns of a `publish` whose outcome is not used, since on a broker an event could then be lost
/// without a word. Where that is acceptable, give it to `drop`.
#[must_use = "on a broker, only `.await` tells whether the event was stored; `drop` it where that does not matter"]
#[derive(Debug)]
pub struct Published(PublishProgress);

#[derive(Debug)]
enum PublishProgress {
    Done(Cursor),
    Waiters {
        receiver: oneshot::Receiver<Result<Cursor, Error>>,
        deadline: Instant,
        timeout: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    },
    Failed,
}

impl Published {
    /// The position of the event, if it is known already: always without a broker.
    pub fn cursor(&self) -> Option<Cursor> {
        match self.0 {
            PublishProgress::Done(cursor) => Some(cursor),
            PublishProgress::Waiters { .. } | PublishProgress::Failed => None,
        }
    }

    /// The id of the event, if it is known already: always without a broker.
    pub fn id(&self) -> Option<EventId> {
        self.cursor().map(|cursor| cursor.id())
    }
}

impl Future for Published {
    /// # Errors
    ///
    /// The broker did not confirm in time ([`Error::is_timeout`]), failed ([`Error::is_unavailable`]) or refused the
    /// event ([`Error::is_invalid`]); the topics were closed before the event was appended ([`Error::is_closed`]).
    type Output = Result<Cursor, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let PublishProgress::Waiters {
            receiver,
            deadline,
            timeout,
            timer,
        } = &mut self.0
        else {
            return Poll::Ready(self.cursor().ok_or(Kind::Closed.into()));
        };
        let result = match Pin::new(receiver).poll(cx) {
            Poll::Ready(Ok(result)) => result,
            // The task that appends is gone, and its queue with it.
            Poll::Ready(Err(_)) => Err(Error::from(Kind::Closed)),
            Poll::Pending => {
                let deadline = (*deadline).into();
                let timer =
                    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                match timer.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => Err(Error::from(Kind::TimedOut { after: *timeout })),
                }
            }
        };
        self.0 = match &result {
            Ok(cursor) => PublishProgress::Done(*cursor),
            Err(_) => PublishProgress::Failed,
        };
        Poll::Ready(result)
    }
}
