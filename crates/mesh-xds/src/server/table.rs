//! What is published of one type, and the log of which name changed when.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Record, version};
use super::scope::{Departures, Scope, Viewer};
use crate::resource::TypeUrl;

/// One type.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) type_url: TypeUrl,
    resources: HashMap<Arc<str>, Entry>,
    /// The last change of each name, in the order of the changes; no name stands twice.
    log: BTreeMap<u64, Arc<str>>,
    /// Removed names, by when and by name.
    pub(super) tombstones: BTreeMap<u64, Arc<str>>,
    gone: HashMap<Arc<str>, Gone>,
    last_upsert: u64,
    last_removal: u64,
    /// Removals up to here may have been forgotten: who is behind must ask anew.
    forgotten: u64,
}

/// A resource that is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedResource<'a> {
    /// A hash of its body.
    pub(super) version: u64,
    /// When it changed last.
    pub(super) sequence: u64,
    /// Who may see it.
    pub(super) scope: &'a Scope,
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    /// Who may see it.
    scope: Scope,
    sequence: u64,
    departed: Departures,
}

#[derive(Debug)]
struct Gone {
    sequence: u64,
    departed: Departures,
}

impl Table {
    pub(super) fn new(type_url: TypeUrl) -> Self {
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

    pub(super) fn len(&self) -> usize {
        self.resources.len()
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = (String, String)> {
        let all = self.resources.iter();
        all.map(|(name, entry)| (name.to_string(), version(entry.record.version)))
    }

    /// What is published now.
    pub(super) fn published(&self) -> impl Iterator<Item = (&Arc<str>, PublishedResource<'_>)> {
        self.resources.iter().map(|(name, entry)| {
            let published = PublishedResource {
                version: entry.record.version,
                sequence: entry.sequence,
                scope: &entry.scope,
            };
            (name, published)
        })
    }

    /// Puts a resource in place; says whether that changed anything.
    pub(super) fn upsert(&mut self, record: Record, scope: Scope, sequence: u64) -> bool {
        let name = record.name.clone();
        let mut departed = Departures::default();
        match self.resources.remove(&name) {
            // The hash names a version; whether something changed is decided by the bytes.
            Some(same) if *same.record == record && same.scope == scope => {
                self.resources.insert(name, same);
                return false;
            }
            Some(previous) => {
                self.log.remove(&previous.sequence);
                departed = previous.departed;
                if previous.scope != scope {
                    departed.note(sequence, previous.scope);
                    self.last_removal = sequence;
                }
            }
            None => {
                if let Some(gone) = self.gone.remove(&name) {
                    self.tombstones.remove(&gone.sequence);
                    self.log.remove(&gone.sequence);
                    departed = gone.departed;
                }
            }
        }
        self.log.insert(sequence, name.clone());
        let entry = Entry {
            record: Arc::new(record),
            scope,
            sequence,
            departed,
        };
        self.resources.insert(name, entry);
        self.last_upsert = sequence;
        true
    }

    /// Takes a resource away; says whether it was there.
    pub(super) fn remove(&mut self, name: Arc<str>, sequence: u64) -> bool {
        let Some(entry) = self.resources.remove(&name) else {
            return false;
        };
        let mut departed = entry.departed;
        departed.note(sequence, entry.scope);
        self.log.remove(&entry.sequence);
        self.log.insert(sequence, name.clone());
        self.tombstones.insert(sequence, name.clone());
        self.gone.insert(name, Gone { sequence, departed });
        self.last_removal = sequence;
        true
    }

    /// Forgets removals that every subscriber passed, and the oldest beyond a bound even if one did not: it then has
    /// to ask anew.
    pub(super) fn forget(&mut self, floor: u64) {
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

    /// What is there under a name, whoever may see it, and when that changed last.
    pub(super) fn last_of(&self, name: &str) -> (Option<Bytes>, u64) {
        match self.resources.get(name) {
            Some(entry) => (Some(entry.record.body.clone()), entry.sequence),
            None => (None, self.gone.get(name).map_or(0, |gone| gone.sequence)),
        }
    }

    /// When a resource changed last.
    pub(super) fn change_of(&self, name: &str, viewer: &Viewer) -> Option<u64> {
        self.visible(name, viewer).map(|entry| entry.sequence)
    }

    /// Those of some changes that are the last ones of resources which are there.
    pub(super) fn standing(
        &self,
        changes: RangeInclusive<u64>,
        viewer: &Viewer,
        wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = u64> {
        // `BTreeMap::range` does not take a range that ends before it begins.
        let log = (!changes.is_empty()).then(|| self.log.range(changes));
        let stands = move |name: &str| wanted(name) && self.visible(name, viewer).is_some();
        let standing = log.into_iter().flatten().filter(move |(_, name)| stands(name));
        standing.map(|(change, _)| *change)
    }

    pub(super) fn get(&self, name: &str, viewer: &Viewer) -> Option<Arc<Record>> {
        self.visible(name, viewer).map(|entry| entry.record.clone())
    }

    /// Everything that differs from what a client says it holds, in the order of the changes, and what it holds that is
    /// not there.
    pub(super) fn difference(
        &self,
        held: &BTreeMap<String, String>,
        viewer: &Viewer,
        wanted: impl Fn(&str) -> bool,
    ) -> (Vec<Arc<Record>>, Vec<Arc<str>>) {
        let differs =
            |name: &str, entry: &Entry| held.get(name).is_none_or(|v| *v != version(entry.record.version));
        let present = self
            .log
            .values()
            .filter_map(|name| Some((name, self.visible(name, viewer)?)));
        let upserts = present.filter(|(name, entry)| wanted(name) && differs(name, entry));
        let removed = held.keys().filter(|name| self.visible(name, viewer).is_none());
        (
            upserts.map(|(_, entry)| entry.record.clone()).collect(),
            removed.map(|name| Arc::from(name.as_str())).collect(),
        )
    }

    /// Resources that changed after a position, in the order of their changes.
    pub(super) fn upserts_after(
        &self,
        position: u64,
        viewer: &Viewer,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Arc<Record>> {
        let after = self.log.range(position + 1..).filter(|(_, name)| wanted(name));
        after.filter_map(|(_, name)| self.get(name, viewer)).collect()
    }

    /// Names that were there for a viewer, went after a position, and are still gone.
    pub(super) fn removals_after(
        &self,
        position: u64,
        viewer: &Viewer,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Arc<str>> {
        if self.last_removal <= position {
            return Vec::new();
        }
        let after = self.log.range(position + 1..).filter(|(_, name)| wanted(name));
        after
            .filter(|(_, name)| self.lost_after(position, name, viewer))
            .map(|(_, name)| name.clone())
            .collect()
    }

    fn lost_after(&self, position: u64, name: &str, viewer: &Viewer) -> bool {
        let departed = match self.resources.get(name) {
            Some(entry) if entry.scope.includes(viewer) => None,
            Some(entry) => Some(&entry.departed),
            None => self.gone.get(name).map(|gone| &gone.departed),
        };
        departed.is_some_and(|departed| departed.after(position, viewer))
    }

    fn visible(&self, name: &str, viewer: &Viewer) -> Option<&Entry> {
        let entry = self.resources.get(name)?;
        entry.scope.includes(viewer).then_some(entry)
    }
}

/// Removals that are remembered for slow subscribers, when fewer resources than that are present.
pub(super) const MAX_TOMBSTONES: usize = 10_000;
