//! The table of a shard's sockets, by small numbers that are used again. Pure.

/// The name of one socket of a shard. A number that is used again gets another generation, so that what was meant
/// for the socket before is not taken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Id {
    /// As epoll carries it.
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

/// A table with places that are used again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Id {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            // A process cannot have as many files.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Id {
            index,
            generation: slot.generation,
        }
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        match slot.generation == id.generation {
            true => slot.value.as_mut(),
            false => None,
        }
    }

    /// The present name of the value at this number.
    pub(super) fn at(&mut self, index: u32) -> Option<(Id, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        let id = Id {
            index,
            generation: slot.generation,
        };
        Some((id, slot.value.as_mut()?))
    }

    /// Puts what becomes of a value into its place, under the same name.
    pub(super) fn turn(&mut self, id: Id, into: impl FnOnce(T) -> T) {
        if let Some(slot) = self.slots.get_mut(id.index as usize)
            && slot.generation == id.generation
        {
            slot.value = slot.value.take().map(into);
        }
    }

    /// Takes a value out; its place is free, and its name void.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(value)
    }

    /// The names of all values.
    pub(super) fn ids(&self) -> Vec<Id> {
        let present = self.slots.iter().zip(0_u32..);
        present
            .filter(|(slot, _)| slot.value.is_some())
            .map(|(slot, index)| Id {
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
        assert_eq!(Id::from_u64(second.to_u64()), second);
    }
}
