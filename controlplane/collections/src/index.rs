//! An index: a collection's entries by something else than their key.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};

use crate::graph::table;
use crate::handle::{Collection, Index, Key, Value};
use crate::node::{Node, Reader};
use crate::table::Watchers;

/// Under which keys an entry is found.
pub(crate) type KeysOf<I, K, V> = Box<dyn Fn(&K, &V) -> Vec<I> + Send>;

/// The entries of a collection by the keys that a function gives them.
pub(crate) struct IndexNode<I, K, V> {
    of: Collection<K, V>,
    keys_of: KeysOf<I, K, V>,
    entries: HashMap<I, BTreeSet<K>>,
    pub(crate) watchers: Watchers<I>,
}

impl<I: Key, K: Key, V: Value> IndexNode<I, K, V> {
    pub(crate) fn new(of: Collection<K, V>, keys_of: KeysOf<I, K, V>) -> Self {
        Self {
            of,
            keys_of,
            entries: HashMap::new(),
            watchers: Watchers::new(),
        }
    }

    pub(crate) fn of(nodes: &[Box<dyn Node>], index: Index<I, K, V>) -> &Self {
        let node = nodes.get(index.node).and_then(|n| n.as_any().downcast_ref());
        node.expect("an index is used in the graph that made it, by nodes made after it")
    }

    /// The keys of the entries under a key.
    pub(crate) fn keys<'a>(&'a self, key: &I) -> impl Iterator<Item = &'a K> + use<'a, I, K, V> {
        self.entries.get(key).into_iter().flatten()
    }

    fn add(&mut self, key: K, value: &V, woken: &mut Vec<Reader>) {
        for at in (self.keys_of)(&key, value) {
            self.watchers.wake(&at, woken);
            self.entries.entry(at).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &K, value: &V, woken: &mut Vec<Reader>) {
        for at in (self.keys_of)(key, value) {
            self.watchers.wake(&at, woken);
            if let Some(keys) = self.entries.get_mut(&at) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(&at);
                }
            }
        }
    }
}

impl<I: Key, K: Key, V: Value> Node for IndexNode<I, K, V> {
    fn settle(&mut self, before: &[Box<dyn Node>], woken: &mut Vec<Reader>) {
        for change in table(before, self.of).round() {
            if let Some(old) = &change.old {
                self.remove(&change.key, old, woken);
            }
            if let Some(new) = &change.new {
                self.add(change.key.clone(), new, woken);
            }
        }
    }

    fn wake(&mut self, _row: usize) {}

    fn forget(&self, point: usize, reader: Reader) {
        self.watchers.forget(point, reader);
    }

    fn end_round(&mut self) {}

    fn unused(&self) -> Vec<String> {
        Vec::new()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
