//! What a derivation may look up. Everything looked up is remembered: when it changes, the derivation runs again.

use std::cell::RefCell;
use std::sync::Arc;

use crate::graph::table;
use crate::handle::{Collection, Index, Key, Value};
use crate::index::IndexNode;
use crate::node::{Node, Read, Reader};

/// Looks up entries of collections that were made before the one that is derived.
pub struct Fetch<'a> {
    before: &'a [Box<dyn Node>],
    reader: Reader,
    reads: RefCell<Vec<Read>>,
}

impl<'a> Fetch<'a> {
    /// The entry with this key.
    #[must_use]
    pub fn get<K: Key, V: Value>(&self, collection: Collection<K, V>, key: &K) -> Option<&'a V> {
        let table = table(self.before, collection);
        self.note(collection.node, table.watchers.note(key, self.reader));
        table.look(key).map(Arc::as_ref)
    }

    /// The entries that an index has under this key, in the order of their own keys.
    pub fn by<I: Key, K: Key, V: Value>(
        &self,
        index: Index<I, K, V>,
        key: &I,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, I, K, V> {
        let node = IndexNode::of(self.before, index);
        self.note(index.node, node.watchers.note(key, self.reader));
        let table = table(self.before, index.of);
        node.keys(key)
            .filter_map(move |k| Some((k, table.look(k)?.as_ref())))
    }

    pub(crate) fn new(before: &'a [Box<dyn Node>], reader: Reader) -> Self {
        Self {
            before,
            reader,
            reads: RefCell::new(Vec::new()),
        }
    }

    /// What was read, each once, in order.
    pub(crate) fn into_reads(self) -> Vec<Read> {
        let mut reads = self.reads.into_inner();
        reads.sort_unstable();
        reads.dedup();
        // Kept for as long as what was made of them.
        reads.shrink_to_fit();
        reads
    }

    fn note(&self, node: usize, point: usize) {
        self.reads.borrow_mut().push(Read::new(node, point));
    }
}
