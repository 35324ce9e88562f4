//! What was read from a topic once, for all of its readers on one shard.
//!
//! A shard reads the log of a topic and puts what is new into a [`FeedWindow`]. The bodies of its readers, polled
//! through whatever layers the application has, take their events out of it as shared bytes. The window keeps the
//! same events a second time with their chunk framing, so the shard can write a piece that came through the layers
//! unchanged without framing it again. A reader that stands outside of the window reads for itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bellwether_topics::{Frame, Position};
use bytes::{Bytes, BytesMut};

/// The events that a shard passes to the bodies of one topic's readers.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Held for a search or an extension. The shard and the bodies that it polls run in one task, so the lock is
    /// never contended.
    window: Mutex<FeedWindow>,
}

/// Consecutive events of one topic.
#[derive(Debug)]
pub(crate) struct FeedWindow {
    /// The events as they are encoded.
    data: Bytes,
    /// The same events as chunks.
    chunks: Bytes,
    /// Where each event begins.
    marks: Vec<EventMark>,
    /// The position behind the last event.
    end: Position,
    /// When the shard's present turn began: near enough for keep-alives, and a clock less for each reader.
    now: tokio::time::Instant,
}

#[derive(Debug, Clone, Copy)]
struct EventMark {
    /// The position before the event.
    position: Position,
    data_at: usize,
    chunk_at: usize,
    published: Instant,
}

/// What a reader takes out of a window.
#[derive(Debug)]
pub(crate) struct FeedSlice {
    pub(crate) data: Bytes,
    pub(crate) events: usize,
    /// The position behind it.
    pub(crate) end: Position,
    /// When the first of its events was published.
    pub(crate) published: Instant,
    /// When it is taken: the start of the shard's turn.
    pub(crate) now: tokio::time::Instant,
}

/// The position of a reader relative to a window.
#[derive(Debug)]
pub(crate) enum FeedPosition {
    FeedSlice(FeedSlice),
    /// Behind the last event.
    AtEnd,
    /// Elsewhere, or unknown.
    Outside,
}

impl Feed {
    /// A feed without events whose readers begin here.
    pub(crate) fn new(position: Position) -> Self {
        Self {
            window: Mutex::new(FeedWindow {
                data: Bytes::new(),
                chunks: Bytes::new(),
                marks: Vec::new(),
                end: position,
                now: tokio::time::Instant::now(),
            }),
        }
    }

    /// The window, for the shard.
    pub(crate) fn window(&self) -> MutexGuard<'_, FeedWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a reader at this position takes.
    pub(crate) fn find(&self, position: &Position) -> FeedPosition {
        self.window().find(position)
    }
}

impl FeedWindow {
    /// Empties the window; it then starts behind everything that was read so far.
    pub(crate) fn clear(&mut self, end: Position) {
        self.data = Bytes::new();
        self.chunks = Bytes::new();
        self.marks.clear();
        self.end = end;
    }

    /// A turn of the shard begins.
    pub(crate) fn set_now(&mut self, now: tokio::time::Instant) {
        self.now = now;
    }

    /// The bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Appends events that were read one after another; `positions` are those before each of them.
    pub(crate) fn extend(&mut self, frames: &[Frame], positions: &[Position], end: Position) {
        let mut data_at = self.data.len();
        let mut chunk_at = self.chunks.len();
        for (frame, position) in frames.iter().zip(positions) {
            self.marks.push(EventMark {
                position: *position,
                data_at,
                chunk_at,
                published: frame.entered_at(),
            });
            data_at += frame.len();
            chunk_at += frame.chunk().len();
        }
        // The usual case: one event, which is shared without a copy.
        if let ([frame], true) = (frames, self.data.is_empty()) {
            self.data = frame.bytes();
            self.chunks = frame.chunk().clone();
        } else {
            let mut data = BytesMut::with_capacity(data_at);
            let mut chunks = BytesMut::with_capacity(chunk_at);
            data.extend_from_slice(&self.data);
            chunks.extend_from_slice(&self.chunks);
            for frame in frames {
                data.extend_from_slice(frame.as_bytes());
                chunks.extend_from_slice(frame.chunk());
            }
            self.data = data.freeze();
            self.chunks = chunks.freeze();
        }
        self.end = end;
    }

