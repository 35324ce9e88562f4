//! The history of a log in memory: bounded, and always able to say whether something a reader wants is gone. Pure.
//!
//! All topics share one log, so one offset is a place in all of them at once. So that a reader of one topic among ten
//! thousand does not walk over the others' events, each topic also lists its own frames; a reader of several topics
//! merges their lists by offset.
//!
//! Invariants, with `removed_to` of a topic the offset of its last removed frame:
//!
//! 1. Frames leave only at the front of the whole log. `floor` is the offset of the last one that left, so every frame
//!    with an offset above `floor` is here, and `removed_to <= floor` for every topic.
//! 2. A topic's list is exactly the log's frames of that topic, in order, so **nothing of topics T after offset S is
//!    gone if and only if `removed_to <= S` for every topic in T**. That is what completeness means below; the log's
//!    floor alone would report gaps to readers of quiet topics beside a loud one.
//! 3. A topic that nobody uses and that has no frames is forgotten, and `forgotten_to` is the largest `removed_to` of
//!    all forgotten ones. A topic without an entry counts as removed up to `forgotten_to`: in doubt, a gap.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::conflation::Conflation;
use crate::cursor::{Cursor, Epoch, Offset};
use crate::frame::Frame;
use crate::gap::{Gap, GapReason, shown};
use crate::retention::Retention;

/// A topic's entry. Valid as long as the topic is pinned or has frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicKey(u32);

impl TopicKey {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a cursor's tag is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// The log lives in this process and cannot lose its end. Tags are a function of this secret and the offset, so a
    /// cursor can be checked even after its record is gone.
    Derived(u64),
    /// Tags are whatever the broker's records hold; the record must be looked at.
    Stored,
}

/// What is known about the place that a cursor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// It is a place in this history.
    Proven,
    /// It is not.
    Lost(GapReason),
    /// It lies before what is here; only the broker can tell.
    Older,
    /// It lies beyond what is here; perhaps this node lags behind.
    Ahead,
}

/// A number of events of some topics, counted since the epoch's start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) count: Seen,
    /// The last frame that was read.
    pub(crate) last: Option<Cursor>,
    /// Whether the limit ended the run; otherwise there is no more.
    pub(crate) is_cut: bool,
}

#[derive(Debug)]
struct Slot {
    offset: Offset,
    /// Bytes of the topic up to the end of this frame.
    bytes_through: u64,
    frame: Frame,
}

#[derive(Debug)]
struct TopicHistory {
    name: Arc<str>,
    slots: VecDeque<Slot>,
    appended: Seen,
    removed_to: Offset,
    /// Like `removed_to` for a reader that wants the newest of each key: the last frame that such a reader has lost.
    lost_to: Offset,
    // Most topics have none, so it is boxed.
    conflation: Option<Box<Conflation>>,
    /// Handles and readers.
    pins: usize,
}

impl TopicHistory {
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

    fn seen_at(&self, offset: Offset) -> Seen {
        let first = self.first_after(offset);
        Seen {
            events: self.appended.events - (self.slots.len() - first) as u64,
            bytes: self.slots.get(first).map_or(self.appended.bytes, |slot| {
                slot.bytes_through - slot.frame.len() as u64
            }),
        }
    }

    fn is_idle(&self) -> bool {
        self.pins == 0 && self.slots.is_empty()
    }

    fn clear(&mut self, removed_to: Offset) {
        self.slots.clear();
        self.conflation = None;
        self.appended = Seen::default();
        self.removed_to = removed_to;
        self.lost_to = removed_to;
    }
}

