//! A reader's position in a log, and the rules by which it goes on from there.
//!
//! A reader is small, since ten thousand of them wait at once: what most do not have is in a box.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::log::history::{ReadSoFar, TopicKey};
use crate::log::policy::Policy;
use crate::log::waiters::Ticket;
use crate::short_list::ShortList;

/// A reader's position in its log, and what is known about it.
///
/// Opaque and small: a server that serves many readers with the same bytes keeps one per reader.
///
/// ```
/// use bellwether_topics::{ServerSentEvent, Topics};
///
/// let news = Topics::new().topic("news")?;
/// let (mut one, other) = (news.subscribe().open()?, news.subscribe().open()?);
/// assert!(one.position().is_same(&other.position()));
/// news.publish(&ServerSentEvent::text("hello"))?;
/// one.try_frames(65_536, &mut Vec::new());
/// assert!(!one.position().is_same(&other.position()));
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub(crate) epoch: Epoch,
    pub(crate) offset: Offset,
    /// Unknown for positions that the log itself chose, such as its floor.
    pub(crate) tag: Option<u32>,
    /// The state of the log in which the position was proven to be one of its positions.
    pub(crate) generation: Option<NonZeroU32>,
    /// What the reader has had of its topics up to here.
    pub(crate) seen: Option<ReadSoFar>,
}

impl Position {
    /// Whether the same events come next for readers of the same topics at both positions.
    ///
    /// False also when that is merely unknown, for instance while the broker must still confirm a position.
    pub fn is_same(&self, other: &Self) -> bool {
        self.generation.is_some()
            && self.generation == other.generation
            && self.seen.is_some()
            && self.seen == other.seen
    }

    /// A position that a client named.
    pub(crate) fn asked(cursor: Cursor) -> Self {
        Self {
            epoch: cursor.epoch,
            offset: cursor.offset,
            tag: Some(cursor.tag),
            generation: None,
            seen: None,
        }
    }

    /// A position that needs no proof: there was no record, or the record may be gone.
    pub(crate) fn chosen(epoch: Epoch, offset: Offset) -> Self {
        Self {
            epoch,
            offset,
            tag: None,
            generation: None,
            seen: None,
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            offset: self.offset,
            tag: self.tag.unwrap_or(0),
        }
    }

    /// Moves behind a record.
    pub(crate) fn move_to(&mut self, cursor: Cursor) {
        self.epoch = cursor.epoch;
        self.offset = cursor.offset;
        self.tag = Some(cursor.tag);
    }
}

/// Where a reader goes after a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterGap {
    /// It goes on with everything that the log still has.
    #[default]
    Rest,
    /// It goes on with the next event published, for clients that fetch the present state when they see a gap.
    Latest,
    /// Its stream ends with the gap.
    Close,
}

/// What readers with the same settings share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) after_gap: AfterGap,
}

/// One reader of a log: its topics, its position, its rules.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) keys: ShortList<TopicKey>,
    pub(crate) position: Position,
    pub(crate) rules: Arc<Rules>,
    /// What a reader has only once it asks for a position or waits.
    extras: Option<Box<ReaderExtras>>,
    /// Whether the reader has caught up once.
    pub(crate) was_live: bool,
}

/// What a reader has asked for and has no answer to yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// What follows the event of this id, as the client wrote it.
    After(Box<str>),
    /// Everything from the start of the log.
    Start,
    /// Whether its position is still valid, since this node was reset.
    Here,
}

#[derive(Debug, Default)]
struct ReaderExtras {
    /// What was asked for, until the first read has answered it.
    asked: Option<Asked>,
    /// One per topic once the reader has waited.
    tickets: Box<[Option<Ticket>]>,
}

impl Reader {
    pub(crate) fn new(keys: ShortList<TopicKey>, position: Position, rules: Arc<Rules>) -> Self {
        Self {
            keys,
            position,
            rules,
            extras: None,
            was_live: false,
        }
    }

    /// Sets what is asked for, for the first read.
    pub(crate) fn set_asked(&mut self, asked: Asked) {
        self.extras.get_or_insert_default().asked = Some(asked);
    }

    /// Takes what is asked for, if no read has answered it yet.
    pub(crate) fn take_asked(&mut self) -> Option<Asked> {
        let asked = self.extras.as_mut()?.asked.take();
        self.extras.take_if(|extras| extras.tickets.is_empty());
        asked
    }

    /// Whether something is asked for that no read has answered yet. Until then the reader cannot be too slow.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked().is_some()
    }

    fn asked(&self) -> Option<&Asked> {
        self.extras.as_ref()?.asked.as_ref()
    }

    /// Where the reader goes after a gap that it gets now. A reader that wants everything from the start gets what is
    /// kept.
    pub(crate) fn after_gap(&self) -> AfterGap {
        match self.asked() {
            Some(Asked::Start) => AfterGap::Rest,
            _ => self.rules.after_gap,
        }
    }

    /// Whether the reader goes on with the next event published after a gap.
    pub(crate) fn is_to_latest(&self) -> bool {
        self.after_gap() == AfterGap::Latest
    }

    /// Its tickets in its topics' lists of waiters, one for each topic.
    pub(crate) fn tickets(&mut self) -> impl Iterator<Item = (TopicKey, &mut Option<Ticket>)> {
        let tickets = &mut self.extras.get_or_insert_default().tickets;
        if tickets.len() != self.keys.len() {
            *tickets = vec![None; self.keys.len()].into();
        }
        self.keys.iter().copied().zip(tickets)
    }

    /// Removes the tickets of its topics' lists of waiters.
    pub(crate) fn take_tickets(&mut self) -> impl Iterator<Item = (TopicKey, Ticket)> {
        let tickets = self.extras.take().unwrap_or_default().tickets;
        let tickets = self.keys.iter().copied().zip(tickets);
        tickets.filter_map(|(key, ticket)| Some((key, ticket?)))
    }

    /// The number and bytes of the events that wait for the reader. If that is not known, the reader counts as far
    /// behind, which matters to its policy only if the reader was live.
    pub(crate) fn lag(&self, total: ReadSoFar) -> ReadSoFar {
        match self.position.seen {
            Some(seen) => ReadSoFar {
                events: total.events.saturating_sub(seen.events),
                bytes: total.bytes.saturating_sub(seen.bytes),
            },
            None => ReadSoFar {
                events: u64::MAX,
                bytes: u64::MAX,
            },
        }
    }
}
