//! [`SharedMap`]: an ordered map whose clone is cheap and whose change copies a few dozen entries, not all.

use std::borrow::Borrow;
use std::cmp::Ordering;
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

    /// The keys of what differs from an earlier state. Runs that both share are passed over.
    pub(crate) fn changed_since<'m>(
        &'m self,
        earlier: &'m Self,
        same: impl Fn(&V, &V) -> bool,
    ) -> Vec<&'m K> {
        let (mut old, mut new) = (Reader::of(&earlier.runs), Reader::of(&self.runs));
        let mut changes = Vec::new();
        loop {
            if old.passes_over(&new) {
                old.next_run();
                new.next_run();
                continue;
            }
            let order = match (old.entry(), new.entry()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let entry = if order.is_le() { old.entry() } else { new.entry() };
            let both = old.entry().zip(new.entry()).filter(|_| order.is_eq());
            if let Some((key, _)) = entry
                && !both.is_some_and(|((_, was), (_, is))| same(was, is))
            {
                changes.push(key);
            }
            if order.is_le() {
                old.next();
            }
            if order.is_ge() {
                new.next();
            }
        }
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

/// A place among the entries of all runs.
struct Reader<'m, K, V> {
    runs: &'m [Run<K, V>],
    place: usize,
}

impl<'m, K, V> Reader<'m, K, V> {
    fn of(runs: &'m [Run<K, V>]) -> Self {
        Self { runs, place: 0 }
    }

    fn entry(&self) -> Option<&'m (K, V)> {
        self.runs.first().map(|run| &run[self.place])
    }

    /// Whether both stand at the beginning of one run.
    fn passes_over(&self, other: &Self) -> bool {
        let both = self.runs.first().zip(other.runs.first());
        self.place == 0 && other.place == 0 && both.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    fn next(&mut self) {
        self.place += 1;
        if self.runs.first().is_some_and(|run| self.place == run.len()) {
            self.next_run();
        }
    }

    fn next_run(&mut self) {
        self.runs = &self.runs[1..];
        self.place = 0;
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
