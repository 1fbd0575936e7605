//! [`SharedMap`]: an ordered map whose clone is cheap and whose change copies a few dozen entries, not all.

use std::borrow::Borrow;
use std::sync::Arc;

/// An ordered map in sorted runs. Clones share the runs; a change copies the list of runs and the one that it falls
/// into, unless nobody else holds them.
#[derive(Debug)]
pub(crate) struct SharedMap<K, V> {
    /// Sorted, none empty.
    runs: Arc<Vec<Run<K, V>>>,
    len: usize,
}

type Run<K, V> = Arc<Vec<(K, V)>>;

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let run = &self.runs[self.run_of(key)?];
        let at = position(run, key).ok()?;
        Some(&run[at].1)
    }

    /// All entries, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.runs.iter().flat_map(|run| run.iter()).map(|(k, v)| (k, v))
    }

    /// Puts a value in place; returns what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.run_of(&key).unwrap_or_default();
        let runs = Arc::make_mut(&mut self.runs);
        if runs.is_empty() {
            runs.push(Arc::default());
        }
        let run = Arc::make_mut(&mut runs[index]);
        match position(run, &key) {
            Ok(at) => return Some(std::mem::replace(&mut run[at].1, value)),
            Err(at) => run.insert(at, (key, value)),
        }
        self.len += 1;
        if run.len() > LONGEST_RUN {
            let upper = run.split_off(run.len() / 2);
            runs.insert(index + 1, Arc::new(upper));
        }
        None
    }

    /// Takes a value out.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.run_of(key)?;
        let at = position(&self.runs[index], key).ok()?;
        let runs = Arc::make_mut(&mut self.runs);
        let run = Arc::make_mut(&mut runs[index]);
        let (_, value) = run.remove(at);
        self.len -= 1;
        if run.is_empty() {
            runs.remove(index);
        }
        Some(value)
    }

    /// The run that a key belongs into; none if there is no run.
    fn run_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let begins_at_or_before = |run: &Run<K, V>| run[0].0.borrow() <= key;
        let after = self.runs.partition_point(begins_at_or_before);
        (!self.runs.is_empty()).then(|| after.saturating_sub(1))
    }
}

fn position<K: Borrow<Q>, V, Q: Ord + ?Sized>(run: &[(K, V)], key: &Q) -> Result<usize, usize> {
    run.binary_search_by(|(k, _)| k.borrow().cmp(key))
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self {
            runs: Arc::new(Vec::new()),
            len: 0,
        }
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            runs: self.runs.clone(),
            len: self.len,
        }
    }
}

/// Entries of a run, before it becomes two: with 10,000 entries a change copies some 150 runs' pointers and as many
/// entries at most.
const LONGEST_RUN: usize = 128;

#[cfg(test)]
mod tests;
