//! The newest frame of each conflation key of one topic. Pure.
//!
//! Invariant: the frames in here are exactly the newest of each key, except those that the bounds have removed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::cursor::Offset;
use crate::event::frame::Frame;
use crate::log::retention::Retention;

#[derive(Debug, Default)]
pub(crate) struct Conflation {
    offsets: HashMap<Arc<str>, Offset>,
    frames: BTreeMap<Offset, Frame>,
    weight: usize,
}

impl Conflation {
    /// Inserts a frame that has a key, in the order of the log. Returns what the bounds remove.
    pub(crate) fn insert(
        &mut self,
        key: &Arc<str>,
        frame: &Frame,
        retention: &Retention,
    ) -> Vec<Offset> {
        let offset = frame.cursor().offset;
        if let Some(previous) = self.offsets.insert(key.clone(), offset)
            && let Some(previous) = self.frames.remove(&previous)
        {
            self.weight -= previous.weight();
            previous.supersede();
        }
        self.weight += frame.weight();
        self.frames.insert(offset, frame.clone());

        let mut pushed_out = Vec::new();
        while (self.frames.len() > retention.max_keys || self.weight > retention.max_key_bytes)
            && let Some((offset, frame)) = self.frames.pop_first()
        {
            self.weight -= frame.weight();
            if let Some(key) = frame.conflation_key() {
                self.offsets.remove(key);
            }
            pushed_out.push(offset);
        }
        pushed_out
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.frames.contains_key(&offset)
    }

    /// The frames after one offset up to another one, in the order of the log.
    pub(crate) fn range(&self, after: Offset, to: Offset) -> impl Iterator<Item = &Frame> {
        use std::ops::Bound::{Excluded, Included};

        // A range whose bounds cross would panic.
        (after < to)
            .then(|| self.frames.range((Excluded(after), Included(to))))
            .into_iter()
            .flatten()
            .map(|(_, frame)| frame)
    }
}
