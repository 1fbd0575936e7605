//! Things by key and by number: a number stands for its key for as long as the key is there, and costs four bytes wherever
//! it is noted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

/// Things with a key each.
pub(crate) struct Slots<K, T> {
    /// In blocks: one that grows is never copied as a whole, and has no room for twice as many.
    blocks: Vec<Vec<Slot<K, T>>>,
    free: Vec<usize>,
    /// Numbers only: the keys are where the things are.
    numbers: HashTable<u32>,
    hasher: RandomState,
}

struct Slot<K, T> {
    key: Option<K>,
    value: T,
}

impl<K: Clone + Eq + Hash, T: Default> Slots<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// The number of a key, if it has one.
    pub(crate) fn find(&self, key: &K) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self
            .numbers
            .find(hash, |number| self.key(large(*number)) == Some(key));
        found.copied().map(large)
    }

    /// The number of a key, which gets one if it has none.
    pub(crate) fn number(&mut self, key: &K) -> usize {
        if let Some(number) = self.find(key) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| self.grow());
        self.slot_mut(number).key = Some(key.clone());
        let (blocks, hasher) = (&self.blocks, &self.hasher);
        let hash_of = |number: &u32| {
            let key = slot(blocks, large(*number)).key.as_ref();
            key.map_or(0, |key| hasher.hash_one(key))
        };
        self.numbers
            .insert_unique(hasher.hash_one(key), small(number), hash_of);
        number
    }

    /// The key of a number that somebody has.
    pub(crate) fn key(&self, number: usize) -> Option<&K> {
        slot(&self.blocks, number).key.as_ref()
    }

    pub(crate) fn get(&self, number: usize) -> &T {
        &slot(&self.blocks, number).value
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> &mut T {
        &mut self.slot_mut(number).value
    }

    /// Takes the key of a number, and what it stood for.
    pub(crate) fn remove(&mut self, number: usize) -> T {
        if let Some(key) = self.slot_mut(number).key.take() {
            let hash = self.hasher.hash_one(&key);
            if let Ok(found) = self.numbers.find_entry(hash, |other| large(*other) == number) {
                found.remove();
            }
            self.free.push(number);
        }
        std::mem::take(&mut self.slot_mut(number).value)
    }

    fn grow(&mut self) -> usize {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::new());
        }
        let block = self.blocks.len() - 1;
        self.blocks[block].push(Slot {
            key: None,
            value: T::default(),
        });
        block * BLOCK + self.blocks[block].len() - 1
    }

    fn slot_mut(&mut self, number: usize) -> &mut Slot<K, T> {
        &mut self.blocks[number / BLOCK][number % BLOCK]
    }
}

fn slot<K, T>(blocks: &[Vec<Slot<K, T>>], number: usize) -> &Slot<K, T> {
    &blocks[number / BLOCK][number % BLOCK]
}

/// A number as it is noted.
pub(crate) fn small(number: usize) -> u32 {
    u32::try_from(number).expect("rows and keys are objects of a cluster, of which there are fewer than 2^32")
}

/// A number that was noted.
pub(crate) fn large(number: u32) -> usize {
    usize::try_from(number).expect("it was one")
}

const BLOCK: usize = 256;

#[cfg(test)]
mod tests;
