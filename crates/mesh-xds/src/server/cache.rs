//! What is published: for each type the present resources, and a log of which name changed when. A subscriber that was
//! brought to sequence number *n* is sent the names that changed after *n*, each once, as they are now: however slow it
//! is, it costs no queue. Names of removed resources stay in the log until every subscriber passed them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use xxhash_rust::xxh64::xxh64;

use super::push::record;
use crate::resource::TypeUrl;

/// Everything that is published, of all types. Clones share it.
#[derive(Clone, Debug)]
pub struct ResourceCache {
    shared: Arc<Shared>,
}

/// One change to what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    type_url: TypeUrl,
    name: String,
    body: Option<Bytes>,
}

/// What a [`ResourceCache::publish`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The sequence number of the last change; subscribers that are at it or beyond were sent all of them.
    pub sequence: u64,
    /// How many changes were no repetition of what was published already.
    pub changed: usize,
}

#[derive(Debug)]
struct Shared {
    tables: RwLock<Tables>,
    readers: Mutex<Vec<Weak<Reader>>>,
    sequence: watch::Sender<u64>,
    ready: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Tables {
    pub(super) sequence: u64,
    pub(super) tables: Vec<Table>,
}

/// One type.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) type_url: TypeUrl,
    resources: HashMap<Arc<str>, Entry>,
    /// The last change of each name, in the order of the changes; no name stands twice.
    log: BTreeMap<u64, Arc<str>>,
    /// Removed names, by when and by name.
    tombstones: BTreeMap<u64, Arc<str>>,
    gone: HashMap<Arc<str>, u64>,
    last_upsert: u64,
    last_removal: u64,
    /// Removals up to here may have been forgotten: who is behind must ask anew.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    record: Bytes,
    sequence: u64,
}

/// How far one subscriber came with each type's removals; `u64::MAX` while it needs none.
#[derive(Debug)]
pub(super) struct Reader(Vec<AtomicU64>);

impl ResourceCache {
    /// An empty cache for these types, in the order of their references (see the crate's documentation). Streams are
    /// refused until [`ResourceCache::set_ready`].
    #[must_use]
    pub fn new(types: &[TypeUrl]) -> Self {
        let tables = types.iter().map(|type_url| Table::new(*type_url)).collect();
        Self {
            shared: Arc::new(Shared {
                tables: RwLock::new(Tables { sequence: 0, tables }),
                readers: Mutex::new(Vec::new()),
                sequence: watch::Sender::new(0),
                ready: watch::Sender::new(false),
            }),
        }
    }

    /// Publishes changes together: no subscriber sees some of them without the others, except as the order of types
    /// asks. A resource that is published again with equal content is no change.
    ///
    /// # Panics
    /// Panics when a change is of a type that the cache was not made for.
    pub fn publish(&self, changes: Vec<Change>) -> Published {
        // Encoding and hashing stay outside the lock.
        let prepared: Vec<_> = changes.into_iter().map(Prepared::from).collect();
        let mut tables = self.shared.tables.write();
        // Under the lock: a subscriber takes its first position under the same one.
        let floors = self.floors(tables.tables.len());
        let before = tables.sequence;
        for change in prepared {
            tables.apply(change);
        }
        for (table, floor) in tables.tables.iter_mut().zip(floors) {
            table.forget(floor);
        }
        let sequence = tables.sequence;
        drop(tables);
        if sequence > before {
            self.shared.sequence.send_replace(sequence);
        }
        Published {
            sequence,
            changed: usize::try_from(sequence - before).unwrap_or(usize::MAX),
        }
    }

    /// Everything that was known at start is published: streams are accepted from now on.
    pub fn set_ready(&self) {
        self.shared.ready.send_replace(true);
    }

    /// Whether streams are accepted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    /// How many resources of a type are published.
    #[must_use]
    pub fn len(&self, type_url: TypeUrl) -> usize {
        let tables = self.shared.tables.read();
        let table = tables.tables.iter().find(|t| t.type_url == type_url);
        table.map_or(0, |t| t.resources.len())
    }

