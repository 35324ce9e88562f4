//! Reading: the frames of some topics after an offset, in the order of the log, until a limit. Pure.
//!
//! Each topic lists its own frames, so a reader of one topic among ten thousand does not walk over the others' events; a
//! reader of several topics merges their lists by offset.

use super::topic::{ReadSoFar, TopicHistory};
use crate::event::cursor::{Cursor, Offset};
use crate::event::frame::Frame;

/// The bounds of one read.
///
/// The first frame is read even if it exceeds the limit; otherwise a reader with a small limit would never move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) count: ReadSoFar,
    /// The last frame that was read.
    pub(crate) last: Option<Cursor>,
    /// Whether the limit ended the run; otherwise there is no more.
    pub(crate) is_cut: bool,
}

/// Calls back with the frames of these topics after an offset.
pub(super) fn all<'a>(
    topics: impl Iterator<Item = &'a TopicHistory>,
    after: Offset,
    limit: Limit,
    out: impl FnMut(&Frame),
) -> Run {
    let mut taker = Taker::new(limit, out);
    let mut waiting = topics.filter(|topic| topic.has_after(after));
    let (Some(first), second) = (waiting.next(), waiting.next()) else {
        return taker.run;
    };
    let Some(second) = second else {
        for slot in first.after(after) {
            if !taker.take(&slot.frame) {
                break;
            }
        }
        return taker.run;
    };
    let mut lists: Vec<_> = [first, second]
        .into_iter()
        .chain(waiting)
        .map(|topic| topic.after(after).peekable())
        .collect();
    loop {
        let next = lists
            .iter_mut()
            .filter_map(|list| list.peek().map(|slot| slot.offset).map(|at| (at, list)))
            .min_by_key(|(at, _)| *at);
        let Some(slot) = next.and_then(|(_, list)| list.next()) else {
            return taker.run;
        };
        if !taker.take(&slot.frame) {
            return taker.run;
        }
    }
}

/// Like [`all`], with only the newest frame of each conflation key.
pub(super) fn latest<'a>(
    topics: impl Iterator<Item = &'a TopicHistory>,
    after: Offset,
    limit: Limit,
    out: impl FnMut(&Frame),
) -> Run {
    let mut frames: Vec<&Frame> = topics.flat_map(|topic| topic.latest_after(after)).collect();
    frames.sort_unstable_by_key(|frame| frame.cursor().offset);
    let mut taker = Taker::new(limit, out);
    for frame in frames {
        if !taker.take(frame) {
            break;
        }
    }
    taker.run
}

/// Hands frames on until the limit is reached.
struct Taker<F> {
    limit: Limit,
    run: Run,
    out: F,
}

impl<F: FnMut(&Frame)> Taker<F> {
    fn new(limit: Limit, out: F) -> Self {
        Self {
            limit,
            run: Run::default(),
            out,
        }
    }

    fn take(&mut self, frame: &Frame) -> bool {
        let bytes = self.run.count.bytes + frame.len() as u64;
        if self.run.count.events > 0
            && (self.run.count.events >= self.limit.events as u64
                || bytes > self.limit.bytes as u64)
        {
            self.run.is_cut = true;
            return false;
        }
        self.run.count.events += 1;
        self.run.count.bytes = bytes;
        self.run.last = Some(frame.cursor());
        (self.out)(frame);
        true
    }
}
