//! One topic's part of a history: its frames, in order, and up to which offset frames are gone. Pure.
//!
//! Invariants: `removed_to` is the offset of the last frame that left the list. `lost_to` is that of the last frame
//! that is lost to readers that want only the newest of each key. Such a reader loses nothing by a frame that leaves
//! the list while a newer one has its key, or while the conflation still has the frame; so `lost_to <= removed_to`.

use std::collections::{VecDeque, vec_deque};

use crate::event::cursor::Offset;
use crate::event::frame::Frame;
use crate::log::history::conflation::Conflation;
use crate::log::history::removed::LastRemoved;
use crate::log::retention::Retention;

/// A number of events of some topics, counted since the epoch's start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadSoFar {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl ReadSoFar {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A frame in its topic's list.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) offset: Offset,
    /// Bytes of the topic up to the end of this frame.
    bytes_through: u64,
    pub(super) frame: Frame,
}

#[derive(Debug)]
pub(super) struct TopicHistory {
    slots: VecDeque<Slot>,
    appended: ReadSoFar,
    removed: LastRemoved,
    lost_to: Offset,
    // Most topics have none, so it is boxed.
    conflation: Option<Box<Conflation>>,
}

impl TopicHistory {
    /// An empty list of a topic that may have lost frames up to this one.
    pub(super) fn new(removed: LastRemoved) -> Self {
        Self {
            slots: VecDeque::new(),
            appended: ReadSoFar::default(),
            removed,
            lost_to: removed.offset,
            conflation: None,
        }
    }

    /// Empties the list, which goes on after this offset.
    pub(super) fn clear(&mut self, removed_to: Offset) {
        self.slots.clear();
        self.conflation = None;
        self.appended = ReadSoFar::default();
        self.removed = LastRemoved {
            offset: removed_to,
            tag: None,
        };
        self.lost_to = removed_to;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number and bytes of all events so far.
    pub(super) fn appended(&self) -> ReadSoFar {
        self.appended
    }

    pub(super) fn removed_to(&self) -> Offset {
        self.removed.offset
    }

    /// The topic's newest frame, kept or removed, if it is known.
    pub(super) fn newest(&self) -> Option<LastRemoved> {
        let slot = self.slots.back().map(|slot| slot.frame.cursor());
        let newest = slot.map(|cursor| LastRemoved {
            offset: cursor.offset,
            tag: Some(cursor.tag),
        });
        newest.or(self.removed.tag.map(|_| self.removed))
    }

    /// The last removed frame, as far as it is known.
    pub(super) fn removed(&self) -> LastRemoved {
        self.removed
    }

    pub(super) fn lost_to(&self) -> Offset {
        self.lost_to
    }

    /// Appends the topic's next frame.
    pub(super) fn append(&mut self, frame: &Frame, retention: &Retention) {
        self.appended.events += 1;
        self.appended.bytes += frame.len() as u64;
        if let Some(conflation_key) = frame.shared_conflation_key() {
            let conflation = self.conflation.get_or_insert_default();
            for offset in conflation.insert(conflation_key, frame, retention) {
                // It is still in the list: `remove_first` decides once it leaves that.
                if offset <= self.removed.offset {
                    self.lost_to = self.lost_to.max(offset);
                }
            }
        }
        self.slots.push_back(Slot {
            offset: frame.cursor().offset,
            bytes_through: self.appended.bytes,
            frame: frame.clone(),
        });
    }

    /// Removes the topic's first frame, which is this one.
    pub(super) fn remove_first(&mut self, frame: &Frame) {
        let offset = frame.cursor().offset;
        self.slots.pop_front();
        self.removed = LastRemoved {
            offset,
            tag: Some(frame.cursor().tag),
        };
        let is_kept_or_replaced = frame.conflation_key().is_some()
            && (frame.is_superseded()
                || self
                    .conflation
                    .as_ref()
                    .is_some_and(|kept| kept.contains(offset)));
        if !is_kept_or_replaced {
            self.lost_to = offset;
        }
    }

    /// Whether there is a frame after an offset; cheap for the many topics in which nothing is new.
    pub(super) fn has_after(&self, after: Offset) -> bool {
        self.slots.back().is_some_and(|slot| slot.offset > after)
    }

    /// The frames after an offset.
    pub(super) fn after(&self, after: Offset) -> vec_deque::Iter<'_, Slot> {
        self.slots.range(self.first_after(after)..)
    }

    /// The newest frames of each key after an offset and all without a key, in no order: first what only the conflation
    /// still has, then the list.
    pub(super) fn latest_after(&self, after: Offset) -> impl Iterator<Item = &Frame> {
        let kept = self.conflation.iter();
        let kept = kept.flat_map(move |kept| kept.range(after, self.removed.offset));
        let listed = self.after(after).map(|slot| &slot.frame);
        kept.chain(listed.filter(|frame| !frame.is_superseded()))
    }

    /// The number and bytes of the events up to an offset after which nothing is gone.
    pub(super) fn seen_at(&self, offset: Offset) -> ReadSoFar {
        let first = self.first_after(offset);
        ReadSoFar {
            events: self.appended.events - (self.slots.len() - first) as u64,
            bytes: self.slots.get(first).map_or(self.appended.bytes, |slot| {
                slot.bytes_through - slot.frame.len() as u64
            }),
        }
    }

    /// The index of the first frame after an offset. Readers are near the end, so the search starts there.
    fn first_after(&self, after: Offset) -> usize {
        let len = self.slots.len();
        let mut step = 1;
        let mut high = len;
        while step <= len && self.slots[len - step].offset > after {
            high = len - step;
            step *= 2;
        }
        let mut low = (len + 1).saturating_sub(step);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slots[middle].offset > after {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}