    /// Names and versions of what is published of a type, ordered by name, for dumps.
    #[must_use]
    pub fn versions(&self, type_url: TypeUrl) -> BTreeMap<String, String> {
        let tables = self.shared.tables.read();
        let table = tables.tables.iter().find(|t| t.type_url == type_url);
        let all = table.into_iter().flat_map(|t| &t.resources);
        all.map(|(name, entry)| (name.to_string(), version(entry.version)))
            .collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.sequence.subscribe()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        read(&self.shared.tables.read())
    }

    pub(super) fn reader(&self) -> Arc<Reader> {
        let count = self.shared.tables.read().tables.len();
        let reader = Arc::new(Reader((0..count).map(|_| AtomicU64::new(u64::MAX)).collect()));
        self.shared.readers.lock().push(Arc::downgrade(&reader));
        reader
    }

    /// How far the slowest subscriber is, by type. A subscriber that joins later starts from what is there.
    fn floors(&self, count: usize) -> Vec<u64> {
        let mut floors = vec![u64::MAX; count];
        let mut readers = self.shared.readers.lock();
        readers.retain(|reader| {
            let Some(reader) = reader.upgrade() else {
                return false;
            };
            for (floor, position) in floors.iter_mut().zip(&reader.0) {
                *floor = (*floor).min(position.load(Ordering::Acquire));
            }
            true
        });
        floors
    }
}

// === impl Change ===

impl Change {
    /// A resource is there, with this encoded message.
    #[must_use]
    pub fn upsert(type_url: TypeUrl, name: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            type_url,
            name: name.into(),
            body: Some(body.into()),
        }
    }

    /// A resource is gone.
    #[must_use]
    pub fn remove(type_url: TypeUrl, name: impl Into<String>) -> Self {
        Self {
            type_url,
            name: name.into(),
            body: None,
        }
    }
}

// === impl Reader ===

impl Reader {
    pub(super) fn advance(&self, index: usize, to: u64) {
        self.0[index].store(to, Ordering::Release);
    }
}

// === impl Tables ===

struct Prepared {
    type_url: TypeUrl,
    name: Arc<str>,
    content: Option<(u64, Bytes)>,
}

impl From<Change> for Prepared {
    fn from(change: Change) -> Self {
        let content = change.body.map(|body| {
            let hash = xxh64(&body, 0);
            (hash, record(change.type_url, &change.name, &version(hash), body))
        });
        Self {
            type_url: change.type_url,
            name: change.name.into(),
            content,
        }
    }
}

impl Tables {
    fn apply(&mut self, change: Prepared) {
        let next = self.sequence + 1;
        let found = self.tables.iter_mut().find(|t| t.type_url == change.type_url);
        let table = found.unwrap_or_else(|| panic!("the cache was not made for {}", change.type_url));
        let changed = match change.content {
            Some((version, record)) => table.upsert(change.name, version, record, next),
            None => table.remove(change.name, next),
        };
        if changed {
            self.sequence = next;
        }
    }
}

impl Table {
    fn new(type_url: TypeUrl) -> Self {
        Self {
            type_url,
            resources: HashMap::new(),
            log: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            gone: HashMap::new(),
            last_upsert: 0,
            last_removal: 0,
            forgotten: 0,
        }
    }

    fn upsert(&mut self, name: Arc<str>, version: u64, record: Bytes, sequence: u64) -> bool {
        // The hash names a version; whether something changed is decided by the bytes.
        let present = self.resources.get(&name);
        if present.is_some_and(|entry| entry.record == record) {
            return false;
        }
        if let Some(last) = present.map(|entry| entry.sequence).or_else(|| self.revive(&name)) {
            self.log.remove(&last);
        }
        self.log.insert(sequence, name.clone());
        let entry = Entry {
            version,
            record,
            sequence,
        };
        self.resources.insert(name, entry);
        self.last_upsert = sequence;
        true
    }

