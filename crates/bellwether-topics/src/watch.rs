//! [`Watch`] and [`LogReader`]: how a server follows many topics for many readers without a task for each.
//!
//! A shard of such a server owns sockets. It has one [`Watch`] for all its topics, which wakes it once per burst of
//! publishes and says which topics have something new. It has one [`LogReader`] per topic, which reads the new frames
//! once, whatever the number of readers. If a reader's [`Position`] is the same as the log reader's before the read,
//! the shard writes the frames' shared bytes to it, and both are then at the same position. A reader that is elsewhere
//! (it was slow, it replays, it has a filter) reads for itself by
//! [`Subscription::try_frames`](crate::Subscription::try_frames).
//!
//! ```
//! use std::task::{Context, Poll, Waker};
//!
//! use bellwether_topics::{Read, ServerSentEvent, Topics, Watch};
//!
//! let topics = Topics::new();
//! let news = topics.topic("news")?;
//! let mut reader = news.subscribe().open()?;
//! let mut shared = news.reader();
//! let mut watch = Watch::new();
//! let token = watch.add(&news);
//!
//! let one = news.publish(&ServerSentEvent::text("one"))?;
//! let two = news.publish(&ServerSentEvent::text("two"))?;
//! assert!(one.id().is_some() && two.id().is_some());
//!
//! let mut dirty = Vec::new();
//! let mut cx = Context::from_waker(Waker::noop());
//! assert_eq!(watch.poll_dirty(&mut cx, &mut dirty), Poll::Ready(()));
//! assert_eq!(dirty, [token]);
//!
//! let start = shared.position();
//! let mut frames = Vec::new();
//! assert_eq!(shared.read(65_536, &mut frames), Read::Frames);
//! if reader.is_shareable() && reader.position().is_same(&start) {
//!     // Here the frames' chunks are written to the reader's socket.
//!     reader.set_position(shared.position(), frames.len());
//! }
//! assert!(reader.position().is_same(&shared.position()));
//! # Ok::<(), bellwether_topics::Error>(())
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::event::frame::Frame;
use crate::log::ReadOutcome;
use crate::log::held_topics::HeldTopic;
use crate::log::history::{Limit, TopicKey};
use crate::log::position::{Position, Reader};
use crate::log::waiters::{WatchSignal, Watcher};
use crate::short_list::ShortList;
use crate::topic::Topic;

/// The most frames of one read, so that the log's lock is never held for long.
const MAX_FRAMES_PER_READ: usize = 1024;

/// A cursor over one topic that belongs to no subscription.
#[derive(Debug)]
pub struct LogReader {
    topic: Arc<HeldTopic>,
    reader: Reader,
}

/// What [`LogReader::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// Frames were appended, and the position moved behind them.
    Frames,
    /// Nothing is new.
    CaughtUp,
    /// The log has moved past the position, or was replaced; the log reader is now at the log's head. Readers that were
    /// at the same position must read for themselves, and get their gap there.
    Overrun,
    /// The topics are closed.
    Closed,
}

/// The identity of a topic: the same for all handles to one topic, as long as one of them exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId {
    /// The address of the log, which is not given to another while a handle lives.
    log: usize,
    key: TopicKey,
}

impl Topic {
    /// A key for tables of topics.
    pub fn id(&self) -> TopicId {
        TopicId {
            log: Arc::as_ptr(&self.held.log).addr(),
            key: self.held.key,
        }
    }

    /// A reader of this topic for a server that shares what it reads. It starts at the log's head.
    pub fn reader(&self) -> LogReader {
        let keys = ShortList::One([self.held.key]);
        let position = self.node.log.head_position(&keys);
        LogReader {
            topic: self.held.clone(),
            reader: Reader::new(keys, position, Arc::default()),
        }
    }
}

impl LogReader {
    /// The position in the log.
    pub fn position(&self) -> Position {
        self.reader.position
    }

