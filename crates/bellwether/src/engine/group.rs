//! The readers of one topic on one shard, and the walk that brings them what is new.
//!
//! The log is read once for all of them. Who stands where that reading began is written the same bytes. A walk may take
//! several turns of its task; meanwhile readers leave and come, so a walk goes from the end of the list to its
//! beginning: whoever takes the place of one who left has been visited or will be, and the place of a
//! reader in the log says whether it had its bytes.

use std::time::Instant;

use bellwether_topics::{Frame, LogReader, Place, Read, TopicId};
use bytes::Bytes;

/// One read takes at most so many bytes, unless one event alone has more.
pub(super) const MAX_READ_BYTES: usize = 64 * 1024;

/// The readers of one topic.
pub(super) struct Group {
    pub(super) topic: TopicId,
    log: LogReader,
    /// Each reader's number, and which of its topics this one is.
    pub(super) members: Vec<Member>,
    /// Stands in the queue of groups with something new.
    pub(super) is_queued: bool,
    /// Nothing was read since the topic was reported.
    pub(super) is_fresh: bool,
    walk: Option<Walk>,
    /// How often readers had been sent away when all members were last looked at for that.
    kicks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) reader: u32,
    pub(super) nth: u32,
}

/// One round through the members.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) news: News,
    /// The members before this one are yet to be visited.
    pub(super) next: usize,
    /// Somebody was sent away, so every member is asked. Otherwise a walk touches nothing of a reader but its socket,
    /// its place and its accounts.
    pub(super) asks: bool,
}

/// What a walk brings.
#[derive(Debug)]
pub(super) enum News {
    /// Events, for everybody who stands where the reading began.
    Shared(Shared),
    /// No event; perhaps somebody was sent away. Who stands here has had everything.
    None(Place),
    /// The log was replaced, closed, or has moved on: everybody looks for itself.
    Unknown,
}

/// What was read once for many.
#[derive(Debug)]
pub(super) struct Shared {
    /// The chunks of all events.
    pub(super) bytes: Bytes,
    pub(super) start: Place,
    pub(super) end: Place,
    pub(super) events: usize,
    /// The size of the events without their framing.
    pub(super) event_bytes: usize,
    /// When the first of them was published.
    pub(super) published: Instant,
}

impl Group {
    pub(super) fn new(topic: TopicId, log: LogReader) -> Self {
        Self {
            topic,
            log,
            members: Vec::new(),
            is_queued: false,
            is_fresh: false,
            walk: None,
            kicks: 0,
        }
    }

    /// The walk under way, or the next one. `None` when there is nothing to walk for any more.
    pub(super) fn take_walk(&mut self, frames: &mut Vec<Frame>) -> Option<Walk> {
        if let Some(walk) = self.walk.take() {
            return Some(walk);
        }
        let start = self.log.place();
        let is_fresh = std::mem::take(&mut self.is_fresh);
        frames.clear();
        let news = match self.log.read(MAX_READ_BYTES, frames) {
            Read::Frames => News::Shared(Shared {
                bytes: join(frames),
                start,
                end: self.log.place(),
                events: frames.len(),
                event_bytes: frames.iter().map(Frame::len).sum(),
                published: frames.first().map_or_else(Instant::now, Frame::entered_at),
            }),
            Read::CaughtUp if is_fresh => News::None(self.log.place()),
            Read::CaughtUp => return None,
            // A closed log says so at every read.
            Read::Closed if !is_fresh => return None,
            _ => News::Unknown,
        };
        frames.clear();
        // Looked at after the reading: whoever was sent away before an event was published does not get it.
        let kicks = self.log.kicks();
        Some(Walk {
            news,
            next: self.members.len(),
            asks: std::mem::replace(&mut self.kicks, kicks) != kicks,
        })
    }

    /// Puts a walk aside until the next turn.
    pub(super) fn put_walk(&mut self, walk: Walk) {
        self.walk = Some(walk);
    }
}

/// The chunks of these frames in one piece; of one frame, without a copy.
fn join(frames: &[Frame]) -> Bytes {
    match frames {
        [frame] => frame.chunk().clone(),
        frames => {
            let size = frames.iter().map(|frame| frame.chunk().len()).sum();
            let mut joined = Vec::with_capacity(size);
            for frame in frames {
                joined.extend_from_slice(frame.chunk());
            }
            joined.into()
        }
    }
}
