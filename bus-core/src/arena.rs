//! A slab whose ids are never reused.
//!
//! An [`Id`] is an index and a serial number that only ever grows, so an old id never reaches
//! a newer entry in the same place.

use std::fmt;
use std::marker::PhantomData;

use slab::Slab;

/// Entries of one kind, reached by [`Id`].
pub struct Arena<T> {
    slots: Slab<(u64, T)>,
    next_serial: u64,
}

/// Names an entry of an [`Arena`] of `T`.
pub struct Id<T> {
    index: u32,
    serial: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Arena<T> {
    /// Stores an entry; `make` is told its id.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<T>) -> T) -> Id<T> {
        self.next_serial += 1;
        let slot = self.slots.vacant_entry();
        let index = u32::try_from(slot.key()).unwrap_or(u32::MAX);
        let id = Id { index, serial: self.next_serial, kind: PhantomData };
        slot.insert((self.next_serial, make(id)));
        id
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        Some(self.slots.remove(id.index as usize).1)
    }

    /// The entry, unless it is gone.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.index as usize) {
            Some((serial, entry)) if *serial == id.serial => Some(entry),
            _ => None,
        }
    }

    /// The entry for changing, unless it is gone.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.index as usize) {
            Some((serial, entry)) if *serial == id.serial => Some(entry),
            _ => None,
        }
    }

    /// The id of the entry with this serial number, by search.
    pub fn find(&self, serial: u64) -> Option<Id<T>> {
        let (index, _) = self.slots.iter().find(|(_, slot)| slot.0 == serial)?;
        Some(Id { index: u32::try_from(index).ok()?, serial, kind: PhantomData })
    }

    /// The entry at this place, whichever it is.
    pub fn at(&self, place: usize) -> Option<&T> {
        self.slots.get(place).map(|(_, entry)| entry)
    }

    /// All places are below that.
    pub fn places(&self) -> usize {
        self.slots.capacity()
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().map(|(index, (serial, entry))| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            (Id { index, serial: *serial, kind: PhantomData }, entry)
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Slab::new(), next_serial: 0 }
    }
}

impl<T> Id<T> {
    /// One that is of no arena, to compare with.
    pub fn of_none(serial: u64) -> Id<T> {
        Id { index: u32::MAX, serial, kind: PhantomData }
    }

    /// The number that no other entry of this arena ever has.
    pub fn serial(self) -> u64 {
        self.serial
    }

    /// The place in the arena; another entry may have it later.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.serial.cmp(&other.serial)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "#{}", self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_never_reaches_a_new_entry() {
        let mut arena = Arena::default();
        let old = arena.insert_with(|_| "old");
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert_with(|_| "new");
        assert_eq!(new.index(), old.index());
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.get(new), Some(&"new"));
        assert_eq!(arena.find(new.serial()), Some(new));
    }
}
