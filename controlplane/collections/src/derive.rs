//! A derived collection: for every entry of its primary collection, what a function makes of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::fetch::Fetch;
use crate::graph::table;
use crate::handle::{Collection, Key, Value};
use crate::node::{Node, Read, Reader};
use crate::slots::Slots;
use crate::table::Table;

/// What one entry of the primary collection becomes.
pub(crate) type Derivation<K, V, O, W> = Box<dyn Fn(&Fetch<'_>, &K, &V) -> Vec<(O, W)> + Send>;

/// A collection with entries `O`, `W`, made from one with entries `K`, `V`.
pub(crate) struct DeriveNode<K, V, O, W> {
    number: usize,
    from: Collection<K, V>,
    derive: Derivation<K, V, O, W>,
    rows: Slots<K, Row<O>>,
    dirty: BTreeSet<usize>,
    /// Outputs that several rows offer a value for, which are few: of the others, the table knows who does.
    contested: HashMap<O, Vec<Offer<K, W>>>,
    table: Table<O, W>,
    computations: u64,
}

/// One entry of the primary collection: what it looked up, and what it offers. There is one for each object of a cluster and
/// each thing that is made of it, so it is kept small.
struct Row<O> {
    reads: Box<[Read]>,
    outputs: Outputs<O>,
}

/// Mostly one.
enum Outputs<O> {
    One(O),
    Many(Vec<O>),
}

/// A value for an output.
struct Offer<K, W> {
    by: K,
    row: usize,
    value: Arc<W>,
}

/// The offers for each output that a settling is about, in the order of the primary keys: the first is the output.
type Touched<K, O, W> = BTreeMap<O, Vec<Offer<K, W>>>;

impl<K: Key, V: Value, O: Key, W: Value> DeriveNode<K, V, O, W> {
    pub(crate) fn new(number: usize, from: Collection<K, V>, derive: Derivation<K, V, O, W>) -> Self {
        Self {
            number,
            from,
            derive,
            rows: Slots::new(),
            dirty: BTreeSet::new(),
            contested: HashMap::new(),
            table: Table::new(),
            computations: 0,
        }
    }

    /// Computes one row anew; a row whose primary entry is gone has no outputs any more.
    fn recompute(&mut self, row: usize, before: &[Box<dyn Node>], touched: &mut Touched<K, O, W>) {
        let Some(key) = self.rows.key(row).cloned() else {
            return;
        };
        let reader = Reader::new(self.number, row);
        let entry = table(before, self.from).look(&key);
        let (outputs, reads) = match entry {
            Some(value) => {
                self.computations += 1;
                let fetch = Fetch::new(before, reader);
                let outputs = (self.derive)(&fetch, &key, value);
                (outputs, fetch.into_reads())
            }
            None => (Vec::new(), Vec::new()),
        };
        let row_now = self.rows.get_mut(row);
        let old_reads = std::mem::replace(&mut row_now.reads, reads.into());
        for read in old_reads {
            if row_now.reads.binary_search(&read).is_err() {
                before[read.node()].forget(read.point(), reader);
            }
        }
        // While the row still has its key, which outputs that it offered are ordered by.
        self.offer(row, &key, outputs, touched);
        if entry.is_none() {
            self.rows.remove(row);
        }
    }

    /// Replaces what a row offers.
    fn offer(&mut self, row: usize, key: &K, outputs: Vec<(O, W)>, touched: &mut Touched<K, O, W>) {
        let before = std::mem::take(&mut self.rows.get_mut(row).outputs);
        for output in before {
            let offers = self.offers(output, touched);
            offers.retain(|offer| offer.by != *key);
        }
        let mut offered = Vec::with_capacity(outputs.len());
        for (output, value) in outputs {
            let offers = self.offers(output.clone(), touched);
            match offers.binary_search_by(|offer| offer.by.cmp(key)) {
                // The same row offers the same output twice: the first counts.
                Ok(_) => continue,
                Err(at) => offers.insert(
                    at,
                    Offer {
                        by: key.clone(),
                        row,
                        value: Arc::new(value),
                    },
                ),
            }
            offered.push(output);
        }
        self.rows.get_mut(row).outputs = offered.into();
    }

    /// The offers for an output, as this settling has them.
    fn offers<'t>(&mut self, output: O, touched: &'t mut Touched<K, O, W>) -> &'t mut Vec<Offer<K, W>> {
        touched.entry(output).or_insert_with_key(|output| {
            if let Some(offers) = self.contested.remove(output) {
                return offers;
            }
            let offered = self.table.offered(output);
            let alone = offered.and_then(|(row, value)| {
                Some(Offer {
                    by: self.rows.key(row)?.clone(),
                    row,
                    value: value.clone(),
                })
            });
            alone.into_iter().collect()
        })
    }
}

impl<K: Key, V: Value, O: Key, W: Value> Node for DeriveNode<K, V, O, W> {
    fn settle(&mut self, before: &[Box<dyn Node>], woken: &mut Vec<Reader>) {
        for change in table(before, self.from).round() {
            let row = self.rows.number(&change.key);
            self.dirty.insert(row);
        }
        let mut touched = Touched::new();
        for row in std::mem::take(&mut self.dirty) {
            self.recompute(row, before, &mut touched);
        }
        for (output, mut offers) in touched {
            let new = offers.first().map(|first| (first.row, first.value.clone()));
            if offers.len() > 1 {
                offers.shrink_to_fit();
                self.contested.insert(output.clone(), offers);
            }
            let (row, new) = new.map_or((0, None), |(row, value)| (row, Some(value)));
            self.table.put_of(row, output, new, woken);
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

impl<O> Default for Row<O> {
    fn default() -> Self {
        Self {
            reads: Box::default(),
            outputs: Outputs::default(),
        }
    }
}

impl<O> Default for Outputs<O> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<O> From<Vec<O>> for Outputs<O> {
    fn from(mut outputs: Vec<O>) -> Self {
        match outputs.pop() {
            Some(only) if outputs.is_empty() => Self::One(only),
            last => {
                outputs.extend(last);
                Self::Many(outputs)
            }
        }
    }
}

impl<O> IntoIterator for Outputs<O> {
    type Item = O;
    type IntoIter = std::iter::Chain<std::option::IntoIter<O>, std::vec::IntoIter<O>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::One(output) => (Some(output), Vec::new()),
            Self::Many(outputs) => (None, outputs),
        };
        one.into_iter().chain(many)
    }
}
