//! [`Subscribe`]: what a subscription is to be, before it begins.

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
use crate::one_or_many::OneOrMany;
use crate::presence::Subscriber;
use crate::read::subscription::{Begin, Extras, Subscription};

pub(crate) type Filter = Box<dyn Fn(&Frame) -> bool + Send + Sync>;

/// A subscription that has not begun yet. Made by [`Topic::subscribe`](crate::Topic::subscribe) and
/// [`Topics::subscribe`](crate::Topics::subscribe); [`open`](Self::open) begins it.
///
/// Left as it is, it begins with the next event published.
#[must_use = "a subscription begins with `open`"]
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

    /// Begins after the event of this id, or says first that there is a gap.
    ///
    /// The text is what a client sends as `Last-Event-ID`, and untrusted; anything that is no cursor of ours is a gap
    /// ([`GapReason::Unknown`](crate::GapReason)). `None` and the empty text change nothing: a client that has had no
    /// event sends no id.
    pub fn after<'a>(mut self, last_event_id: impl Into<Option<&'a str>>) -> Self {
        if let Some(text) = last_event_id.into().filter(|text| !text.is_empty()) {
            self.start = Start::After(text.to_owned());
        }
        self
    }

    /// Begins with the next event published, whatever the client had before.
    ///
    /// Without it, a server may still take up the stream after the client's `Last-Event-ID`
    /// ([`Subscription::resume_after`]).
    pub fn from_now(mut self) -> Self {
        self.start = Start::Now;
        self
    }

    /// Begins with the oldest event that is kept.
    ///
    /// If earlier ones are gone, a gap ([`GapReason::Trimmed`](crate::GapReason)) says so first; what is kept follows it,
    /// whatever [`after_gap`](Self::after_gap) says.
    pub fn from_start(mut self) -> Self {
        self.start = Start::Floor;
        self
    }

    /// Delivers only events for which this says true. Applies to replayed events as well as to new ones.
    ///
    /// Runs once per event and reader, without any lock; keep it short. A skipped event leaves no trace, so a client
    /// whose events are rare comes back with an old id and may be told of a gap though nothing for it was lost.
    pub fn filter(mut self, filter: impl Fn(&Frame) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// What happens when this reader is too slow. Default: that of the topics.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// Where this reader goes on after a gap at its start, or when the log was replaced. Default: that of the topics.
    pub fn after_gap(mut self, after_gap: AfterGap) -> Self {
        self.rules.after_gap = after_gap;
        self
    }

    /// Who reads, for [`Topics::kick`](crate::Topics::kick) and the list of those present.
    pub fn subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Ends the subscription at this instant, with [`CloseReason::Expired`](crate::CloseReason): when a token expires,
    /// for instance. Default: never.
    pub fn expires_at(mut self, instant: Instant) -> Self {
        self.expires_at = Some(instant);
        self
    }

    /// Begins.
    ///
    /// What the reader asked for is looked up by the first poll; from here on nothing is lost.
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

        let keys: OneOrMany<_> = self.topics.iter().map(|topic| topic.key).collect();
        let log = &self.node.log;
        log.trim(clock::now());
        let (begin, position) = match &self.start {
            Start::Unchosen => (Begin::Unchosen, log.head_position(&keys)),
            Start::Now => (Begin::Next, log.head_position(&keys)),
            Start::Floor if log.is_authority() => {
                let start = Cursor {
                    epoch: log.head_cursor().epoch,
                    offset: Offset::ZERO,
                    tag: 0,
                };
                (Begin::Next, Position::asked(start))
            }
            Start::Floor => (Begin::AtStart, Position::chosen(Epoch(0), Offset::ZERO)),
            Start::After(text) => Begin::after(text),
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
