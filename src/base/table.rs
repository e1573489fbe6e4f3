//! Typed tables: slabs whose keys contain the kind of the entry and a generation. A key of one kind
//! cannot index another table, and the key of a removed entry finds nothing.

use slab::Slab;
use std::fmt;
use std::marker::PhantomData;

/// The kind of entries in a table; makes their keys a type of their own.
pub trait Kind {
    /// Unique number, 0 to 15; part of every token.
    const NUMBER: u8;
}

const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

// A token is the word that epoll stores per socket: kind, generation and index must fit into it.
const _: () = assert!(usize::BITS == 64);

/// The key of an entry in a `Table<K, _>`.
pub struct Key<K> {
    index: u32,
    generation: u32,
    kind: PhantomData<K>,
}

impl<K> Clone for Key<K> {
    fn clone(&self) -> Key<K> {
        *self
    }
}

impl<K> Copy for Key<K> {}

impl<K> PartialEq for Key<K> {
    fn eq(&self, other: &Key<K>) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<K> Eq for Key<K> {}

impl<K: Kind> fmt::Debug for Key<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}.{}", K::NUMBER, self.index, self.generation)
    }
}

/// A key of any kind, packed: kind 4 bits, generation 28, index 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(u64);

impl Id {
    /// The id as a token for epoll.
    pub const fn token(self) -> usize {
        self.0 as usize
    }

    /// The id of a token.
    pub const fn from_token(token: usize) -> Id {
        Id(token as u64)
    }

    /// The kind's number.
    pub const fn kind(self) -> u8 {
        (self.0 >> 60) as u8
    }

    /// The id of an object that has a number instead of a table entry.
    pub const fn numbered<K: Kind>(number: u32) -> Id {
        Id((K::NUMBER as u64) << 60 | number as u64)
    }

    /// The number of an object of kind `K`; none for another kind.
    pub fn number<K: Kind>(self) -> Option<usize> {
        (self.kind() == K::NUMBER).then_some(self.0 as u32 as usize)
    }

    /// The key of an entry of kind `K`; none for another kind.
    pub fn key<K: Kind>(self) -> Option<Key<K>> {
        (self.kind() == K::NUMBER).then_some(Key {
            index: self.0 as u32,
            generation: (self.0 >> 32) as u32 & GENERATION_MASK,
            kind: PhantomData,
        })
    }
}

impl<K: Kind> From<Key<K>> for Id {
    fn from(key: Key<K>) -> Id {
        Id(u64::from(K::NUMBER) << 60 | u64::from(key.generation) << 32 | u64::from(key.index))
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: T,
}

/// Entries of one kind. Insertion, look-up and removal are O(1).
#[derive(Debug)]
pub struct Table<K, T> {
    slots: Slab<Slot<T>>,
    /// Generation of the next entry. One counter per table, not per slot: a stale key can match
    /// only if the insertion 2^28 later uses the same slot.
    next: u32,
    kind: PhantomData<K>,
}

impl<K: Kind, T> Default for Table<K, T> {
    fn default() -> Table<K, T> {
        Table::new()
    }
}

impl<K: Kind, T> Table<K, T> {
    /// An empty table; allocates nothing.
    pub const fn new() -> Table<K, T> {
        Table { slots: Slab::new(), next: 0, kind: PhantomData }
    }

    /// Adds `value`; the key is valid until the entry is removed.
    pub fn insert(&mut self, value: T) -> Key<K> {
        let generation = self.next;
        self.next = (self.next + 1) & GENERATION_MASK;
        let index = self.slots.insert(Slot { generation, value });
        let index = u32::try_from(index).expect("descriptors, hence entries, fit into 32 bits");
        Key { index, generation, kind: PhantomData }
    }

    /// The key that the next [`Table::insert`] will give.
    pub fn vacant_key(&self) -> Key<K> {
        let index = u32::try_from(self.slots.vacant_key()).unwrap_or(u32::MAX);
        Key { index, generation: self.next, kind: PhantomData }
    }

