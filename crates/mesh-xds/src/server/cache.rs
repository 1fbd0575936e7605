//! What is published: for each type the present resources, and a log of which name changed when. A subscriber that was
//! brought to sequence number *n* is sent the names that changed after *n*, each once, as they are now: however slow it
//! is, it costs no queue. Names of removed resources stay in the log until every subscriber passed them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use xxhash_rust::xxh64::xxh64;

use super::record::Record;
use super::scope::Scope;
use super::table::Table;
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
    name: Arc<str>,
    body: Option<Bytes>,
    scope: Scope,
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
        // Hashing stays outside the lock.
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
        table.map_or(0, Table::len)
    }

    /// Names and versions of what is published of a type, ordered by name, for dumps.
    #[must_use]
    pub fn versions(&self, type_url: TypeUrl) -> BTreeMap<String, String> {
        let tables = self.shared.tables.read();
        let table = tables.tables.iter().find(|t| t.type_url == type_url);
        table.into_iter().flat_map(Table::versions).collect()
    }

    /// What is published under a name, and the sequence number of the name's last change: 0 for one that never was there, or
    /// whose end is forgotten since everybody was told of it.
    #[must_use]
    pub fn published(&self, type_url: TypeUrl, name: &str) -> (Option<Bytes>, u64) {
        let tables = self.shared.tables.read();
        let table = tables.tables.iter().find(|t| t.type_url == type_url);
        table.map_or((None, 0), |table| table.last_of(name))
    }

    /// Changes with every change to what is published.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
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
    pub fn upsert(type_url: TypeUrl, name: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self {
            type_url,
            name: name.into(),
            body: Some(body.into()),
            scope: Scope::Everybody,
        }
    }

    /// Only for proxies of these gateways, each `<namespace>/<name>`; of none, for nobody. Without it, for everybody who
    /// asks. A proxy that may not see a resource any more is told that it is gone; others never hear its name.
    #[must_use]
    pub fn for_gateways<G: Into<String>>(self, gateways: impl IntoIterator<Item = G>) -> Self {
        Self {
            scope: Scope::of_gateways(gateways),
            ..self
        }
    }

    /// A resource is gone.
    #[must_use]
    pub fn remove(type_url: TypeUrl, name: impl Into<Arc<str>>) -> Self {
        Self {
            type_url,
            name: name.into(),
            body: None,
            scope: Scope::Everybody,
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
    content: Option<(Record, Scope)>,
}

impl From<Change> for Prepared {
    fn from(change: Change) -> Self {
        let content = change.body.map(|body| {
            let record = Record {
                name: change.name.clone(),
                version: xxh64(&body, 0),
                body,
            };
            (record, change.scope)
        });
        Self {
            type_url: change.type_url,
            name: change.name,
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
            Some((record, scope)) => table.upsert(record, scope, next),
            None => table.remove(change.name, next),
        };
        if changed {
            self.sequence = next;
        }
    }
}

#[cfg(test)]
mod tests;
