//! The graph, its inputs, and how it settles.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::derive::DeriveNode;
use crate::fetch::Fetch;
use crate::groups::GroupsNode;
use crate::handle::{Collection, Index, Key, Value};
use crate::index::IndexNode;
use crate::node::{Node, Reader};
use crate::table::{Change, Table};

/// Collections and how they follow from one another.
///
/// A collection can only be derived from collections made before it, so one pass in the order of making settles
/// everything.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Box<dyn Node>>,
    names: Vec<&'static str>,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A collection that is filled by [`Self::set`] and [`Self::delete`].
    pub fn input<K: Key, V: Value>(&mut self, name: &'static str) -> Collection<K, V> {
        Collection::new(self.add(name, Box::new(InputNode::<K, V>::new())))
    }

    /// A collection with at most one entry, under the same key, for each entry of another.
    pub fn derive<K: Key, V: Value, W: Value>(
        &mut self,
        name: &'static str,
        from: Collection<K, V>,
        derive: impl Fn(&Fetch<'_>, &K, &V) -> Option<W> + Send + 'static,
    ) -> Collection<K, W> {
        self.derive_many(name, from, move |fetch, key, value| {
            let output = derive(fetch, key, value);
            output.map(|o| (key.clone(), o)).into_iter().collect()
        })
    }

    /// A collection with any number of entries for each entry of another. Where several offer the same key, the offer of
    /// the least primary key counts until it is withdrawn.
    pub fn derive_many<K: Key, V: Value, O: Key, W: Value>(
        &mut self,
        name: &'static str,
        from: Collection<K, V>,
        derive: impl Fn(&Fetch<'_>, &K, &V) -> Vec<(O, W)> + Send + 'static,
    ) -> Collection<O, W> {
        let node = DeriveNode::new(self.nodes.len(), from, Box::new(derive));
        Collection::new(self.add(name, Box::new(node)))
    }

    /// The entries of a collection by other keys, as many for an entry as the function gives.
    pub fn index<I: Key, K: Key, V: Value>(
        &mut self,
        name: &'static str,
        of: Collection<K, V>,
        keys_of: impl Fn(&K, &V) -> Vec<I> + Send + 'static,
    ) -> Index<I, K, V> {
        let node = IndexNode::new(of, Box::new(keys_of));
        Index::new(self.add(name, Box::new(node)), of)
    }

    /// The groups of a collection's entries, as many for an entry as the function gives: one is there while it has a member,
    /// and changes when it gets its first and loses its last.
    pub fn groups<G: Key, K: Key, V: Value>(
        &mut self,
        name: &'static str,
        of: Collection<K, V>,
        groups_of: impl Fn(&K, &V) -> Vec<G> + Send + 'static,
    ) -> Collection<G, ()> {
        let node = GroupsNode::new(of, Box::new(groups_of));
        Collection::new(self.add(name, Box::new(node)))
    }

    /// Stages an entry of an input; the last state staged before [`Self::settle`] counts.
    pub fn set<K: Key, V: Value>(&mut self, input: Collection<K, V>, key: K, value: V) {
        self.stage(input, key, Some(Arc::new(value)));
    }

    /// Stages the removal of an entry of an input.
    pub fn delete<K: Key, V: Value>(&mut self, input: Collection<K, V>, key: K) {
        self.stage(input, key, None);
    }

    /// Brings every collection up to date with what was staged.
    pub fn settle(&mut self) {
        let mut woken: Vec<Reader> = Vec::new();
        for number in 0..self.nodes.len() {
            let (before, rest) = self.nodes.split_at_mut(number);
            rest[0].settle(before, &mut woken);
            for reader in woken.drain(..) {
                // Readers of a node are made after it.
                rest[reader.node() - number].wake(reader.row());
            }
        }
        self.nodes.iter_mut().for_each(|n| n.end_round());
    }

    /// What became of a collection's entries since the last call, in the order of their keys; at the first call, every
    /// entry. Entries that came and went in between are not told.
    pub fn take_changes<K: Key, V: Value>(&mut self, collection: Collection<K, V>) -> Vec<Change<K, V>> {
        let node = self.nodes.get_mut(collection.node);
        let table: Option<&mut Table<K, V>> = node.and_then(|n| n.as_any_mut().downcast_mut());
        table.expect(FOREIGN_HANDLE).take_changes()
    }

    /// The entry with this key, as of the last [`Self::settle`].
    #[must_use]
    pub fn get<K: Key, V: Value>(&self, collection: Collection<K, V>, key: &K) -> Option<&Arc<V>> {
        table(&self.nodes, collection).peek(key)
    }

    /// Every entry of a collection, in no order.
    pub fn iter<K: Key, V: Value>(
        &self,
        collection: Collection<K, V>,
    ) -> impl Iterator<Item = (&K, &Arc<V>)> {
        table(&self.nodes, collection).iter()
    }

    /// How many entries a collection has.
    #[must_use]
    pub fn len<K: Key, V: Value>(&self, collection: Collection<K, V>) -> usize {
        table(&self.nodes, collection).len()
    }

    /// The entries that an index has under this key, in the order of their own keys.
    pub fn by<'a, I: Key, K: Key, V: Value>(
        &'a self,
        index: Index<I, K, V>,
        key: &I,
    ) -> impl Iterator<Item = (&'a K, &'a Arc<V>)> + use<'a, I, K, V> {
        let entries = table(&self.nodes, index.of);
        IndexNode::of(&self.nodes, index)
            .keys(key)
            .filter_map(move |k| Some((k, entries.peek(k)?)))
    }

    /// How often a collection's function was called: tests hold "recomputes only what was touched" to this.
    #[must_use]
    pub fn computations<K: Key, V: Value>(&self, collection: Collection<K, V>) -> u64 {
        self.nodes.get(collection.node).map_or(0, |n| n.computations())
    }

    /// Entries of inputs that no derivation ever used, as `<collection> <key>`: a test's fixture that tests nothing.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let nodes = self.nodes.iter().zip(&self.names);
        nodes
            .flat_map(|(node, name)| node.unused().into_iter().map(move |key| format!("{name} {key}")))
            .collect()
    }

    fn add(&mut self, name: &'static str, node: Box<dyn Node>) -> usize {
        self.nodes.push(node);
        self.names.push(name);
        self.nodes.len() - 1
    }

    fn stage<K: Key, V: Value>(&mut self, input: Collection<K, V>, key: K, value: Option<Arc<V>>) {
        let node = self.nodes.get_mut(input.node);
        let input: Option<&mut InputNode<K, V>> = node.and_then(|n| n.as_input().downcast_mut());
        input
            .expect("only inputs of this graph are set")
            .staged
            .insert(key, value);
    }
}

