//! One shard: the task that sends many streams, and each of its turns.
//!
//! A turn empties the mailbox, polls the sockets, checks the stop and the deadlines, and then serves readers, at most
//! [`SENDS_PER_TURN`] times. Between two turns the runtime polls its own sockets, so requests and publishes are
//! answered while a long round lasts. Within a turn, the groups of topics and the readers that are served on their own
//! take turns with a small quota each, so none of them delays another by more than a few turns.

mod delivery;
mod group;
mod mailbox;
mod poller;
mod reader;
mod registration;
mod slots;
mod socket;
mod sockets;
#[cfg(feature = "tls")]
mod tls;
mod wheel;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_topics::{TopicId, Watch, WatchToken};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

#[cfg(test)]
pub(crate) use group::read_frames;
pub(crate) use mailbox::Mailbox;
pub(crate) use reader::{Handover, RequestInput};
pub(crate) use socket::ShardSocket;
#[cfg(feature = "tls")]
pub(crate) use tls::TlsSocket;

use super::engine::EngineConfig;
use group::{Group, ReadBuffers};
use mailbox::Wakers;
use poller::{Poller, SocketEvent};
use reader::Reader;
use slots::{ReaderId, Slots};
use wheel::Wheel;

/// Readers that are served in one turn.
const SENDS_PER_TURN: usize = 64;

/// Streams that are taken in in one turn.
const HANDOVERS_PER_TURN: usize = 64;

/// Readers of one group that are served before others get their turn.
const SENDS_PER_GROUP: usize = 32;

/// Readers that are served on their own before a group gets its turn.
const SENDS_ALONE: usize = 16;

/// The task of one shard. Resolves when the server has stopped and no stream is left.
pub(crate) struct Shard {
    config: Arc<EngineConfig>,
    mailbox: Arc<Mailbox>,
    wakers: Wakers,
    poller: Poller,
    slots: Slots<Reader>,
    watch: Watch,
    /// By the number of the watch's token.
    groups: Vec<Option<Group>>,
    tokens: HashMap<TopicId, WatchToken>,
    wheel: Wheel,
    timer: Pin<Box<Sleep>>,
    /// Streams that are still to be taken in.
    handovers: VecDeque<Handover>,
    /// Groups with something to do.
    ready_groups: VecDeque<WatchToken>,
    /// Readers that are served on their own.
    queue: VecDeque<ReaderId>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_stopping: bool,
    buffers: ShardBuffers,
}

/// What a turn needs and no reader keeps.
#[derive(Default)]
struct ShardBuffers {
    out: Vec<u8>,
    input: Vec<u8>,
    reading: ReadBuffers,
    events: Vec<SocketEvent>,
    dirty: Vec<WatchToken>,
}

impl Shard {
    pub(crate) fn new(config: Arc<EngineConfig>, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            wakers: Wakers::new(Arc::clone(&mailbox)),
            poller: Poller::new()?,
            slots: Slots::new(),
            watch: Watch::new(),
            groups: Vec::new(),
            tokens: HashMap::new(),
            wheel: Wheel::new(now),
            timer: Box::pin(tokio::time::sleep_until(now)),
            handovers: VecDeque::new(),
            ready_groups: VecDeque::new(),
            queue: VecDeque::new(),
            stopping: Box::pin(config.lifecycle.stopping()),
            cut: Box::pin(config.cut.clone().cancelled_owned()),
            is_stopping: false,
            buffers: ShardBuffers {
                input: vec![0; 4096],
                ..ShardBuffers::default()
            },
            config,
            mailbox,
        })
    }

    // --- The turn ---

    /// Collects everything that has happened since the last turn.
    fn collect_events(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        self.take_mailbox(cx, now);
        if !self.is_stopping && self.stopping.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            // Each body says when the stop ends it.
            for id in self.slots.ids() {
                self.enqueue(id);
            }
        }
        self.poll_sockets(cx, now)?;
        // First taken, then done: what is due again at once is done in the next turn.
        let mut due = Vec::new();
        while let Some(entry) = self.wheel.due(now) {
            due.push(entry);
        }
        for (tick, ids) in due {
            for id in ids {
                self.handle_deadline(id, tick, now);
            }
        }
        self.poll_topics(cx);
        Ok(())
    }

    fn take_mailbox(&mut self, cx: &mut Context<'_>, now: Instant) {
        loop {
            let items = self.mailbox.take(cx.waker());
            if items.is_empty() {
                break;
            }
            self.handovers.extend(items.handovers);
            for id in items.woken {
                self.enqueue(id);
            }
        }
        for _ in 0..HANDOVERS_PER_TURN {
            let Some(handover) = self.handovers.pop_front() else {
                return;
            };
            self.register(handover, now);
        }
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        /// Polls of the sockets in one turn.
        const POLLS_PER_TURN: usize = 4;
        let mut events = std::mem::take(&mut self.buffers.events);
        for poll in 1..=POLLS_PER_TURN {
            events.clear();
            if !self.poller.poll(cx, &mut events)? {
                break;
            }
            if poll == POLLS_PER_TURN {
                cx.waker().wake_by_ref();
            }
            for event in &events {
                self.handle_socket_event(*event, now);
            }
        }
        self.buffers.events = events;
        Ok(())
    }

    fn poll_topics(&mut self, cx: &mut Context<'_>) {
        let mut dirty = std::mem::take(&mut self.buffers.dirty);
        while self.watch.poll_dirty(cx, &mut dirty).is_ready() {
            for token in dirty.drain(..) {
                if let Some(Some(group)) = self.groups.get_mut(token.index()) {
                    group.has_news = true;
                    if !std::mem::replace(&mut group.is_queued, true) {
                        self.ready_groups.push_back(token);
                    }
                }
            }
        }
        self.buffers.dirty = dirty;
    }

    /// Serves readers, up to the number of one turn.
    fn serve_readers(&mut self, now: Instant) {
        let mut budget = SENDS_PER_TURN;
        while budget > 0 && self.has_work() {
            // Those that are queued again by what follows have their turn later.
            let alone = self.queue.len().min(SENDS_ALONE).min(budget);
            for _ in 0..alone {
                if let Some(id) = self.queue.pop_front() {
                    self.serve(id, now);
                }
            }
            budget -= alone;
            if let Some(token) = self.ready_groups.pop_front() {
                let quota = budget.min(SENDS_PER_GROUP);
                let left = self.deliver(token, quota, now);
                budget -= quota - left;
            }
        }
    }

    /// Whether a reader waits to be served.
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.ready_groups.is_empty()
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
            this.drop_all();
            return Poll::Ready(());
        }
        if let Err(error) = this.collect_events(cx, now) {
            tracing::error!(%error, "the delivery engine cannot watch its sockets");
            this.fail_all();
            return Poll::Ready(());
        }
        this.serve_readers(now);
        if this.has_work() || !this.handovers.is_empty() {
            // A plain wake-up would be served before the runtime has looked at its sockets again.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
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
        drop(self.mailbox.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_waits_holds_little_in_the_table() {
        // The rest of what an idle subscription holds is its body.
        assert!(size_of::<Reader>() <= 104, "{}", size_of::<Reader>());
    }
}
