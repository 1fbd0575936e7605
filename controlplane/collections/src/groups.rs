//! Which groups have any member: whoever only needs to know that there is none reads one entry instead of many absent ones.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::graph::table;
use crate::handle::{Collection, Key, Value};
use crate::node::{Node, Reader};
use crate::table::Table;

/// To which groups an entry belongs.
pub(crate) type GroupsOf<G, K, V> = Box<dyn Fn(&K, &V) -> Vec<G> + Send>;

/// The groups of a collection's entries. An entry of this collection comes with the first member and goes with the last.
pub(crate) struct GroupsNode<G, K, V> {
    of: Collection<K, V>,
    groups_of: GroupsOf<G, K, V>,
    members: HashMap<G, usize>,
    table: Table<G, ()>,
}

impl<G: Key, K: Key, V: Value> GroupsNode<G, K, V> {
    pub(crate) fn new(of: Collection<K, V>, groups_of: GroupsOf<G, K, V>) -> Self {
        Self {
            of,
            groups_of,
            members: HashMap::new(),
            table: Table::new(),
        }
    }
}

impl<G: Key, K: Key, V: Value> Node for GroupsNode<G, K, V> {
    fn settle(&mut self, before: &[Box<dyn Node>], woken: &mut Vec<Reader>) {
        let mut touched = BTreeSet::new();
        for change in table(before, self.of).round() {
            if let Some(new) = &change.new {
                for group in (self.groups_of)(&change.key, new) {
                    *self.members.entry(group.clone()).or_default() += 1;
                    touched.insert(group);
                }
            }
            if let Some(old) = &change.old {
                for group in (self.groups_of)(&change.key, old) {
                    if let Some(members) = self.members.get_mut(&group) {
                        *members -= 1;
                    }
                    touched.insert(group);
                }
            }
        }
        for group in touched {
            let any = self.members.get(&group).is_some_and(|members| *members > 0);
            if !any {
                self.members.remove(&group);
            }
            self.table.put(group, any.then(Arc::default), woken);
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
        Vec::new()
    }

    fn as_any(&self) -> &dyn Any {
        &self.table
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.table
    }
}
