//! The history of a log in memory: bounded, and always able to say whether something a reader wants is gone. Pure.
//!
//! All topics share one log, so one offset is a position in all of them at once. Each `topic` also lists its own
//! frames, by which `read` reads; the `table` knows which topics there are, and `proof` checks the tags of cursors.
//!
//! Invariants, with `removed_to` of a topic the offset of its last removed frame:
//!
//! 1. Frames leave only at the front of the whole log. `floor` is the offset of the last one that left, so every frame
//!    with an offset above `floor` is here, and `removed_to <= floor` for every topic.
//! 2. A topic's list is exactly the log's frames of that topic, in order, so **nothing of topics T after offset S is
//!    gone if and only if `removed_to <= S` for every topic in T**. That is what completeness means below; the log's
//!    floor alone would report gaps to readers of quiet topics beside a loud one.
//! 3. A topic without readers, handles and frames is forgotten. `removed_to` is kept for the last 4,096 of them. For
//!    the others only the largest one is kept, and each of them counts as removed up to it: in doubt, a gap.

pub(crate) mod conflation;
mod proof;
mod read;
pub(crate) mod removed;
mod table;
mod topic;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use self::proof::derive_tag;
pub(crate) use self::proof::{Anchor, Proof};
pub(crate) use self::read::{Limit, Run};
use self::table::Table;
pub(crate) use self::table::TopicKey;
pub(crate) use self::topic::ReadSoFar;
use crate::event::cursor::{Cursor, Epoch, Offset};
use crate::event::frame::Frame;
use crate::event::gap::{Gap, GapReason, shown};
use crate::log::retention::Retention;

#[derive(Debug)]
pub(crate) struct History {
    epoch: Epoch,
    proof: Proof,
    retention: Retention,
    records: VecDeque<(TopicKey, Frame)>,
    topics: Table,
    floor: Offset,
    floor_tag: Option<u32>,
    head: Offset,
    head_tag: Option<u32>,
    weight: usize,
    /// Records appended since the epoch's start or the last reset.
    appended: u64,
}

impl History {
    pub(crate) fn new(epoch: Epoch, proof: Proof, retention: Retention) -> Self {
        Self {
            epoch,
            proof,
            retention,
            records: VecDeque::new(),
            topics: Table::default(),
            floor: Offset::ZERO,
            floor_tag: Some(0),
            head: Offset::ZERO,
            head_tag: Some(0),
            weight: 0,
            appended: 0,
        }
    }

