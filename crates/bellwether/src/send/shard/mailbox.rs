//! What comes to a shard from elsewhere: streams to send, and readers whose bodies were woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Handover;
use super::slots::ReaderId;
use crate::send::stream_state::PollOrigin;

/// The inbox of one shard.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// Guards the items; held for a push or a take.
    state: Mutex<MailboxState>,
}

#[derive(Debug, Default)]
struct MailboxState {
    items: MailboxItems,
    /// A shard takes the items.
    is_open: bool,
    waker: Option<Waker>,
}

/// The items since the last take.
#[derive(Debug, Default)]
pub(super) struct MailboxItems {
    pub(super) handovers: Vec<Handover>,
    pub(super) woken: Vec<ReaderId>,
}

impl MailboxItems {
    pub(super) fn is_empty(&self) -> bool {
        self.handovers.is_empty() && self.woken.is_empty()
    }
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a stream over. False if there is no shard yet: the caller then has to start one.
    pub(crate) fn deliver(&self, handover: Handover) -> bool {
        let mut state = self.state();
        state.items.handovers.push(handover);
        let was_open = std::mem::replace(&mut state.is_open, true);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        was_open
    }

    fn wake_reader(&self, id: ReaderId) {
        let mut state = self.state();
        if !state.is_open {
            return;
        }
        state.items.woken.push(id);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes all items. If there are none, the next item wakes the task.
    pub(super) fn take(&self, waker: &Waker) -> MailboxItems {
        let mut state = self.state();
        if state.items.is_empty() {
            let is_known = state.waker.as_ref().is_some_and(|w| w.will_wake(waker));
            if !is_known {
                state.waker = Some(waker.clone());
            }
            return MailboxItems::default();
        }
        std::mem::take(&mut state.items)
    }

    /// The shard wants to end: false if something has come meanwhile.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut state = self.state();
        let is_empty = state.items.is_empty();
        state.is_open = !is_empty;
        is_empty
    }

    /// The shard ends. The caller ends the streams that were not taken.
    pub(crate) fn close(&self) -> Vec<Handover> {
        let mut state = self.state();
        state.is_open = false;
        state.waker = None;
        let items = std::mem::take(&mut state.items);
        drop(state);
        items.handovers
    }
}

/// Wakes a shard for one reader.
#[derive(Debug)]
struct ReaderWaker {
    mailbox: Arc<Mailbox>,
    id: AtomicU64,
}

impl Wake for ReaderWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let id = ReaderId::from_u64(self.id.load(Ordering::Acquire));
        self.mailbox.wake_reader(id);
    }
}

/// Wakers for the bodies of a shard. A body that keeps its waker gets one of its own; the others, such as those of
/// subscriptions, which a shard follows by topic, share one that costs nothing.
pub(super) struct Wakers {
    mailbox: Arc<Mailbox>,
    reader_waker: Arc<ReaderWaker>,
    shared: Waker,
    poll_origin: Arc<PollOrigin>,
}

impl Wakers {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        let (reader_waker, shared) = Self::make(&mailbox);
        Self {
            mailbox,
            reader_waker,
            shared,
            poll_origin: Arc::default(),
        }
    }

    /// The mark by which bodies know that this shard polls them.
    pub(super) fn poll_origin(&self) -> Arc<PollOrigin> {
        Arc::clone(&self.poll_origin)
    }

    /// A batch of polls of a reader's body begins.
    pub(super) fn begin_batch(&self) {
        self.poll_origin.begin_batch();
    }

    fn make(mailbox: &Arc<Mailbox>) -> (Arc<ReaderWaker>, Waker) {
        let reader_waker = Arc::new(ReaderWaker {
            mailbox: Arc::clone(mailbox),
            id: AtomicU64::new(0),
        });
        (Arc::clone(&reader_waker), reader_waker.into())
    }

    /// Polls for one reader. `own` is its waker, once it has one; one that it has from now on is returned.
    pub(super) fn poll<T>(
        &mut self,
        id: ReaderId,
        own: Option<&Waker>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, Option<Waker>) {
        /// The one here, and the one in the waker.
        const OURS: usize = 2;
        if let Some(waker) = own {
            return (self.poll_origin.poll(waker, poll), None);
        }
        self.reader_waker.id.store(id.to_u64(), Ordering::Release);
        let polled = self.poll_origin.poll(&self.shared, poll);
        let kept = (Arc::strong_count(&self.reader_waker) > OURS).then(|| {
            // The body has kept it, so it is this reader's from now on.
            let (reader_waker, shared) = Self::make(&self.mailbox);
            self.reader_waker = reader_waker;
            std::mem::replace(&mut self.shared, shared)
        });
        (polled, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_keeps_its_waker_is_woken_by_its_own_name_and_others_share_one() {
        let mailbox = Arc::<Mailbox>::default();
        mailbox.state().is_open = true;
        let mut wakers = Wakers::new(Arc::clone(&mailbox));
        let id = |index| ReaderId {
            index,
            generation: 7,
        };
        let pending = |_: &mut Context<'_>| Poll::<()>::Pending;
        let (_, first) = wakers.poll(id(1), None, pending);
        assert!(first.is_none());
        let mut kept = None;
        let (_, second) = wakers.poll(id(2), None, |cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(second.is_some());
        let (_, third) = wakers.poll(id(3), None, |cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(third.is_none());
        if let Some(waker) = kept {
            waker.wake();
        }
        let woken = mailbox.take(Waker::noop()).woken;
        assert_eq!(woken, [id(3), id(2)]);
    }
}
