//! Typed names of collections and indexes.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

/// What a collection can be keyed by.
pub trait Key: Clone + Ord + Hash + fmt::Debug + Send + Sync + 'static {}

impl<T: Clone + Ord + Hash + fmt::Debug + Send + Sync + 'static> Key for T {}

/// What a collection can hold; equality decides whether anything changed.
pub trait Value: PartialEq + Send + Sync + 'static {}

impl<T: PartialEq + Send + Sync + 'static> Value for T {}

/// Names a collection of one [`Graph`](crate::Graph); using it with another graph is a programming error and panics.
pub struct Collection<K, V> {
    pub(crate) node: usize,
    kinds: PhantomData<fn() -> (K, V)>,
}

/// Names an index over a collection; see [`Graph::index`](crate::Graph::index).
pub struct Index<I, K, V> {
    pub(crate) node: usize,
    pub(crate) of: Collection<K, V>,
    kinds: PhantomData<fn() -> I>,
}

impl<K, V> Collection<K, V> {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            kinds: PhantomData,
        }
    }
}

impl<I, K, V> Index<I, K, V> {
    pub(crate) fn new(node: usize, of: Collection<K, V>) -> Self {
        Self {
            node,
            of,
            kinds: PhantomData,
        }
    }
}

impl<K, V> Clone for Collection<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Collection<K, V> {}

impl<I, K, V> Clone for Index<I, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, K, V> Copy for Index<I, K, V> {}

impl<K, V> fmt::Debug for Collection<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection({})", self.node)
    }
}

impl<I, K, V> fmt::Debug for Index<I, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({})", self.node)
    }
}
