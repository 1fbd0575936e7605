//! Which of several shards counts a key: the one whose name and the key have the highest hash together (rendezvous
//! hashing), so that all agree who knows the same list, and only the keys of one that comes or goes move.

use xxhash_rust::xxh64::xxh64;

use crate::key::Key;

/// The shards, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    names: Vec<String>,
    seeds: Vec<u64>,
}

impl Shards {
    /// Of these names; nothing where there is none, or one stands twice. Their order is of no consequence.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort();
        if names.is_empty() || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        let seeds = names.iter().map(|name| xxh64(name.as_bytes(), 0)).collect();
        Some(Self { names, seeds })
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of the shard that counts a key, in [`Self::names`].
    #[must_use]
    pub fn owner(&self, key: &Key) -> usize {
        let scores = self
            .seeds
            .iter()
            .map(|seed| xxh64(key.as_str().as_bytes(), *seed));
        let best = scores.enumerate().max_by_key(|(_, score)| *score);
        best.map_or(0, |(shard, _)| shard)
    }
}

#[cfg(test)]
mod tests;