    fn find(&self, position: &Position) -> FeedPosition {
        if position.is_same(&self.end) {
            return FeedPosition::AtEnd;
        }
        // Most readers have taken nothing of the window; the others are near its end.
        let first = self
            .marks
            .first()
            .filter(|mark| mark.position.is_same(position));
        let found = first.map(|mark| (0, mark)).or_else(|| {
            let marks = self.marks.iter().enumerate().rev();
            marks
                .take_while(|(index, _)| *index > 0)
                .find(|(_, mark)| mark.position.is_same(position))
        });
        let Some((index, mark)) = found else {
            return FeedPosition::Outside;
        };
        FeedPosition::FeedSlice(FeedSlice {
            data: self.data.slice(mark.data_at..),
            events: self.marks.len() - index,
            end: self.end,
            published: mark.published,
            now: self.now,
        })
    }

    /// The chunks of a piece that a body gave, if it is the end of this window, unchanged.
    pub(crate) fn chunks_of(&self, piece: &Bytes) -> Option<Bytes> {
        let data_at = self.data.len().checked_sub(piece.len())?;
        // The same memory holds the same bytes: both keep it alive.
        if piece.is_empty() || self.data[data_at..].as_ptr() != piece.as_ptr() {
            return None;
        }
        let mark = match data_at {
            0 => self.marks.first()?,
            _ => {
                let index = self.marks.binary_search_by_key(&data_at, |m| m.data_at);
                &self.marks[index.ok()?]
            }
        };
        Some(self.chunks.slice(mark.chunk_at..))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use bellwether_topics::{LogReader, ServerSentEvent, Topic, Topics};

    use super::*;
    use crate::send::shard::read_frames;

    fn publish(topic: &Topic, text: &str) {
        let _ = topic.publish(&ServerSentEvent::text(text));
    }

    fn extend(feed: &Feed, log: &mut LogReader) {
        let (mut frames, mut positions) = (Vec::new(), Vec::new());
        read_frames(log, usize::MAX, &mut frames, &mut positions);
        feed.window().extend(&frames, &positions, log.position());
    }

    #[test]
    fn a_reader_takes_from_its_own_place_on_and_the_chunks_are_the_same_events() {
        let topics = Topics::new();
        let topic = topics.topic("news").expect("a name");
        let mut log = topic.reader();
        let start = log.position();
        let feed = Feed::new(start);
        assert!(matches!(feed.find(&start), FeedPosition::AtEnd));
        publish(&topic, "one");
        extend(&feed, &mut log);
        let middle = log.position();
        publish(&topic, "two");
        publish(&topic, "three");
        extend(&feed, &mut log);
        for (position, events) in [(start, 3), (middle, 2)] {
            let FeedPosition::FeedSlice(slice) = feed.find(&position) else {
                panic!("outside");
            };
            assert_eq!(slice.events, events);
            assert!(slice.end.is_same(&log.position()));
            let chunks = feed.window().chunks_of(&slice.data).expect("unchanged");
            let text = String::from_utf8_lossy(&chunks).into_owned();
            assert_eq!(text.matches("data: ").count(), events);
            let last = text.rsplit_once("data: three\nid: ").map(|(_, id)| id);
            assert!(last.is_some_and(|id| id.ends_with("\n\n\r\n")), "{text}");
            assert!(
                feed.window()
                    .chunks_of(&Bytes::from(slice.data.to_vec()))
                    .is_none()
            );
        }
        assert!(matches!(feed.find(&log.position()), FeedPosition::AtEnd));
        feed.window().clear(log.position());
        assert!(matches!(feed.find(&middle), FeedPosition::Outside));
    }
}
