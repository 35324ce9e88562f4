//! [`Subscribe`]: the settings of a subscription, before it is opened.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::clock;
use crate::error::{Error, Kind};
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::Frame;
use crate::log::held_topics::HeldTopic;
use crate::log::policy::Policy;
use crate::log::position::{AfterGap, Asked, Position, Reader, Rules};
use crate::node::Node;
use crate::presence::Subscriber;
use crate::read::subscription::{Extras, FirstRead, Subscription};
use crate::short_list::ShortList;

pub(crate) type Filter = Box<dyn Fn(&Frame) -> bool + Send + Sync>;

/// The settings of a subscription. [`Topic::subscribe`](crate::Topic::subscribe) and
/// [`Topics::subscribe`](crate::Topics::subscribe) make one, and [`open`](Self::open) starts the subscription.
///
/// Without any setting, the subscription starts with the next event published.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use bellwether_topics::{Policy, ServerSentEvent, Topics};
///
/// let topics = Topics::new();
/// let prices = topics.topic("prices")?;
/// let seen = prices.publish(&ServerSentEvent::text("1"))?.id().unwrap();
/// prices.publish(&ServerSentEvent::text("2"))?;
///
/// // `Last-Event-ID` of the request, which the client may have made up.
/// let last_event_id = Some(seen.as_str());
/// let mut reader = prices
///     .subscribe()
///     .after(last_event_id)
///     .policy(Policy::skip_to_latest())
///     .subject("user 17")
///     .expires_at(Instant::now() + Duration::from_secs(3600))
///     .open()?;
/// let mut deliveries = Vec::new();
/// reader.try_frames(65_536, &mut deliveries);
/// assert!(deliveries[0].frame().unwrap().as_bytes().starts_with(b"data: 2\n"));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[must_use = "a subscription starts with `open`"]
pub struct Subscribe {
    node: Arc<Node>,
    topics: Vec<Arc<HeldTopic>>,
    error: Option<Error>,
    start: Start,
    filter: Option<Filter>,
    rules: Rules,
    subject: Option<Arc<str>>,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
enum Start {
    Unchosen,
    Now,
    Floor,
    After(String),
}

impl Subscribe {
    pub(crate) fn new(node: Arc<Node>, topics: Vec<Arc<HeldTopic>>) -> Self {
        Self {
            rules: *node.config.rules,
            node,
            topics,
            error: None,
            start: Start::Unchosen,
            filter: None,
            subject: None,
            expires_at: None,
        }
    }

    pub(crate) fn failed(node: Arc<Node>, error: Error) -> Self {
        Self {
            error: Some(error),
            ..Self::new(node, Vec::new())
        }
    }

    /// Starts after the event of this id. If later events are gone, the first delivery is a gap.
    ///
    /// The text is what a client sends as `Last-Event-ID`, and untrusted: a text that is no cursor leads to a gap
    /// ([`GapReason::Unknown`](crate::GapReason)). `None` and the empty text change nothing, since a client that has
    /// had no event sends no id.
    pub fn after<'a>(mut self, last_event_id: impl Into<Option<&'a str>>) -> Self {
        if let Some(text) = last_event_id.into().filter(|text| !text.is_empty()) {
            self.start = Start::After(text.to_owned());
        }
        self
    }

    /// Starts with the next event published, whatever the client had before.
    ///
    /// Without this setting, a server may still resume the stream after the client's `Last-Event-ID`
    /// ([`Subscription::resume_after`]).
    pub fn from_now(mut self) -> Self {
        self.start = Start::Now;
        self
    }

    /// Starts with the oldest event that is kept.
    ///
    /// If earlier events are gone, the first delivery is a gap ([`GapReason::Trimmed`](crate::GapReason)). What is kept
    /// follows the gap, whatever [`after_gap`](Self::after_gap) is.
    pub fn from_start(mut self) -> Self {
        self.start = Start::Floor;
        self
    }