    /// The entry of `key`; none if it was removed.
    pub fn get(&self, key: Key<K>) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation).then_some(&slot.value)
    }

    pub fn get_mut(&mut self, key: Key<K>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation).then_some(&mut slot.value)
    }

    /// Removes and returns the entry of `key`; none if it was removed before.
    pub fn remove(&mut self, key: Key<K>) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index as usize).value)
    }

    /// Removes the entry of `key`, if it was not removed before, without moving it.
    pub fn discard(&mut self, key: Key<K>) {
        if self.get(key).is_some() {
            self.slots.remove(key.index as usize);
        }
    }

    /// Frees the places behind the last entry. O(slots): not for every turn of the loop.
    pub fn shrink(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All entries with their keys, in slot order. O(slots): not for every turn of the loop.
    pub fn iter(&self) -> impl Iterator<Item = (Key<K>, &T)> {
        self.slots.iter().map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation, kind: PhantomData };
            (key, &slot.value)
        })
    }

    /// The first entry that is `wanted` among the `count` slots from slot `start` on, and the slot
    /// to continue from: successive calls cover the table a part at a time, as a clock algorithm
    /// does.
    pub fn sweep(
        &self,
        start: usize,
        count: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> (Option<Key<K>>, usize) {
        let slots = self.slots.capacity();
        let end = start.saturating_add(count).min(slots);
        for index in start..end {
            let slot = self.slots.get(index).filter(|slot| wanted(&slot.value));
            if let Some(Slot { generation, .. }) = slot {
                let (index, generation) = (index as u32, *generation);
                return (Some(Key { index, generation, kind: PhantomData }), index as usize + 1);
            }
        }
        (None, if end == slots { 0 } else { end })
    }

    /// The keys among the `count` slots from slot `start` on, and the slot to continue from, as
    /// [`Table::sweep`] does.
    pub fn slice(&self, start: usize, count: usize) -> (Vec<Key<K>>, usize) {
        let slots = self.slots.capacity();
        let end = start.saturating_add(count).min(slots);
        let key = |index: usize| {
            let generation = self.slots.get(index)?.generation;
            Some(Key { index: index as u32, generation, kind: PhantomData })
        };
        ((start..end).filter_map(key).collect(), if end == slots { 0 } else { end })
    }

    /// All keys, in slot order; O(slots).
    pub fn keys(&self) -> Vec<Key<K>> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Apple;
    struct Pear;
    impl Kind for Apple {
        const NUMBER: u8 = 3;
    }
    impl Kind for Pear {
        const NUMBER: u8 = 15;
    }

    #[test]
    fn a_key_to_a_removed_entry_finds_nothing() {
        let mut table: Table<Apple, &str> = Table::new();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_eq!(first.index, second.index, "the slot is used again");
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"second"));
    }

    #[test]
    fn a_sweep_covers_the_table_and_finds_each_entry_once() {
        let mut table: Table<Apple, usize> = Table::new();
        let keys: Vec<Key<Apple>> = (0..10).map(|number| table.insert(number)).collect();
        table.remove(keys[4]);
        let (mut found, mut start) = (Vec::new(), 0);
        loop {
            let (key, next) = table.sweep(start, 3, |number| *number != 7);
            found.extend(key.and_then(|key| table.get(key)).copied());
            start = next;
            if start == 0 {
                break;
            }
        }
        assert_eq!(found, [0, 1, 2, 3, 5, 6, 8, 9]);
    }

    #[test]
    fn an_id_returns_its_key_for_its_own_kind_only() {
        let mut table: Table<Pear, ()> = Table::new();
        table.next = GENERATION_MASK;
        let key = table.insert(());
        let id = Id::from_token(Id::from(key).token());
        assert_eq!(id.kind(), 15);
        assert_eq!(id.key::<Pear>(), Some(key));
        assert!(id.key::<Apple>().is_none());
        assert_eq!(table.insert(()).generation, 0, "the generation wraps");
    }
}
