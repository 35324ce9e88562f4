//! What comes to a shard from elsewhere: streams to take over, and readers whose question was answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use super::reader::Arrival;
use super::slots::Id;

/// The way to one shard.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Guards what lies in the box; held for a push or a take.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    letters: Letters,
    /// There is a shard that empties the box.
    is_open: bool,
    waker: Option<Waker>,
}

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) nudges: Vec<Id>,
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.nudges.is_empty()
    }
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a stream over. False if nobody empties the box yet: the caller then has to start a shard.
    pub(super) fn deliver(&self, arrival: Arrival) -> bool {
        let mut state = self.state();
        state.letters.arrivals.push(arrival);
        let was_open = std::mem::replace(&mut state.is_open, true);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        was_open
    }

    fn nudge(&self, id: Id) {
        let mut state = self.state();
        if !state.is_open {
            return;
        }
        state.letters.nudges.push(id);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Empties the box; if nothing lies in it, the task is woken by what comes next.
    pub(super) fn take(&self, waker: &Waker) -> Letters {
        let mut state = self.state();
        if state.letters.is_empty() {
            let is_known = state.waker.as_ref().is_some_and(|w| w.will_wake(waker));
            if !is_known {
                state.waker = Some(waker.clone());
            }
            return Letters::default();
        }
        std::mem::take(&mut state.letters)
    }

    /// The shard wants to end: false if something has come meanwhile.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut state = self.state();
        let is_empty = state.letters.is_empty();
        state.is_open = !is_empty;
        is_empty
    }

    /// The shard has ended. What lies in the box is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.waker = None;
        let letters = std::mem::take(&mut state.letters);
        drop(state);
        drop(letters);
    }
}

/// Wakes a shard for one reader.
#[derive(Debug)]
pub(super) struct Nudge {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) id: Id,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.mailbox.nudge(self.id);
    }
}
