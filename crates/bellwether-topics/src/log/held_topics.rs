//! [`HeldTopics`]: one [`HeldTopic`] for each topic in use, shared by all its handles and subscriptions.
//!
//! A subscription holds its topics for as long as it lasts. With a copy of its own, each of ten thousand idle ones
//! would keep the same hundred bytes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::lock::{Mutex, lock};
use crate::log::Log;
use crate::log::history::TopicKey;

/// Pins a topic's entry in the log until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldTopic {
    pub(crate) log: Arc<Log>,
    pub(crate) key: TopicKey,
    /// The topic's name as a list of one, which most subscriptions need.
    pub(crate) names: Arc<[Arc<str>]>,
}

impl HeldTopic {
    pub(crate) fn name(&self) -> &Arc<str> {
        // Made with exactly one name.
        &self.names[0]
    }
}

impl Drop for HeldTopic {
    fn drop(&mut self) {
        self.log.held_topics.forget(self);
        self.log.unpin(self.key);
    }
}

/// The topics of a log that are in use. The lock guards the table. No other lock is taken under it, and no entry is
/// dropped under it.
#[derive(Debug, Default)]
pub(crate) struct HeldTopics(Mutex<HashMap<Arc<str>, Weak<HeldTopic>>>);

impl HeldTopics {
    /// The entry of this topic, if the topic is in use.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<HeldTopic>> {
        lock(&self.0).get(name)?.upgrade()
    }

    /// Shares an entry that was made because there was none. One that was made meanwhile wins.
    pub(crate) fn share(&self, held: Arc<HeldTopic>) -> Arc<HeldTopic> {
        let name = held.name();
        let mut held_topics = lock(&self.0);
        if let Some(other) = held_topics.get(name).and_then(Weak::upgrade) {
            // The entry that lost takes the lock when it is dropped.
            drop(held_topics);
            return other;
        }
        held_topics.insert(name.clone(), Arc::downgrade(&held));
        drop(held_topics);
        held
    }

    /// Removes an entry that is being dropped, unless another one has replaced it.
    fn forget(&self, held: &HeldTopic) {
        let mut held_topics = lock(&self.0);
        let known = held_topics.get(held.name());
        if known.is_some_and(|known| std::ptr::eq(known.as_ptr(), held)) {
            held_topics.remove(held.name());
        }
    }
}
