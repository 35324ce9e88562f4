//! [`Removed`]: the last record that each topic has lost, for a bounded number of topics. Pure.
//!
//! The log's own floor says less: it rises with the events of a loud topic, and a quiet one beside it has lost nothing.
//! Of topics beyond the bound only one offset is known, the largest of theirs, up to which each may have lost records.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::cursor::Offset;

/// Maximum number of topics that are kept: about 100 bytes each, and their names.
const MAX_TOPICS: usize = 4096;

#[derive(Debug)]
pub(crate) struct Removed {
    max_topics: usize,
    topics: HashMap<Arc<str>, LastRemoved>,
    /// By offset. An entry is void once its topic has a larger one.
    order: VecDeque<(Offset, Arc<str>)>,
    others_to: Offset,
}

/// The last record that was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastRemoved {
    /// The offset of the record, or a later one.
    pub(crate) offset: Offset,
    /// The tag of the record, if it was exactly at the offset.
    pub(crate) tag: Option<u32>,
}

impl Removed {
    /// A table that knows only that each topic may have lost records up to this offset.
    pub(crate) fn new(others_to: Offset) -> Self {
        Self::with_bound(others_to, MAX_TOPICS)
    }

    fn with_bound(others_to: Offset, max_topics: usize) -> Self {
        Self {
            max_topics,
            topics: HashMap::new(),
            order: VecDeque::new(),
            others_to,
        }
    }

    /// Keeps what a topic has lost. The offsets of one topic rise from call to call, those of different topics come in
    /// any order.
    pub(crate) fn note(&mut self, topic: &Arc<str>, last: LastRemoved) {
        if last.offset <= self.others_to {
            return;
        }
        self.topics.insert(topic.clone(), last);
        let at = self
            .order
            .partition_point(|(offset, _)| *offset < last.offset);
        self.order.insert(at, (last.offset, topic.clone()));
        while self.topics.len() > self.max_topics
            && let Some((offset, topic)) = self.order.pop_front()
        {
            if self.is_valid(offset, &topic) {
                self.topics.remove(&topic);
                self.others_to = self.others_to.max(offset);
            }
        }
        if self.order.len() > 2 * self.topics.len() + 64 {
            let topics = &self.topics;
            let is_valid = |offset: Offset, topic: &str| {
                topics.get(topic).is_some_and(|last| last.offset == offset)
            };
            self.order
                .retain(|(offset, topic)| is_valid(*offset, topic));
        }
    }

    fn is_valid(&self, offset: Offset, topic: &str) -> bool {
        let last = self.topics.get(topic);
        last.is_some_and(|last| last.offset == offset)
    }

    /// What a topic has lost.
    pub(crate) fn of(&self, topic: &str) -> LastRemoved {
        match self.topics.get(topic) {
            Some(last) => *last,
            None => LastRemoved {
                offset: self.others_to,
                tag: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(offset: u64) -> LastRemoved {
        LastRemoved {
            offset: Offset::new(offset),
            tag: Some(offset as u32),
        }
    }

    #[test]
    fn what_is_beyond_the_bound_counts_as_lost_up_to_the_largest_offset() {
        let mut removed = Removed::with_bound(Offset::ZERO, 2);
        let [a, b, c] = ["a", "b", "c"].map(Arc::from);
        for offset in 1..1000 {
            removed.note(&a, last(offset));
        }
        assert!(removed.order.len() < 100, "void entries are removed");
        removed.note(&b, last(7));
        assert_eq!((removed.of("a"), removed.of("b")), (last(999), last(7)));
        assert_eq!(removed.of("c"), LastRemoved::default());
        removed.note(&c, last(1001));
        assert_eq!((removed.of("a"), removed.of("c")), (last(999), last(1001)));
        let others = LastRemoved {
            offset: Offset::new(7),
            tag: None,
        };
        assert_eq!((removed.of("b"), removed.of("d")), (others, others));
    }
}
