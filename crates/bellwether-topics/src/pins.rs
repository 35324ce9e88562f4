//! [`Pins`]: one [`Pin`] for each topic that is held, shared by all who hold it.
//!
//! A subscription holds its topics for as long as it lasts. With a pin of its own each of ten thousand idle ones would
//! keep a hundred bytes that say the same.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::history::TopicKey;
use crate::log::Log;
use crate::sync::{Mutex, lock};

/// Keeps a topic's entry in the log.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) log: Arc<Log>,
    pub(crate) key: TopicKey,
    /// The topic's name, alone in a list, which is what most subscriptions need.
    pub(crate) names: Arc<[Arc<str>]>,
}

impl Pin {
    pub(crate) fn name(&self) -> &Arc<str> {
        // Made with exactly one name.
        &self.names[0]
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.log.pins.forget(self);
        self.log.unpin(self.key);
    }
}

/// The pins of a log. The lock guards the table and is never held together with another one, nor while a pin is dropped.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<HashMap<Arc<str>, Weak<Pin>>>);

impl Pins {
    /// The pin of this topic, if somebody holds it.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Pin>> {
        lock(&self.0).get(name)?.upgrade()
    }

    /// Shares a pin that was made because there was none. Another one that was made meanwhile wins.
    pub(crate) fn share(&self, pin: Arc<Pin>) -> Arc<Pin> {
        let name = pin.name();
        let mut pins = lock(&self.0);
        if let Some(other) = pins.get(name).and_then(Weak::upgrade) {
            // Before the pin that lost, whose end takes the lock.
            drop(pins);
            return other;
        }
        pins.insert(name.clone(), Arc::downgrade(&pin));
        drop(pins);
        pin
    }

    /// Removes a pin that nobody holds any more, unless another has taken its place.
    fn forget(&self, pin: &Pin) {
        let mut pins = lock(&self.0);
        let known = pins.get(pin.name());
        if known.is_some_and(|known| std::ptr::eq(known.as_ptr(), pin)) {
            pins.remove(pin.name());
        }
    }
}
