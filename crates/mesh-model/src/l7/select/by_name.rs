//! [`ByName`]: a map whose clone is one reference count, and whose change copies a small part of it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use mesh_types::Strng;

/// Something that is changed in place and goes when nothing is left of it.
pub(super) trait Part: Clone + Default {
    fn is_empty(&self) -> bool;
}

/// Parts by name, in shards by the name's hash. Clones share the shards; a change copies the list of shards and the one
/// that it falls into, unless nobody else holds them.
#[derive(Clone, Debug)]
pub(super) struct ByName<V> {
    /// A power of two; absent while there is nothing.
    shards: Option<Arc<Vec<Shard<V>>>>,
    len: usize,
}

type Shard<V> = Arc<Vec<Slot<V>>>;

#[derive(Clone, Debug)]
struct Slot<V> {
    hash: u32,
    name: Strng,
    value: V,
}

impl<V: Part> ByName<V> {
    /// What is there for a name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        let shards = self.shards.as_ref()?;
        let hash = hash_of(name);
        let mut shard = shards[shard_of(hash, shards.len())].iter();
        let slot = shard.find(|slot| slot.hash == hash && &*slot.name == name)?;
        Some(&slot.value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes what is there for a name, or puts there what a change makes of nothing.
    pub(super) fn change(&mut self, name: Strng, change: impl FnOnce(&mut V)) {
        let shards = Arc::make_mut(
            self.shards
                .get_or_insert_with(|| Arc::new(vec![Shard::default()])),
        );
        if self.len >= shards.len() * USUAL {
            spread(shards);
        }
        let hash = hash_of(&name);
        let at = shard_of(hash, shards.len());
        let shard = Arc::make_mut(&mut shards[at]);
        let known = shard
            .iter()
            .position(|slot| slot.hash == hash && slot.name == name);
        let place = known.unwrap_or_else(|| {
            let value = V::default();
            shard.push(Slot { hash, name, value });
            self.len += 1;
            shard.len() - 1
        });
        change(&mut shard[place].value);
        if shard[place].value.is_empty() {
            shard.swap_remove(place);
            self.len -= 1;
        }
        if self.len == 0 {
            self.shards = None;
        }
    }
}

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self { shards: None, len: 0 }
    }
}

/// Twice as many shards.
fn spread<V: Clone>(shards: &mut Vec<Shard<V>>) {
    let many = shards.len() * 2;
    let mut wider: Vec<Vec<Slot<V>>> = (0..many).map(|_| Vec::new()).collect();
    for shard in shards.drain(..) {
        for slot in Arc::unwrap_or_clone(shard) {
            wider[shard_of(slot.hash, many)].push(slot);
        }
    }
    *shards = wider.into_iter().map(Arc::new).collect();
}

fn hash_of(name: &str) -> u32 {
    // The lower half is as good as all of it.
    HASHER.hash_one(name) as u32
}

fn shard_of(hash: u32, shards: usize) -> usize {
    hash as usize & (shards - 1)
}

/// Names come from outside: no one else knows the seed.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Names of a shard before there are more shards: with ten thousand names a change copies some thousand pointers and a
/// dozen slots.
const USUAL: usize = 16;

#[cfg(test)]
mod tests;
