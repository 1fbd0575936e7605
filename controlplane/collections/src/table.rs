//! A collection's entries, what became of them, and who read them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::handle::{Key, Value};
use crate::node::Reader;
use crate::slots::{Slots, large, small};

/// What became of one entry between two looks at a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<K, V> {
    /// Which entry.
    pub key: K,
    /// The value at the last look.
    pub old: Option<Arc<V>>,
    /// The value now; never equal to the old one.
    pub new: Option<Arc<V>>,
}

/// The entries of a collection.
pub(crate) struct Table<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// What changed in this round of settling, for the nodes after this one.
    round: Vec<Change<K, V>>,
    /// What changed since the owner last took the changes; kept only once the owner asked for it.
    pending: Option<BTreeMap<K, Change<K, V>>>,
    pub(crate) watchers: Watchers<K>,
}

struct Entry<V> {
    value: Arc<V>,
    /// Which row offers it; of an input, none does.
    row: u32,
    used: Cell<bool>,
}

impl<K: Key, V: Value> Table<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            round: Vec::new(),
            pending: None,
            watchers: Watchers::new(),
        }
    }

    /// Looks at an entry on behalf of a derivation.
    pub(crate) fn look(&self, key: &K) -> Option<&Arc<V>> {
        let entry = self.entries.get(key)?;
        entry.used.set(true);
        Some(&entry.value)
    }

    /// Looks at an entry on behalf of the graph's owner, which is no use.
    pub(crate) fn peek(&self, key: &K) -> Option<&Arc<V>> {
        self.entries.get(key).map(|e| &e.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.entries.iter().map(|(k, e)| (k, &e.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn round(&self) -> &[Change<K, V>] {
        &self.round
    }

    pub(crate) fn end_round(&mut self) {
        self.round.clear();
    }

    /// An entry, and the row that offers it.
    pub(crate) fn offered(&self, key: &K) -> Option<(usize, &Arc<V>)> {
        let entry = self.entries.get(key)?;
        Some((large(entry.row), &entry.value))
    }

    /// Puts a new state of an entry in place, if it is another one, and says who read the old.
    pub(crate) fn put(&mut self, key: K, new: Option<Arc<V>>, woken: &mut Vec<Reader>) {
        self.put_of(0, key, new, woken);
    }

    /// The same, of an entry that a row offers.
    pub(crate) fn put_of(&mut self, row: usize, key: K, new: Option<Arc<V>>, woken: &mut Vec<Reader>) {
        let row = small(row);
        let before = self.entries.get_mut(&key);
        let old = before.map(|entry| {
            // It may change hands without another value.
            entry.row = row;
            entry.value.clone()
        });
        if old.as_deref() == new.as_deref() {
            return;
        }
        match &new {
            Some(value) => {
                let entry = Entry {
                    value: value.clone(),
                    row,
                    used: Cell::new(false),
                };
                self.entries.insert(key.clone(), entry);
            }
            None => drop(self.entries.remove(&key)),
        }
        self.watchers.wake(&key, woken);
        self.remember(&key, &old, &new);
        self.round.push(Change { key, old, new });
    }

    /// The changes since the last call; the first call gives every entry.
    pub(crate) fn take_changes(&mut self) -> Vec<Change<K, V>> {
        match self.pending.replace(BTreeMap::new()) {
            Some(changes) => changes.into_values().collect(),
            None => {
                let everything = self.iter().map(|(key, value)| Change {
                    key: key.clone(),
                    old: None,
                    new: Some(value.clone()),
                });
                let mut everything: Vec<_> = everything.collect();
                everything.sort_by(|a, b| a.key.cmp(&b.key));
                everything
            }
        }
    }

    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.entries.iter().filter(|(_, e)| !e.used.get());
        let mut unused: Vec<_> = unused.map(|(k, _)| format!("{k:?}")).collect();
        unused.sort();
        unused
    }

    fn remember(&mut self, key: &K, old: &Option<Arc<V>>, new: &Option<Arc<V>>) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let change = pending.entry(key.clone()).or_insert_with(|| Change {
            key: key.clone(),
            old: old.clone(),
            new: None,
        });
        change.new = new.clone();
        // Back where it was at the last look: nothing happened.
        if change.old.as_deref() == change.new.as_deref() {
            pending.remove(key);
        }
    }
}

/// Who read which key, present or not: reading an absent key is a dependency as well.
pub(crate) struct Watchers<K> {
    /// By key, in their order. Most keys have one reader or a few; of those that everybody reads, new rows come last.
    readers: RefCell<Slots<K, Vec<Reader>>>,
}

impl<K: Clone + Eq + Hash> Watchers<K> {
    pub(crate) fn new() -> Self {
        Self {
            readers: RefCell::new(Slots::new()),
        }
    }

    /// Notes that a reader read a key; gives the key's number.
    pub(crate) fn note(&self, key: &K, reader: Reader) -> usize {
        let mut all = self.readers.borrow_mut();
        let number = all.number(key);
        let readers = all.get_mut(number);
        if let Err(at) = readers.binary_search(&reader) {
            if readers.is_empty() {
                readers.reserve_exact(1);
            }
            readers.insert(at, reader);
        }
        number
    }

    pub(crate) fn forget(&self, number: usize, reader: Reader) {
        let mut all = self.readers.borrow_mut();
        let readers = all.get_mut(number);
        if let Ok(at) = readers.binary_search(&reader) {
            readers.remove(at);
        }
        if readers.is_empty() {
            all.remove(number);
        }
    }

    pub(crate) fn wake(&self, key: &K, woken: &mut Vec<Reader>) {
        let all = self.readers.borrow();
        if let Some(number) = all.find(key) {
            woken.extend(all.get(number));
        }
    }
}
