//! The topics of a history, by key and by name: which there are, how often each is pinned, when it is forgotten. Pure.
//!
//! Keeps the third invariant of the [history](super): a topic is forgotten as soon as it is not pinned and has no
//! frames. How far it was removed is kept for a while, in case it is made again.

use std::collections::HashMap;
use std::sync::Arc;

use super::topic::TopicHistory;
use crate::event::cursor::Offset;
use crate::log::history::removed::Removed;

/// The key of a topic's entry. Valid as long as the topic is pinned or has frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicKey(u32);

impl TopicKey {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    topic: TopicHistory,
    /// The number of handles and subscriptions.
    pins: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<TopicKey>,
    names: HashMap<Arc<str>, TopicKey>,
    /// The last removed record of forgotten topics.
    forgotten: Removed,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            forgotten: Removed::new(Offset::ZERO),
        }
    }
}

impl Table {
    /// Empties every topic after this offset, and forgets those that are not pinned.
    pub(super) fn reset(&mut self, removed_to: Offset) {
        self.forgotten = Removed::new(removed_to);
        for index in 0..self.entries.len() {
            if let Some(entry) = &mut self.entries[index] {
                entry.topic.clear(removed_to);
            }
            self.forget_if_idle(TopicKey(index as u32));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    /// The key of a topic, which is made if it is missing. The caller pins it or appends to it at once.
    pub(super) fn find_or_make(&mut self, name: &Arc<str>) -> TopicKey {
        if let Some(key) = self.find(name) {
            return key;
        }
        let entry = Entry {
            name: name.clone(),
            topic: TopicHistory::new(self.forgotten.of(name)),
            pins: 0,
        };
        let key = if let Some(key) = self.free.pop() {
            self.entries[key.index()] = Some(entry);
            key
        } else {
            self.entries.push(Some(entry));
            TopicKey((self.entries.len() - 1) as u32)
        };
        self.names.insert(name.clone(), key);
        key
    }

    pub(super) fn name(&self, key: TopicKey) -> Option<&Arc<str>> {
        Some(&self.entry(key)?.name)
    }

    pub(super) fn pin(&mut self, key: TopicKey) {
        if let Some(entry) = &mut self.entries[key.index()] {
            entry.pins += 1;
        }
    }

    pub(super) fn unpin(&mut self, key: TopicKey) {
        if let Some(entry) = &mut self.entries[key.index()] {
            entry.pins -= 1;
        }
        self.forget_if_idle(key);
    }

    /// Forgets a topic that is not pinned and has no frames.
    pub(super) fn forget_if_idle(&mut self, key: TopicKey) {
        let is_idle = |entry: &mut Entry| entry.pins == 0 && entry.topic.is_empty();
        if let Some(entry) = self.entries[key.index()].take_if(is_idle) {
            self.names.remove(&entry.name);
            self.free.push(key);
            self.forgotten.note(&entry.name, entry.topic.removed());
        }
    }

    pub(super) fn get_mut(&mut self, key: TopicKey) -> Option<&mut TopicHistory> {
        Some(&mut self.entries[key.index()].as_mut()?.topic)
    }

    /// Those of these topics that exist.
    pub(super) fn all<'a>(
        &'a self,
        keys: &'a [TopicKey],
    ) -> impl Iterator<Item = &'a TopicHistory> {
        keys.iter().filter_map(|key| Some(&self.entry(*key)?.topic))
    }

    fn entry(&self, key: TopicKey) -> Option<&Entry> {
        self.entries.get(key.index())?.as_ref()
    }
}