    /// Empties the history, which goes on after a position that is known or at least chosen.
    pub(crate) fn reset(&mut self, epoch: Epoch, floor: Offset, floor_tag: Option<u32>) {
        self.epoch = epoch;
        self.records.clear();
        self.weight = 0;
        self.appended = 0;
        self.floor = floor;
        self.head = floor;
        self.floor_tag = floor_tag;
        self.head_tag = floor_tag;
        self.topics.reset(floor);
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn head(&self) -> Offset {
        self.head
    }

    pub(crate) fn head_tag(&self) -> Option<u32> {
        self.head_tag
    }

    /// Sets the head's tag if it is not known yet. Returns whether it was set.
    pub(crate) fn learn_head_tag(&mut self, offset: Offset, tag: u32) -> bool {
        let is_new = self.head == offset && self.head_tag.is_none();
        if is_new {
            self.head_tag = Some(tag);
            if self.floor == offset {
                self.floor_tag = Some(tag);
            }
        }
        is_new
    }

    pub(crate) fn floor(&self) -> Offset {
        self.floor
    }

    pub(crate) fn head_cursor(&self) -> Cursor {
        self.cursor_at(self.head, self.head_tag)
    }

    pub(crate) fn floor_cursor(&self) -> Cursor {
        self.cursor_at(self.floor, self.floor_tag)
    }

    fn cursor_at(&self, offset: Offset, tag: Option<u32>) -> Cursor {
        Cursor {
            epoch: self.epoch,
            offset,
            tag: tag.unwrap_or(0),
        }
    }

    /// The cursor of the next record, in a log of this process.
    pub(crate) fn next_cursor(&self) -> Cursor {
        let offset = Offset::new(self.head.low() + 1);
        self.cursor_at(offset, Some(self.proof.new_tag(offset)))
    }

    // --- Topics ---

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<TopicKey> {
        self.topics.find(name)
    }

    /// The key of a topic, which is made if it is missing. The caller pins it or appends to it at once.
    pub(crate) fn entry(&mut self, name: &Arc<str>) -> TopicKey {
        self.topics.find_or_make(name)
    }

    pub(crate) fn name(&self, key: TopicKey) -> Option<&Arc<str>> {
        self.topics.name(key)
    }

    pub(crate) fn pin(&mut self, key: TopicKey) {
        self.topics.pin(key);
    }

    pub(crate) fn unpin(&mut self, key: TopicKey) {
        self.topics.unpin(key);
    }

    // --- Writing ---

    /// Appends the next frame, whose offset must lie beyond the head, and removes what the bounds no longer allow.
    pub(crate) fn append(&mut self, key: TopicKey, frame: Frame, now: Instant) {
        let cursor = frame.cursor();
        debug_assert!(cursor.offset > self.head, "offsets rise");
        self.head = cursor.offset;
        self.head_tag = Some(cursor.tag);
        self.weight += frame.weight();
        self.appended += 1;
        if let Some(topic) = self.topics.get_mut(key) {
            topic.append(&frame, &self.retention);
        }
        self.records.push_back((key, frame));
        self.trim(now);
    }

    /// Removes what the bounds no longer allow.
    pub(crate) fn trim(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.records.front() {
            let is_over = self.records.len() > self.retention.max_events
                || (self.weight > self.retention.max_bytes && self.records.len() > 1)
                || now.saturating_duration_since(oldest.entered_at()) > self.retention.max_age;
            if !is_over {
                break;
            }
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        let Some((key, frame)) = self.records.pop_front() else {
            return;
        };
        self.floor = frame.cursor().offset;
        self.floor_tag = Some(frame.cursor().tag);
        self.weight -= frame.weight();
        if let Some(topic) = self.topics.get_mut(key) {
            topic.remove_first(&frame);
        }
        self.topics.forget_if_idle(key);
    }

    // --- Reading ---

    /// Whether this history has the record that a cursor names.
    pub(crate) fn anchor(&self, asked: &Cursor) -> Anchor {
        if asked.epoch != self.epoch {
            return Anchor::Lost(GapReason::Epoch);
        }
        let proven = |is_same: bool| match is_same {
            true => Anchor::Proven,
            false => Anchor::Lost(GapReason::Regressed),
        };
        match self.proof {
            Proof::Derived(secret) => {
                proven(asked.offset <= self.head && asked.tag == derive_tag(secret, asked.offset))
            }
            Proof::Stored if asked.offset > self.head => Anchor::Ahead,
            Proof::Stored if asked.offset > self.floor => {
                let found = self
                    .records
                    .binary_search_by_key(&asked.offset, |(_, frame)| frame.cursor().offset);
                proven(found.is_ok_and(|at| self.records[at].1.cursor().tag == asked.tag))
            }
            Proof::Stored if asked.offset == self.floor => match self.floor_tag {
                Some(tag) => proven(tag == asked.tag),
                None => Anchor::Older,
            },
            Proof::Stored => Anchor::Older,
        }
    }

    /// Whether a cursor names the last frame that one of these topics has lost. That proves the position as well as a
    /// frame that is still here.
    pub(crate) fn is_last_removed(&self, keys: &[TopicKey], asked: &Cursor) -> bool {
        let mut topics = self.topics.all(keys).map(|topic| topic.removed());
        asked.epoch == self.epoch
            && topics.any(|last| last.offset == asked.offset && last.tag == Some(asked.tag))
    }

    /// The position of these topics' own newest frame. For readers that have had everything up to `head` it is the same
    /// as the head, but it stays provable for longer.
    pub(crate) fn own_position(&self, keys: &[TopicKey], head: Cursor) -> Cursor {
        let newest = self.topics.all(keys).map(|topic| topic.newest());
        // A topic whose newest frame is not known may have had a later one than the others.
        let newest: Option<Vec<_>> = newest.collect();
        let newest = newest.unwrap_or_default();
        match newest.into_iter().max_by_key(|last| last.offset) {
            Some(last) if last.offset <= head.offset => self.cursor_at(last.offset, last.tag),
            _ => head,
        }
    }

    /// Whether nothing of these topics after this offset is gone (invariant 2).
    pub(crate) fn is_complete(&self, keys: &[TopicKey], after: Offset) -> bool {
        let mut topics = self.topics.all(keys);
        topics.all(|topic| topic.removed_to() <= after)
    }

    /// The same for a reader that wants the newest frame of each key and all frames without a key.
    pub(crate) fn is_complete_per_key(&self, keys: &[TopicKey], after: Offset) -> bool {
        let mut topics = self.topics.all(keys);
        topics.all(|topic| topic.lost_to() <= after)
    }

    /// The number and bytes of the events of these topics.
    pub(crate) fn total(&self, keys: &[TopicKey]) -> ReadSoFar {
        let each = self.topics.all(keys).map(|topic| topic.appended());
        each.fold(ReadSoFar::default(), ReadSoFar::plus)
    }

    /// The number and bytes of the events of these topics up to an offset after which they are complete.
    pub(crate) fn seen_at(&self, keys: &[TopicKey], offset: Offset) -> ReadSoFar {
        let each = self.topics.all(keys).map(|topic| topic.seen_at(offset));
        each.fold(ReadSoFar::default(), ReadSoFar::plus)
    }

    /// Calls back with the frames of these topics after an offset, in the order of the log.
    pub(crate) fn read(
        &self,
        keys: &[TopicKey],
        after: Offset,
        limit: Limit,
        out: impl FnMut(&Frame),
    ) -> Run {
        read::all(self.topics.all(keys), after, limit, out)
    }

    /// Like [`read`](Self::read), with only the newest frame of each conflation key.
    pub(crate) fn read_latest(
        &self,
        keys: &[TopicKey],
        after: Offset,
        limit: Limit,
        out: impl FnMut(&Frame),
    ) -> Run {
        read::latest(self.topics.all(keys), after, limit, out)
    }

    /// The gap for a reader of these topics.
    ///
    /// `seen` is what the reader has had of them, if that is known. Otherwise the number of lost events is known only
    /// if the log never had other topics and its offsets have no holes.
    pub(crate) fn gap(
        &self,
        reason: GapReason,
        asked: Option<&str>,
        keys: &[TopicKey],
        seen: Option<ReadSoFar>,
        is_to_head: bool,
    ) -> Gap {
        let cursor = match is_to_head {
            true => self.head_cursor(),
            false => self.floor_cursor(),
        };
        let lost = match seen {
            Some(seen) => {
                let at = match is_to_head {
                    true => self.total(keys),
                    false => self.seen_at(keys, self.floor),
                };
                Some(at.events.saturating_sub(seen.events))
            }
            None if reason == GapReason::Trimmed
                && matches!(self.proof, Proof::Derived(_))
                && self.total(keys).events == self.appended =>
            {
                let asked = asked.and_then(|text| text.parse::<Cursor>().ok());
                asked.and_then(|asked| cursor.offset.distance_from(asked.offset))
            }
            None => None,
        };
        Gap {
            reason,
            asked: asked.map(shown),
            floor: self.floor,
            head: self.head,
            lost,
            cursor,
        }
    }
}

#[cfg(test)]
mod tests;