    fn remove(&mut self, name: Arc<str>, sequence: u64) -> bool {
        let Some(entry) = self.resources.remove(&name) else {
            return false;
        };
        self.log.remove(&entry.sequence);
        self.log.insert(sequence, name.clone());
        self.tombstones.insert(sequence, name.clone());
        self.gone.insert(name, sequence);
        self.last_removal = sequence;
        true
    }

    fn revive(&mut self, name: &str) -> Option<u64> {
        let removed = self.gone.remove(name)?;
        self.tombstones.remove(&removed);
        Some(removed)
    }

    /// Forgets removals that every subscriber passed, and the oldest beyond a bound even if one did not: it then has
    /// to ask anew.
    fn forget(&mut self, floor: u64) {
        let bound = MAX_TOMBSTONES.max(self.resources.len());
        while let Some(oldest) = self.tombstones.first_entry() {
            let sequence = *oldest.key();
            if sequence > floor && self.gone.len() <= bound {
                return;
            }
            self.gone.remove(&oldest.remove());
            self.log.remove(&sequence);
            self.forgotten = sequence;
        }
    }

    pub(super) fn last_upsert(&self) -> u64 {
        self.last_upsert
    }

    pub(super) fn last_change(&self) -> u64 {
        self.last_upsert.max(self.last_removal)
    }

    /// Whether a subscriber at this position can still be told everything that was removed since.
    pub(super) fn remembers(&self, position: u64) -> bool {
        position >= self.forgotten
    }

    /// Whether a resource is among those that [`Table::upserts_after`] gives.
    pub(super) fn changed_after(&self, position: u64, name: &str) -> bool {
        self.resources
            .get(name)
            .is_some_and(|entry| entry.sequence > position)
    }

    pub(super) fn get(&self, name: &str) -> Option<Bytes> {
        self.resources.get(name).map(|entry| entry.record.clone())
    }

    /// Everything that differs from what a client says it holds, in the order of the changes, and what it holds that is
    /// not there.
    pub(super) fn difference(
        &self,
        held: &BTreeMap<String, String>,
        wanted: impl Fn(&str) -> bool,
    ) -> (Vec<Bytes>, Vec<Arc<str>>) {
        let differs = |name: &str, entry: &Entry| held.get(name).is_none_or(|v| *v != version(entry.version));
        let present = self
            .log
            .values()
            .filter_map(|name| Some((name, self.resources.get(name)?)));
        let upserts = present.filter(|(name, entry)| wanted(name) && differs(name, entry));
        let removed = held
            .keys()
            .filter(|name| !self.resources.contains_key(name.as_str()));
        (
            upserts.map(|(_, entry)| entry.record.clone()).collect(),
            removed.map(|name| Arc::from(name.as_str())).collect(),
        )
    }

    /// Resources that changed after a position, in the order of their changes.
    pub(super) fn upserts_after(&self, position: u64, wanted: impl Fn(&str) -> bool) -> Vec<Bytes> {
        let after = self.log.range(position + 1..).filter(|(_, name)| wanted(name));
        after.filter_map(|(_, name)| self.get(name)).collect()
    }

    /// Names that were removed after a position and are still gone.
    pub(super) fn removals_after(&self, position: u64, wanted: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        if self.last_removal <= position {
            return Vec::new();
        }
        let after = self.log.range(position + 1..).filter(|(_, name)| wanted(name));
        after
            .filter(|(_, name)| !self.resources.contains_key(*name))
            .map(|(_, name)| name.clone())
            .collect()
    }
}

/// The version of a resource: a hash of its content, so that it is the same after a restart and from every replica.
fn version(hash: u64) -> String {
    format!("{hash:016x}")
}

/// Removals that are remembered for slow subscribers, when fewer resources than that are present.
const MAX_TOMBSTONES: usize = 10_000;

#[cfg(test)]
mod tests;
