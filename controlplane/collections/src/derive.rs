//! A derived collection: for every entry of its primary collection, what a function makes of it.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::fetch::Fetch;
use crate::graph::table;
use crate::handle::{Collection, Key, Value};
use crate::node::{Node, Read, Reader};
use crate::table::Table;

/// What one entry of the primary collection becomes.
pub(crate) type Derivation<K, V, O, W> = Box<dyn Fn(&Fetch<'_>, &K, &V) -> Vec<(O, W)> + Send>;

/// A collection with entries `O`, `W`, made from one with entries `K`, `V`.
pub(crate) struct DeriveNode<K, V, O, W> {
    number: usize,
    from: Collection<K, V>,
    derive: Derivation<K, V, O, W>,
    rows: Vec<Row<K, O>>,
    free: Vec<usize>,
    row_of: HashMap<K, usize>,
    dirty: BTreeSet<usize>,
    /// Who offers a value for an output; the first offer, in the order of the primary keys, is the output.
    offers: HashMap<O, Vec<(K, Arc<W>)>>,
    table: Table<O, W>,
    computations: u64,
}

/// One entry of the primary collection: what it looked up, and what it offers.
struct Row<K, O> {
    key: Option<K>,
    reads: Vec<Read>,
    outputs: Vec<O>,
}

impl<K: Key, V: Value, O: Key, W: Value> DeriveNode<K, V, O, W> {
    pub(crate) fn new(number: usize, from: Collection<K, V>, derive: Derivation<K, V, O, W>) -> Self {
        Self {
            number,
            from,
            derive,
            rows: Vec::new(),
            free: Vec::new(),
            row_of: HashMap::new(),
            dirty: BTreeSet::new(),
            offers: HashMap::new(),
            table: Table::new(),
            computations: 0,
        }
    }

    fn row(&mut self, key: &K) -> usize {
        if let Some(row) = self.row_of.get(key) {
            return *row;
        }
        let row = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row {
                key: None,
                reads: Vec::new(),
                outputs: Vec::new(),
            });
            self.rows.len() - 1
        });
        self.rows[row].key = Some(key.clone());
        self.row_of.insert(key.clone(), row);
        row
    }

    /// Computes one row anew; a row whose primary entry is gone has no outputs any more.
    fn recompute(&mut self, row: usize, before: &[Box<dyn Node>], touched: &mut BTreeSet<O>) {
        let Some(key) = self.rows[row].key.clone() else {
            return;
        };
        let reader = Reader::new(self.number, row);
        let (outputs, reads) = match table(before, self.from).look(&key) {
            Some(value) => {
                self.computations += 1;
                let fetch = Fetch::new(before, reader);
                let outputs = (self.derive)(&fetch, &key, value);
                (outputs, fetch.into_reads())
            }
            None => {
                self.row_of.remove(&key);
                self.rows[row].key = None;
                self.free.push(row);
                (Vec::new(), Vec::new())
            }
        };
        let old_reads = std::mem::replace(&mut self.rows[row].reads, reads);
        for read in old_reads {
            if self.rows[row].reads.binary_search(&read).is_err() {
                before[read.node()].forget(read.point(), reader);
            }
        }
        self.offer(row, &key, outputs, touched);
    }

    /// Replaces what a row offers.
    fn offer(&mut self, row: usize, key: &K, outputs: Vec<(O, W)>, touched: &mut BTreeSet<O>) {
        for output in std::mem::take(&mut self.rows[row].outputs) {
            if let Some(offers) = self.offers.get_mut(&output) {
                offers.retain(|(by, _)| by != key);
            }
            touched.insert(output);
        }
        // Most rows have one output, and most outputs one offer: no room for more is kept.
        self.rows[row].outputs.reserve_exact(outputs.len());
        for (output, value) in outputs {
            let offers = self.offers.entry(output.clone());
            let offers = offers.or_insert_with(|| Vec::with_capacity(1));
            match offers.binary_search_by(|(by, _)| by.cmp(key)) {
                // The same row offers the same output twice: the first counts.
                Ok(_) => continue,
                Err(at) => offers.insert(at, (key.clone(), Arc::new(value))),
            }
            self.rows[row].outputs.push(output.clone());
            touched.insert(output);
        }
    }
}

impl<K: Key, V: Value, O: Key, W: Value> Node for DeriveNode<K, V, O, W> {
    fn settle(&mut self, before: &[Box<dyn Node>], woken: &mut Vec<Reader>) {
        for change in table(before, self.from).round() {
            let row = self.row(&change.key);
            self.dirty.insert(row);
        }
        let mut touched = BTreeSet::new();
        for row in std::mem::take(&mut self.dirty) {
            self.recompute(row, before, &mut touched);
        }
        for output in touched {
            let new = self.offers.get(&output).and_then(|offers| offers.first());
            let new = new.map(|(_, value)| value.clone());
            if new.is_none() {
                self.offers.remove(&output);
            }
            self.table.put(output, new, woken);
        }
    }

    fn wake(&mut self, row: usize) {
        self.dirty.insert(row);
    }

    fn forget(&self, point: usize, reader: Reader) {
        self.table.watchers.forget(point, reader);
    }

    fn end_round(&mut self) {
        self.table.end_round();
    }

    fn unused(&self) -> Vec<String> {
        Vec::new()
    }

    fn computations(&self) -> u64 {
        self.computations
    }

    fn as_any(&self) -> &dyn Any {
        &self.table
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.table
    }
}
