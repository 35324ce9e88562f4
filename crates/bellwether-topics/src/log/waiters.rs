//! The waiters of a topic: tasks that found nothing new, and watches that follow many topics at once. Pure.
//!
//! A reader that finds nothing puts its waker here under the same lock under which it read, and a publish takes the
//! whole list under that lock after it has appended. So no wake-up can be lost between reading and registering, a burst
//! of publishes wakes a reader once, and a publish takes a list of ten thousand wakers by moving one pointer.

use std::sync::Arc;
use std::task::Waker;

use crate::lock::{Mutex, lock};

/// The tasks that wait for one topic.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Counts how often the list was taken. Tickets of earlier rounds are void.
    round: u64,
    slots: Vec<Option<Waker>>,
    free: Vec<u32>,
}

/// A reader's slot in a topic's list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    round: u64,
    slot: u32,
}

/// Wakers that were taken and must be woken, outside of the lock.
#[derive(Debug, Default)]
#[must_use = "readers sleep on unless they are woken"]
pub(crate) struct Wakes(Vec<Option<Waker>>);

impl Waiters {
    /// Makes sure that the reader is woken by the next publish. A reader has one slot however often it asks.
    ///
    /// What it replaces goes to `stale`, to be dropped outside of the lock: with some executors the last waker owns the
    /// task, and the task a subscription, whose drop takes the lock.
    pub(crate) fn register(
        &mut self,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
        stale: &mut Vec<Waker>,
    ) {
        if let Some(ticket) = ticket
            && ticket.round == self.round
            && let Some(Some(known)) = self.slots.get_mut(ticket.slot as usize)
        {
            if !known.will_wake(waker) {
                stale.push(std::mem::replace(known, waker.clone()));
            }
            return;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(waker.clone());
                slot
            }
            None => {
                self.slots.push(Some(waker.clone()));
                (self.slots.len() - 1) as u32
            }
        };
        *ticket = Some(Ticket {
            round: self.round,
            slot,
        });
    }

    /// Removes a reader's waker from the list, if it is still there.
    pub(crate) fn cancel(&mut self, ticket: Ticket, stale: &mut Vec<Waker>) {
        if ticket.round == self.round
            && let Some(slot) = self.slots.get_mut(ticket.slot as usize)
            && let Some(waker) = slot.take()
        {
            self.free.push(ticket.slot);
            stale.push(waker);
        }
    }

    /// Takes the whole list.
    pub(crate) fn drain(&mut self, wakes: &mut Wakes) {
        if self.slots.is_empty() {
            return;
        }
        self.round += 1;
        self.free.clear();
        wakes.add(std::mem::take(&mut self.slots));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Wakes {
    fn add(&mut self, list: Vec<Option<Waker>>) {
        if self.0.is_empty() {
            self.0 = list;
        } else {
            self.0.extend(list);
        }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        self.0.push(Some(waker));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Wakes up to `count` readers. Returns whether more are left.
    pub(crate) fn wake_some(&mut self, count: usize) -> bool {
        let rest = self.0.len().saturating_sub(count);
        for waker in self.0.drain(rest..).flatten() {
            waker.wake();
        }
        !self.0.is_empty()
    }
}

impl Drop for Wakes {
    /// The task that was to wake the readers may be dropped, and they must not sleep on.
    fn drop(&mut self) {
        self.wake_some(usize::MAX);
    }
}

/// The topics of one watch that have something new, and the task to wake.
///
/// Its lock is taken under the log's lock, never the other way round.
#[derive(Debug, Default)]
pub(crate) struct WatchSignal(Mutex<SignalState>);

#[derive(Debug, Default)]
struct SignalState {
    /// Tokens of topics with something new, each once.
    dirty: Vec<u32>,
    is_dirty: Vec<bool>,
    waker: Option<Waker>,
}

impl WatchSignal {
    /// Notes that a topic has something new. Wakes the task only if nothing was new before.
    pub(crate) fn mark(&self, token: u32, wakes: &mut Wakes) {
        let mut state = lock(&self.0);
        let index = token as usize;
        if state.is_dirty.len() <= index {
            state.is_dirty.resize(index + 1, false);
        }
        if !std::mem::replace(&mut state.is_dirty[index], true) {
            state.dirty.push(token);
            if let Some(waker) = state.waker.take() {
                wakes.push(waker);
            }
        }
    }

    /// Takes the topics that have something new, or keeps the waker if there are none. Returns whether there were any.
    pub(crate) fn take(&self, waker: &Waker, out: &mut Vec<u32>) -> bool {
        // Declared before the guard, so dropped after it.
        let _stale;
        let mut state = lock(&self.0);
        if state.dirty.is_empty() {
            let is_known = matches!(&state.waker, Some(known) if known.will_wake(waker));
            if !is_known {
                _stale = state.waker.replace(waker.clone());
            }
            return false;
        }
        let SignalState {
            dirty, is_dirty, ..
        } = &mut *state;
        for token in dirty.iter() {
            is_dirty[*token as usize] = false;
        }
        out.append(dirty);
        true
    }
}

/// A watch's interest in one topic.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    pub(crate) signal: Arc<WatchSignal>,
    pub(crate) token: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_asks_again_and_again_has_one_slot() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (None, None);
        for _ in 0..3 {
            waiters.register(&mut first, Waker::noop(), &mut Vec::new());
            waiters.register(&mut second, Waker::noop(), &mut Vec::new());
        }
        assert_eq!(waiters.len(), 2);
        waiters.cancel(first.unwrap(), &mut Vec::new());
        waiters.cancel(first.unwrap(), &mut Vec::new());
        assert_eq!(waiters.len(), 1);
        let mut third = None;
        waiters.register(&mut third, Waker::noop(), &mut Vec::new());
        assert_eq!(waiters.slots.len(), 2, "a free slot is used again");
    }

    #[test]
    fn a_ticket_of_an_earlier_round_is_void() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (None, None);
        waiters.register(&mut first, Waker::noop(), &mut Vec::new());
        let mut wakes = Wakes::default();
        waiters.drain(&mut wakes);
        assert_eq!(wakes.len(), 1);
        waiters.register(&mut second, Waker::noop(), &mut Vec::new());
        waiters.cancel(first.unwrap(), &mut Vec::new());
        assert_eq!(
            waiters.len(),
            1,
            "the slot belongs to the second reader now"
        );
        waiters.register(&mut first, Waker::noop(), &mut Vec::new());
        assert_eq!(waiters.len(), 2);
    }
}