/// The entries of a collection among the nodes of its graph.
pub(crate) fn table<K: Key, V: Value>(nodes: &[Box<dyn Node>], collection: Collection<K, V>) -> &Table<K, V> {
    let node = nodes.get(collection.node);
    node.and_then(|n| n.as_any().downcast_ref())
        .expect(FOREIGN_HANDLE)
}

/// A collection that is filled from outside.
struct InputNode<K, V> {
    table: Table<K, V>,
    staged: BTreeMap<K, Option<Arc<V>>>,
}

impl<K: Key, V: Value> InputNode<K, V> {
    fn new() -> Self {
        Self {
            table: Table::new(),
            staged: BTreeMap::new(),
        }
    }
}

impl<K: Key, V: Value> Node for InputNode<K, V> {
    fn settle(&mut self, _before: &[Box<dyn Node>], woken: &mut Vec<Reader>) {
        for (key, value) in std::mem::take(&mut self.staged) {
            self.table.put(key, value, woken);
        }
    }

    fn wake(&mut self, _row: usize) {}

    fn forget(&self, point: usize, reader: Reader) {
        self.table.watchers.forget(point, reader);
    }

    fn end_round(&mut self) {
        self.table.end_round();
    }

    fn unused(&self) -> Vec<String> {
        self.table.unused()
    }

    fn as_any(&self) -> &dyn Any {
        &self.table
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.table
    }

    fn as_input(&mut self) -> &mut dyn Any {
        self
    }
}

const FOREIGN_HANDLE: &str = "a collection is used in the graph that made it, by nodes made after it";

#[cfg(test)]
mod tests;