    /// Delivers only events for which the filter returns true, replayed events as well as new ones. Default: all
    /// events.
    ///
    /// The filter runs once per event and reader, without any lock; keep it short. A skipped event leaves no trace, so
    /// a client whose events are rare comes back with an old id and may get a gap though it has lost nothing.
    pub fn filter(mut self, filter: impl Fn(&Frame) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// Policy for the case that this reader is too slow. Default:
    /// [`TopicsBuilder::policy`](crate::TopicsBuilder::policy).
    pub fn policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// Continuation of this reader after a gap at its start, or when the log was replaced. Default:
    /// [`TopicsBuilder::after_gap`](crate::TopicsBuilder::after_gap).
    pub fn after_gap(mut self, after_gap: AfterGap) -> Self {
        self.rules.after_gap = after_gap;
        self
    }

    /// Name of who reads, for [`Topics::kick`](crate::Topics::kick) and
    /// [`Topics::subscribers`](crate::Topics::subscribers). Default: none, so that the subscription cannot be kicked.
    pub fn subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Instant at which the subscription ends with [`CloseReason::Expired`](crate::CloseReason), for instance when a
    /// token expires. Default: never.
    pub fn expires_at(mut self, instant: Instant) -> Self {
        self.expires_at = Some(instant);
        self
    }

    /// Starts the subscription.
    ///
    /// The first poll finds what the reader asked for. The reader loses nothing that is published from this call on.
    ///
    /// # Errors
    ///
    /// A topic cannot be opened (as [`Topics::topic`](crate::Topics::topic)); there is no topic or too many
    /// ([`Error::is_limit`]); there are too many subscribers ([`Error::is_limit`]).
    pub fn open(mut self) -> Result<Subscription, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let max = self.node.config.max_topics_per_subscription;
        if self.topics.is_empty() {
            return Err(Error::from(Kind::Name {
                found: String::new(),
                allowed: "a subscription needs at least one topic",
            }));
        }
        if self.topics.len() > max {
            return Err(Error::from(Kind::Limit {
                what: "topics in one subscription",
                max,
            }));
        }
        self.topics.sort_unstable_by_key(|topic| topic.key);
        self.topics.dedup_by_key(|topic| topic.key);

        let names: Arc<[Arc<str>]> = match self.topics.as_slice() {
            [topic] => topic.names.clone(),
            topics => topics.iter().map(|topic| topic.name().clone()).collect(),
        };
        let subscriber = Subscriber {
            subject: self.subject.take(),
            topics: names,
            since: SystemTime::now(),
        };
        let registration = self
            .node
            .registrations
            .take(subscriber, self.node.config.registrations)?;

        let keys: ShortList<_> = self.topics.iter().map(|topic| topic.key).collect();
        let log = &self.node.log;
        log.trim(clock::now());
        let (begin, position) = match &self.start {
            Start::Unchosen => (FirstRead::Unchosen, log.head_position(&keys)),
            Start::Now => (FirstRead::Next, log.head_position(&keys)),
            Start::Floor if log.is_authority() => {
                let start = Cursor {
                    epoch: log.head_cursor().epoch,
                    offset: Offset::ZERO,
                    tag: 0,
                };
                (FirstRead::Next, Position::asked(start))
            }
            Start::Floor => (FirstRead::AtStart, Position::chosen(Epoch(0), Offset::ZERO)),
            Start::After(text) => FirstRead::after(text),
        };
        // Most readers have the settings of their topics, and share them.
        let rules = match &self.node.config.rules {
            rules if **rules == self.rules => rules.clone(),
            _ => Arc::new(self.rules),
        };
        let mut reader = Reader::new(keys, position, rules);
        match self.start {
            Start::After(text) => reader.set_asked(Asked::After(text.into())),
            Start::Floor => reader.set_asked(Asked::Start),
            Start::Unchosen | Start::Now => {}
        }
        let extras = Extras::new(self.filter, self.expires_at);
        Ok(Subscription::begin(
            self.node,
            self.topics.into(),
            registration,
            reader,
            begin,
            extras,
        ))
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("start", &self.start)
            .field("policy", &self.rules.policy)
            .finish_non_exhaustive()
    }
}
