//! The idempotency keys of the recent past and the cursors they got. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::cursor::Cursor;

/// The idempotency keys of the last while, up to a maximum number.
#[derive(Debug)]
pub(crate) struct IdempotencyKeys {
    duration: Duration,
    max_keys: usize,
    cursors: HashMap<Arc<str>, Cursor>,
    order: VecDeque<(Instant, Arc<str>)>,
}

impl IdempotencyKeys {
    pub(crate) fn new(duration: Duration, max_keys: usize) -> Self {
        Self {
            duration,
            max_keys,
            cursors: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The name under which a topic's key is kept. No topic's name contains NUL.
    pub(crate) fn scoped(topic: &str, key: &str) -> Arc<str> {
        Arc::from(format!("{topic}\0{key}"))
    }

    /// The cursor that a key got within the window.
    pub(crate) fn find(&mut self, scoped: &str, now: Instant) -> Option<Cursor> {
        self.expire(now);
        self.cursors.get(scoped).copied()
    }

    /// Keeps a key that [`find`](Self::find) did not find.
    pub(crate) fn insert(&mut self, scoped: Arc<str>, cursor: Cursor, now: Instant) {
        self.cursors.insert(scoped.clone(), cursor);
        self.order.push_back((now, scoped));
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front()
            && (self.order.len() > self.max_keys
                || now.saturating_duration_since(*since) >= self.duration)
        {
            if let Some((_, key)) = self.order.pop_front() {
                self.cursors.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::cursor::{Epoch, Offset};

    #[test]
    fn a_key_is_known_for_the_window_and_within_the_bound() {
        let cursor = |n| Cursor {
            epoch: Epoch(1),
            offset: Offset::new(n),
            tag: 0,
        };
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut window = IdempotencyKeys::new(Duration::from_secs(10), 2);
        window.insert(IdempotencyKeys::scoped("t", "a"), cursor(1), at(0));
        assert_eq!(window.find("t\0a", at(9)), Some(cursor(1)));
        assert_eq!(window.find("u\0a", at(9)), None, "another topic's key");
        assert_eq!(window.find("t\0a", at(10)), None);
        for (n, key) in ["b", "c", "d"].into_iter().enumerate() {
            window.insert(IdempotencyKeys::scoped("t", key), cursor(n as u64), at(11));
        }
        assert_eq!(window.find("t\0b", at(12)), None);
        assert_eq!(window.find("t\0d", at(12)), Some(cursor(2)));
        assert_eq!(window.cursors.len(), window.order.len());
    }
}