    /// How often every subscription of this log had to be polled, whatever its topics: subjects were sent away
    /// ([`Topics::kick`](crate::Topics::kick)), or a node that has just started came to know its log.
    ///
    /// While it stays the same, no subscription needs a poll for that reason. Asked after a [`read`](Self::read), it
    /// counts every kick that came before the events that were read.
    ///
    /// ```
    /// # let topics = bellwether_topics::Topics::new();
    /// # let news = topics.topic("news")?;
    /// let shared = news.reader();
    /// let before = shared.kicks();
    /// let _ann = news.subscribe().subject("ann").open()?;
    /// topics.kick("ann");
    /// assert_ne!(shared.kicks(), before);
    /// # Ok::<(), bellwether_topics::Error>(())
    /// ```
    pub fn kicks(&self) -> u64 {
        self.topic.log.kicks()
    }

    /// Appends the next frames, as many as fit into `max_bytes` and at least one, under one short lock.
    pub fn read(&mut self, max_bytes: usize, out: &mut Vec<Frame>) -> Read {
        let limit = Limit {
            events: MAX_FRAMES_PER_READ,
            bytes: max_bytes,
        };
        let outcome = self
            .topic
            .log
            .read_next(&mut self.reader, limit, None, |frame| {
                out.push(frame.clone());
            });
        match outcome {
            ReadOutcome::Frames => Read::Frames,
            ReadOutcome::CaughtUp => Read::CaughtUp,
            ReadOutcome::Closed => Read::Closed,
            ReadOutcome::Gap(_)
            | ReadOutcome::Disconnect
            | ReadOutcome::AskBroker(_)
            | ReadOutcome::Ahead => {
                self.reader.position = self.topic.log.head_position(&self.reader.keys);
                Read::Overrun
            }
        }
    }
}

/// The token of a topic that a [`Watch`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchToken(u32);

impl WatchToken {
    /// A small number, unique within the watch, that is used again after the topic was removed: an index for a table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Follows many topics for one task, which is woken once per burst of publishes.
///
/// Costs a publish one flag per watch of its topic.
#[derive(Debug, Default)]
pub struct Watch {
    signal: Arc<WatchSignal>,
    topics: Vec<Option<Arc<HeldTopic>>>,
    free: Vec<u32>,
    /// Buffer for the dirty tokens; a field to keep its allocation.
    tokens: Vec<u32>,
}

impl Watch {
    /// A watch of no topic.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts to follow a topic. The topic is dirty at once, so that what was published before is not overlooked.
    pub fn add(&mut self, topic: &Topic) -> WatchToken {
        let token = self.free.pop().unwrap_or_else(|| {
            self.topics.push(None);
            (self.topics.len() - 1) as u32
        });
        self.topics[token as usize] = Some(topic.held.clone());
        let watcher = Watcher {
            signal: self.signal.clone(),
            token,
        };
        topic.node.log.watch(topic.held.key, watcher);
        WatchToken(token)
    }

    /// Stops following a topic. Its token may still be reported once.
    pub fn remove(&mut self, token: WatchToken) {
        let Some(topic) = self.topics.get_mut(token.index()).and_then(Option::take) else {
            return;
        };
        let watcher = Watcher {
            signal: self.signal.clone(),
            token: token.0,
        };
        topic.log.unwatch(topic.key, &watcher);
        self.free.push(token.0);
    }

    /// Appends the topics to which something was published since they were last reported, each once; pending while
    /// there are none. A kick, a reset and the end of the log make all topics dirty.
    ///
    /// Take the tokens first and read the topics after that: what is published in between makes them dirty again.
    pub fn poll_dirty(&mut self, cx: &mut Context<'_>, out: &mut Vec<WatchToken>) -> Poll<()> {
        self.tokens.clear();
        if !self.signal.take(cx.waker(), &mut self.tokens) {
            return Poll::Pending;
        }
        out.extend(self.tokens.iter().copied().map(WatchToken));
        Poll::Ready(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for token in 0..self.topics.len() {
            self.remove(WatchToken(token as u32));
        }
    }
}
