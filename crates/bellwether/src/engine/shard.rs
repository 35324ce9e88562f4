//! One shard: the task that owns sockets, and each of its turns.
//!
//! A turn takes what has come, looks at the sockets, at the stop and at the deadlines, and then writes, at most
//! [`SENDS_PER_TURN`] times, so that whatever else the runtime has to do gets its chance in between.

mod delivery;
mod lives;
mod sockets;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_topics::{Delivery, Frame, TopicId, Watch, WatchToken};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Rules;
use super::closing::Closing;
use super::group::Group;
use super::mailbox::Mailbox;
use super::poller::{Happened, Poller};
use super::reader::Reader;
use super::slots::{Id, Slots};
use super::wheel::Wheel;
use crate::events::StreamOptions;
use crate::lifecycle::CloseReason;

/// Writes of one turn.
const SENDS_PER_TURN: usize = 64;

/// What a socket is there for. Readers, the usual case, lie side by side in the table.
enum Slot {
    Reading(Reader),
    Closing(Closing),
}

/// The task of one shard. Resolves when the server has stopped and nobody is left.
pub(super) struct Shard {
    rules: Arc<Rules>,
    mailbox: Arc<Mailbox>,
    poller: Poller,
    slots: Slots<Slot>,
    watch: Watch,
    /// By the number of the watch's token.
    groups: Vec<Option<Group>>,
    tokens: HashMap<TopicId, WatchToken>,
    wheel: Wheel,
    timer: Pin<Box<Sleep>>,
    /// Groups with something new.
    news: VecDeque<WatchToken>,
    /// Readers that read for themselves.
    queue: VecDeque<Id>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_stopping: bool,
    options: Vec<Arc<StreamOptions>>,
    paths: Vec<Arc<str>>,
    buffers: Buffers,
}

/// What a turn needs and no reader keeps.
#[derive(Default)]
struct Buffers {
    out: Vec<u8>,
    input: Vec<u8>,
    deliveries: Vec<Delivery>,
    frames: Vec<Frame>,
    happened: Vec<Happened>,
    dirty: Vec<WatchToken>,
}

impl Shard {
    pub(super) fn new(rules: Arc<Rules>, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            poller: Poller::new()?,
            slots: Slots::new(),
            watch: Watch::new(),
            groups: Vec::new(),
            tokens: HashMap::new(),
            wheel: Wheel::new(now),
            timer: Box::pin(tokio::time::sleep_until(now)),
            news: VecDeque::new(),
            queue: VecDeque::new(),
            stopping: Box::pin(rules.lifecycle.stopping()),
            cut: Box::pin(rules.cut.clone().cancelled_owned()),
            is_stopping: false,
            options: Vec::new(),
            paths: Vec::new(),
            buffers: Buffers {
                input: vec![0; 4096],
                ..Buffers::default()
            },
            rules,
            mailbox,
        })
    }

    // --- The turn ---

    /// Takes in whatever has happened.
    fn notice(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        /// So many looks at the sockets in one turn.
        const LOOKS: usize = 4;
        loop {
            let letters = self.mailbox.take(cx.waker());
            if letters.arrivals.is_empty() && letters.nudges.is_empty() {
                break;
            }
            for arrival in letters.arrivals {
                self.adopt(arrival);
            }
            for id in letters.nudges {
                self.enqueue(id);
            }
        }
        if !self.is_stopping && self.stopping.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            for id in self.slots.ids() {
                self.schedule(id);
            }
        }
        let mut happened = std::mem::take(&mut self.buffers.happened);
        for look in 1..=LOOKS {
            happened.clear();
            if !self.poller.poll(cx, &mut happened)? {
                break;
            }
            if look == LOOKS {
                cx.waker().wake_by_ref();
            }
            for happened in &happened {
                self.look_at_socket(*happened, now);
            }
        }
        self.buffers.happened = happened;
        // First taken, then done: what is due again at once is done in the next turn.
        let mut due = Vec::new();
        while let Some(entry) = self.wheel.due(now) {
            due.push(entry);
        }
        for (tick, ids) in due {
            for id in ids {
                self.remind(id, tick, now);
            }
        }
        let mut dirty = std::mem::take(&mut self.buffers.dirty);
        while self.watch.poll_dirty(cx, &mut dirty).is_ready() {
            for token in dirty.drain(..) {
                if let Some(Some(group)) = self.groups.get_mut(token.index()) {
                    group.is_fresh = true;
                    if !std::mem::replace(&mut group.is_queued, true) {
                        self.news.push_back(token);
                    }
                }
            }
        }
        self.buffers.dirty = dirty;
        Ok(())
    }

    /// Writes, as much as one turn may. Readers by themselves and groups take turns.
    fn work(&mut self, now: Instant) {
        let mut budget = SENDS_PER_TURN;
        while budget > 0 {
            let queued = self.queue.pop_front();
            if let Some(id) = queued {
                self.serve(id, &mut budget, now);
            }
            let Some(token) = self.news.front().copied() else {
                match queued {
                    Some(_) => continue,
                    None => return,
                }
            };
            if self.walk(token, &mut budget, now) {
                self.news.pop_front();
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.news.is_empty()
    }

    /// Sets the timer to the next deadline.
    fn wait_for_deadline(&mut self, cx: &mut Context<'_>) {
        let Some(next) = self.wheel.next() else {
            return;
        };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Future for Shard {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = Instant::now();
        if this.cut.as_mut().poll(cx).is_ready() {
            this.drop_all(CloseReason::Stopping);
            return Poll::Ready(());
        }
        if let Err(error) = this.notice(cx, now) {
            tracing::error!(%error, "the delivery engine cannot watch its sockets");
            this.drop_all(CloseReason::Error);
            return Poll::Ready(());
        }
        this.work(now);
        if this.has_work() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.is_stopping && this.slots.len() == 0 && this.mailbox.close_if_empty() {
            return Poll::Ready(());
        }
        this.wait_for_deadline(cx);
        Poll::Pending
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_waits_holds_no_more_in_the_table_than_it_did() {
        // With its seat in the topics, about 100 bytes, and its places in lists, this is what an idle subscription
        // holds: less than 512 bytes.
        assert!(size_of::<Slot>() <= 304, "{}", size_of::<Slot>());
    }
}
