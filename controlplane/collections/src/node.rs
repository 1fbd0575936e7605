//! What a graph is made of: nodes, each depending only on nodes made before it.

use std::any::Any;

use crate::slots::{large, small};

/// A row of a derived collection: the node and the row's number in it. Whoever read something is noted as this, many times
/// over for each row, so it is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reader {
    node: u32,
    row: u32,
}

/// Something that was read: the node that was asked, and the number that the node gave to the key asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Read {
    node: u32,
    point: u32,
}

impl Reader {
    pub(crate) fn new(node: usize, row: usize) -> Self {
        Self {
            node: small(node),
            row: small(row),
        }
    }

    pub(crate) fn node(self) -> usize {
        large(self.node)
    }

    pub(crate) fn row(self) -> usize {
        large(self.row)
    }
}

impl Read {
    pub(crate) fn new(node: usize, point: usize) -> Self {
        Self {
            node: small(node),
            point: small(point),
        }
    }

    pub(crate) fn node(self) -> usize {
        large(self.node)
    }

    pub(crate) fn point(self) -> usize {
        large(self.point)
    }
}

/// A node: an input, a derived collection or an index.
pub(crate) trait Node: Any + Send {
    /// Brings the node up to date from the nodes before it, whose changes are still known; says who read what changed.
    fn settle(&mut self, before: &[Box<dyn Node>], woken: &mut Vec<Reader>);

    /// Marks a row as to be recomputed.
    fn wake(&mut self, row: usize);

    /// Forgets that a reader read a key.
    fn forget(&self, point: usize, reader: Reader);

    /// Ends the settling: the changes of this round are no longer asked for by later nodes.
    fn end_round(&mut self);

    /// Entries that nothing ever used, for tests.
    fn unused(&self) -> Vec<String>;

    /// How often the node's function was called.
    fn computations(&self) -> u64 {
        0
    }

    /// What others look into: a collection's table, or the index.
    fn as_any(&self) -> &dyn Any;

    fn as_any_mut(&mut self) -> &mut dyn Any;

    /// The node itself, if it is an input.
    fn as_input(&mut self) -> &mut dyn Any {
        self.as_any_mut()
    }
}