#[derive(Debug)]
pub(crate) struct History {
    epoch: Epoch,
    proof: Proof,
    retention: Retention,
    records: VecDeque<(TopicKey, Frame)>,
    topics: Vec<Option<TopicHistory>>,
    free: Vec<TopicKey>,
    names: HashMap<Arc<str>, TopicKey>,
    floor: Offset,
    floor_tag: Option<u32>,
    head: Offset,
    head_tag: Option<u32>,
    forgotten_to: Offset,
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
            topics: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            floor: Offset::ZERO,
            floor_tag: Some(0),
            head: Offset::ZERO,
            head_tag: Some(0),
            forgotten_to: Offset::ZERO,
            weight: 0,
            appended: 0,
        }
    }

    /// Begins anew, empty, after a place that is known or at least chosen: what was here is no longer the history.
    pub(crate) fn reset(&mut self, epoch: Epoch, floor: Offset, floor_tag: Option<u32>) {
        self.epoch = epoch;
        self.records.clear();
        self.weight = 0;
        self.appended = 0;
        self.floor = floor;
        self.head = floor;
        self.floor_tag = floor_tag;
        self.head_tag = floor_tag;
        self.forgotten_to = floor;
        for index in 0..self.topics.len() {
            if let Some(topic) = &mut self.topics[index] {
                topic.clear(floor);
            }
            self.forget_if_idle(TopicKey(index as u32));
        }
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

    pub(crate) fn learn_head_tag(&mut self, offset: Offset, tag: u32) {
        if self.head == offset && self.head_tag.is_none() {
            self.head_tag = Some(tag);
            if self.floor == offset {
                self.floor_tag = Some(tag);
            }
        }
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
        let tag = match self.proof {
            Proof::Derived(secret) => derive_tag(secret, offset),
            Proof::Stored => fastrand::u32(..),
        };
        self.cursor_at(offset, Some(tag))
    }

    // --- Topics ---

    pub(crate) fn topic_count(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    /// The entry of a topic, made if it is missing. The caller pins it or appends to it at once.
    pub(crate) fn entry(&mut self, name: &Arc<str>) -> TopicKey {
        if let Some(key) = self.find(name) {
            return key;
        }
        let topic = TopicHistory {
            name: name.clone(),
            slots: VecDeque::new(),
            appended: Seen::default(),
            removed_to: self.forgotten_to,
            lost_to: self.forgotten_to,
            conflation: None,
            pins: 0,
        };
        let key = if let Some(key) = self.free.pop() {
            self.topics[key.index()] = Some(topic);
            key
        } else {
            self.topics.push(Some(topic));
            TopicKey((self.topics.len() - 1) as u32)
        };
        self.names.insert(name.clone(), key);
        key
    }

    pub(crate) fn name(&self, key: TopicKey) -> Option<&Arc<str>> {
        Some(&self.topic(key)?.name)
    }

    pub(crate) fn pin(&mut self, key: TopicKey) {
        if let Some(topic) = &mut self.topics[key.index()] {
            topic.pins += 1;
        }
    }

    pub(crate) fn unpin(&mut self, key: TopicKey) {
        if let Some(topic) = &mut self.topics[key.index()] {
            topic.pins -= 1;
        }
        self.forget_if_idle(key);
    }

    fn forget_if_idle(&mut self, key: TopicKey) {
        let entry = &mut self.topics[key.index()];
        if let Some(topic) = entry.take_if(|topic| topic.is_idle()) {
            self.names.remove(&topic.name);
            self.free.push(key);
            self.forgotten_to = self.forgotten_to.max(topic.removed_to);
        }
    }

    fn topic(&self, key: TopicKey) -> Option<&TopicHistory> {
        self.topics.get(key.index())?.as_ref()
    }

    fn all<'a>(&'a self, keys: &'a [TopicKey]) -> impl Iterator<Item = &'a TopicHistory> {
        keys.iter().filter_map(|key| self.topic(*key))
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
        let retention = self.retention;
        if let Some(topic) = &mut self.topics[key.index()] {
            topic.appended.events += 1;
            topic.appended.bytes += frame.len() as u64;
            if let Some(conflation_key) = frame.shared_conflation_key() {
                let conflation = topic.conflation.get_or_insert_default();
                for offset in conflation.insert(conflation_key, &frame, &retention) {
                    // Still in the list: `remove_first` decides once it leaves there.
                    if offset <= topic.removed_to {
                        topic.lost_to = topic.lost_to.max(offset);
                    }
                }
            }
            topic.slots.push_back(Slot {
                offset: cursor.offset,
                bytes_through: topic.appended.bytes,
                frame: frame.clone(),
            });
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
        let offset = frame.cursor().offset;
        self.floor = offset;
        self.floor_tag = Some(frame.cursor().tag);
        self.weight -= frame.weight();
        if let Some(topic) = &mut self.topics[key.index()] {
            topic.slots.pop_front();
            topic.removed_to = offset;
            let is_kept_or_replaced = frame.conflation_key().is_some()
                && (frame.is_superseded()
                    || topic
                        .conflation
                        .as_ref()
                        .is_some_and(|kept| kept.contains(offset)));
            if !is_kept_or_replaced {
                topic.lost_to = offset;
            }
        }
        self.forget_if_idle(key);
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

    /// Whether nothing of these topics after this offset is gone (invariant 2).
    pub(crate) fn is_complete(&self, keys: &[TopicKey], after: Offset) -> bool {
        self.all(keys).all(|topic| topic.removed_to <= after)
    }

    /// The same for a reader that wants the newest of each key and everything without a key.
    pub(crate) fn is_complete_per_key(&self, keys: &[TopicKey], after: Offset) -> bool {
        self.all(keys).all(|topic| topic.lost_to <= after)
    }

    /// How much of these topics was appended.
    pub(crate) fn total(&self, keys: &[TopicKey]) -> Seen {
        self.all(keys).fold(Seen::default(), |sum, topic| Seen {
            events: sum.events + topic.appended.events,
            bytes: sum.bytes + topic.appended.bytes,
        })
    }

    /// How much of these topics was appended up to an offset after which they are complete.
    pub(crate) fn seen_at(&self, keys: &[TopicKey], offset: Offset) -> Seen {
        self.all(keys).fold(Seen::default(), |sum, topic| {
            let seen = topic.seen_at(offset);
            Seen {
                events: sum.events + seen.events,
                bytes: sum.bytes + seen.bytes,
            }
        })
    }

    /// Calls back with the frames of these topics after an offset, in the order of the log.
    ///
    /// The first frame comes even if it exceeds the limit, or a reader with a small budget would never move.
    pub(crate) fn read(
        &self,
        keys: &[TopicKey],
        after: Offset,
        limit: Limit,
        out: impl FnMut(&Frame),
    ) -> Run {
        let mut taker = Taker::new(limit, out);
        // Cheap for the many topics in which nothing is new.
        let mut waiting = self
            .all(keys)
            .filter(|topic| topic.slots.back().is_some_and(|slot| slot.offset > after));
        let (Some(first), second) = (waiting.next(), waiting.next()) else {
            return taker.run;
        };
        let Some(second) = second else {
            for slot in first.slots.range(first.first_after(after)..) {
                if !taker.take(&slot.frame) {
                    break;
                }
            }
            return taker.run;
        };
        let mut lists: Vec<_> = [first, second]
            .into_iter()
            .chain(waiting)
            .map(|topic| topic.slots.range(topic.first_after(after)..).peekable())
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

    /// Like [`read`](Self::read), with only the newest frame of each conflation key.
    pub(crate) fn read_latest(
        &self,
        keys: &[TopicKey],
        after: Offset,
        limit: Limit,
        out: impl FnMut(&Frame),
    ) -> Run {
        let mut frames: Vec<&Frame> = Vec::new();
        for topic in self.all(keys) {
            if let Some(conflation) = &topic.conflation {
                frames.extend(conflation.range(after, topic.removed_to));
            }
            let listed = topic.slots.range(topic.first_after(after)..);
            frames.extend(
                listed
                    .map(|slot| &slot.frame)
                    .filter(|frame| !frame.is_superseded()),
            );
        }
        frames.sort_unstable_by_key(|frame| frame.cursor().offset);
        let mut taker = Taker::new(limit, out);
        for frame in frames {
            if !taker.take(frame) {
                break;
            }
        }
        taker.run
    }

    /// The gap to tell a reader of these topics.
    ///
    /// `seen` is what the reader has had of them, if that is known; otherwise the number of lost events is known only if
    /// the log never had other topics and its offsets have no holes.
    pub(crate) fn gap(
        &self,
        reason: GapReason,
        asked: Option<&str>,
        keys: &[TopicKey],
        seen: Option<Seen>,
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

/// The tag of an offset in a log of this process. Mixes the bits as SplitMix64 does; it is no secret's guard, since an
/// id that somebody makes up leads to nothing but another place in the same history.
pub(crate) fn derive_tag(secret: u64, offset: Offset) -> u32 {
    if offset == Offset::ZERO {
        return 0;
    }
    let mut bits = secret ^ offset.low().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}

#[cfg(test)]
mod tests;
