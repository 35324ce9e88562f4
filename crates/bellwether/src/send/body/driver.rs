//! The code that polls a body: found out at the first poll, and what a body does differently for a shard.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::EventBody;
use crate::lifecycle::{StreamPath, Streams};
use crate::send::feed::{FeedPosition, FeedSlice};
use crate::send::producer::EventProducer;
use crate::send::stream_state::{PollBatch, ShardAttachment, StreamState};
use crate::send::timer::Timer;

/// The time from publish to body is noted for one in this many events of a feed.
const EVENTS_PER_LAG: u64 = 64;

/// The code that polls the body.
pub(super) enum Driver {
    /// Not known before the first poll.
    Unknown,
    /// Any other driver: the body keeps its own time.
    Any(Box<Timer>),
    /// A shard.
    Shard {
        attachment: ShardAttachment,
        /// The batch in which a poll took everything that the feed had: nothing else follows in that batch.
        fed_in_batch: Option<PollBatch>,
    },
}

impl EventBody {
    // --- The driver ---

    /// Finds out the driver of the body: at the first poll, and again if a poll does not come from the shard.
    pub(super) fn detect_driver(&mut self, cx: &Context<'_>) {
        let stream_state = self.stream_state.as_deref();
        match &self.driver {
            Driver::Any(_) => {}
            Driver::Shard { attachment, .. } if attachment.poll_origin.is_by(cx) => {}
            // A layer polls with a waker of its own, and does so from now on.
            Driver::Shard { .. } => {
                if let Some(stream_state) = stream_state {
                    stream_state.set_deadline(None);
                }
                self.driver = Driver::Any(Box::new(Timer::new(self.guard.lifecycle())));
            }
            Driver::Unknown => {
                self.signal.take_if(|signal| !signal.is_needed());
                let attachment = stream_state
                    .and_then(StreamState::take_attachment)
                    .filter(|attachment| attachment.poll_origin.is_by(cx));
                self.driver = match attachment {
                    Some(attachment) => {
                        Streams::note_path(StreamPath::Engine);
                        Driver::Shard {
                            attachment: *attachment,
                            fed_in_batch: None,
                        }
                    }
                    None => {
                        drop(stream_state.map(StreamState::take_reads));
                        Streams::note_path(StreamPath::Body);
                        Driver::Any(Box::new(Timer::new(self.guard.lifecycle())))
                    }
                };
            }
        }
    }

    /// Waits for the next thing that is due. Ready if something is due already.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let plan = self.guard.lifecycle().plan();
        let mut deadline = self.machine.deadline(plan);
        match &mut self.driver {
            Driver::Unknown => Poll::Pending,
            Driver::Any(timer) => timer.poll(cx, deadline, plan.is_some()),
            Driver::Shard { .. } => {
                if let Some(EventProducer::Subscription(subscription)) = &self.producer
                    && let Some(at) = subscription.expires_at()
                {
                    deadline = deadline.into_iter().chain([Instant::from_std(at)]).min();
                }
                if let Some(stream_state) = &self.stream_state {
                    stream_state.set_deadline(deadline);
                }
                Poll::Pending
            }
        }
    }

    /// What the shard has read for this reader and others.
    pub(super) fn take_from_feed(&mut self) -> Option<FeedSlice> {
        let Driver::Shard {
            attachment:
                ShardAttachment {
                    feed: Some(feed),
                    poll_origin,
                },
            fed_in_batch,
        } = &mut self.driver
        else {
            return None;
        };
        let Some(EventProducer::Subscription(subscription)) = &mut self.producer else {
            return None;
        };
        *fed_in_batch = None;
        let slice = match feed.find(&subscription.position()) {
            FeedPosition::FeedSlice(slice) => slice,
            FeedPosition::AtEnd | FeedPosition::Outside => return None,
        };
        let now = slice.now;
        let is_stopped = self.guard.lifecycle().plan().is_some();
        if is_stopped || !self.machine.is_open() || subscription.is_revoked(now.into_std()) {
            return None;
        }
        subscription.set_position(slice.end, slice.events);
        let before = self.guard.count(slice.events as u64, slice.data.len());
        if before.is_multiple_of(EVENTS_PER_LAG) {
            subscription.record_lag(slice.published);
        }
        self.machine.note_sent(now);
        self.awaits_id = false;
        *fed_in_batch = Some(poll_origin.batch());
        Some(slice)
    }

    /// Whether a poll of the same batch took all that a feed had, which is then all there is. What is read later than
    /// that is brought by another batch.
    pub(super) fn took_whole_feed(&self) -> bool {
        match &self.driver {
            Driver::Shard {
                attachment,
                fed_in_batch: Some(batch),
            } => attachment.poll_origin.batch() == *batch,
            _ => false,
        }
    }
}
