//! The readers of one topic on one shard, and the round that delivers what is new.
//!
//! The log is read once for all of them, into the topic's [`Feed`]. A round goes from reader to reader and may take
//! several turns of the shard. What is published meanwhile is read between the turns and joins what the later readers of
//! the same round get; the round ends when every reader was served after the last reading. Readers leave and
//! come while it lasts: a reader that moves to the position of another is served on its own.

use std::sync::Arc;

use bellwether_topics::{Frame, LogReader, Position, Read, TopicId};

use crate::send::Feed;

/// One reading takes at most this many bytes, unless one event alone has more. A window holds twice as much.
pub(super) const MAX_READ_BYTES: usize = 64 * 1024;

/// One reading takes at most this many events.
const MAX_READ_EVENTS: usize = 256;

/// The readers of one topic.
pub(super) struct Group {
    pub(super) topic: TopicId,
    log: LogReader,
    pub(super) feed: Arc<Feed>,
    /// Each reader's number, and which of its topics this one is.
    pub(super) members: Vec<Member>,
    /// It is in the queue of groups with something to do.
    pub(super) is_queued: bool,
    /// There may be something in the log that was not read.
    pub(super) has_news: bool,
    /// Counts the readings. A reader that was served after the last one has had everything.
    pub(super) reading: u32,
    /// The member that was served last.
    cursor: usize,
    /// This many members still have their turn in this round.
    remaining: usize,
    /// How many kicks of readers there were at the last check.
    kicks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) reader: u32,
    pub(super) nth: u32,
}

/// What a shard needs to read a log; kept for its allocations.
#[derive(Debug, Default)]
pub(super) struct ReadBuffers {
    frames: Vec<Frame>,
    positions: Vec<Position>,
}

impl Group {
    pub(super) fn new(topic: TopicId, log: LogReader) -> Self {
        let feed = Arc::new(Feed::new(log.position()));
        Self {
            topic,
            feed,
            kicks: log.kicks(),
            log,
            members: Vec::new(),
            is_queued: false,
            has_news: false,
            reading: 0,
            cursor: 0,
            remaining: 0,
        }
    }

    /// Reads what is new, if there may be something, and starts the round over if there is.
    pub(super) fn read(&mut self, buffers: &mut ReadBuffers) {
        if !std::mem::take(&mut self.has_news) {
            return;
        }
        let ReadBuffers { frames, positions } = buffers;
        frames.clear();
        positions.clear();
        let start = self.log.position();
        let found = read_frames(&mut self.log, MAX_READ_BYTES, frames, positions);
        let end = self.log.position();
        let has_frames = !frames.is_empty();
        {
            let mut window = self.feed.window();
            if self.remaining == 0 || window.len() > 2 * MAX_READ_BYTES {
                window.clear(start);
            }
            if has_frames {
                window.extend(frames, positions, end);
            }
            if !matches!(found, Read::Frames | Read::CaughtUp) {
                // The log was replaced, closed, or has moved on: every reader reads for itself.
                window.clear(end);
            }
        }
        frames.clear();
        // There may be more than one reading takes.
        self.has_news = found == Read::Frames;
        // Asked after the reading, so it counts everybody who was kicked before these events.
        let kicks = self.log.kicks();
        let were_kicked = std::mem::replace(&mut self.kicks, kicks) != kicks;
        let is_other = !matches!(found, Read::Frames | Read::CaughtUp);
        if has_frames || were_kicked || is_other {
            self.reading = self.reading.wrapping_add(1);
            self.remaining = self.members.len();
        }
    }

    /// The next member of the round. `None` at its end.
    pub(super) fn next(&mut self) -> Option<Member> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        self.cursor = match self.cursor.min(self.members.len()) {
            0 => self.members.len().checked_sub(1)?,
            cursor => cursor - 1,
        };
        self.members.get(self.cursor).copied()
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.remaining == 0 && !self.has_news
    }
}

/// Appends the next frames of a log, and the position before each of them. What the last read found is returned.
pub(crate) fn read_frames(
    log: &mut LogReader,
    max_bytes: usize,
    frames: &mut Vec<Frame>,
    positions: &mut Vec<Position>,
) -> Read {
    let mut bytes = 0;
    loop {
        let position = log.position();
        // The smallest limit reads one event.
        let found = log.read(1, frames);
        if found != Read::Frames {
            return found;
        }
        positions.push(position);
        bytes += frames.last().map_or(0, Frame::len);
        if bytes >= max_bytes || frames.len() >= MAX_READ_EVENTS {
            return Read::Frames;
        }
    }
}
