//! The table of a shard's readers, by small numbers that are reused. Pure.

/// The id of one reader of a shard. A number that is used again gets another generation, so that an event
/// for the reader before is not taken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReaderId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl ReaderId {
    /// As epoll stores it.
    pub(super) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are taken apart"
    )]
    pub(super) fn from_u64(id: u64) -> Self {
        Self {
            index: id as u32,
            generation: (id >> 32) as u32,
        }
    }
}

/// Slots of one page. The table grows by a page at a time: a list that moves when it grows would leave as much memory
/// behind as it holds.
const PAGE: usize = 32;

/// A table with slots that are used again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pages: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> ReaderId {
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        self.len += 1;
        let mut generation = 0;
        if let Some(slot) = self.slot(index) {
            slot.value = Some(value);
            generation = slot.generation;
        }
        ReaderId { index, generation }
    }

    /// One more slot, at the end.
    fn grow(&mut self) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let page = self.pages.last_mut().expect("there is a page with room");
        page.push(Slot {
            generation: 0,
            value: None,
        });
        // A process cannot have as many files.
        u32::try_from(before + page.len() - 1).unwrap_or(u32::MAX)
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.pages.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }

    /// The slot of this id, unless the id is void.
    fn named(&mut self, id: ReaderId) -> Option<&mut Slot<T>> {
        self.slot(id.index)
            .filter(|slot| slot.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: ReaderId) -> Option<&mut T> {
        self.named(id)?.value.as_mut()
    }

    /// The present name of the value at this number.
    pub(super) fn at(&mut self, index: u32) -> Option<(ReaderId, &mut T)> {
        let slot = self.slot(index)?;
        let generation = slot.generation;
        Some((ReaderId { index, generation }, slot.value.as_mut()?))
    }

    /// Takes a value out; its slot is free, and its id void.
    pub(super) fn remove(&mut self, id: ReaderId) -> Option<T> {
        let slot = self.named(id)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.len -= 1;
        Some(value)
    }

    /// The names of all values.
    pub(super) fn ids(&self) -> Vec<ReaderId> {
        let slots = self.pages.iter().flatten().zip(0_u32..);
        slots
            .filter(|(slot, _)| slot.value.is_some())
            .map(|(slot, index)| ReaderId {
                index,
                generation: slot.generation,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_keeps_its_place_while_the_table_grows() {
        let mut slots = Slots::new();
        let ids: Vec<_> = (0..3 * PAGE).map(|value| slots.insert(value)).collect();
        for (value, id) in ids.iter().enumerate() {
            assert_eq!(slots.get_mut(*id), Some(&mut { value }));
            assert_eq!(slots.at(id.index), Some((*id, &mut { value })));
        }
        assert_eq!((slots.len(), slots.ids()), (3 * PAGE, ids));
    }

    #[test]
    fn a_place_that_is_used_again_has_another_name() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(first.index, second.index);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!((slots.len(), slots.ids()), (1, vec![second]));
        assert_eq!(ReaderId::from_u64(second.to_u64()), second);
    }
}
