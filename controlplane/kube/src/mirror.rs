//! What the API server said of one kind, as changes. Pure: events in, changes out.
//!
//! A mirror knows the names of what it handed on, not the objects: whoever takes the changes keeps those. It forgets
//! nothing while a list is incomplete, and an object that is not understood keeps its last good content in force.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use controlplane_k8s_api::{Kind, Located, Object, ObjectKey, ObjectRef, ParseError, RawObject};
use mesh_types::Strng;

/// The objects of one kind.
#[derive(Debug)]
pub struct Mirror {
    kind: Kind,
    objects: HashMap<Name, Held>,
    /// What the list that has begun named so far.
    listing: Option<HashSet<Name>>,
    listed: bool,
}

/// What a watch says.
#[derive(Debug)]
pub enum Event {
    /// A complete list begins.
    ListBegins,
    /// An object of the list.
    Listed(RawObject),
    /// The list is complete.
    ListEnds,
    /// An object was made or changed.
    Applied(RawObject),
    /// An object was deleted.
    Deleted(RawObject),
}

/// One object, as the API server has it now.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectChange {
    /// It is new or changed.
    Set(ObjectKey, Arc<Located<Object>>),
    /// It is gone.
    Removed(ObjectKey),
}

/// An object that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub object: ObjectRef,
    /// Why, one line each.
    pub errors: Vec<String>,
    /// Whether an earlier content of it is in force.
    pub last_good: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    namespace: Strng,
    name: Strng,
}

#[derive(Debug, Default)]
struct Held {
    /// What was handed on, and under which key: a ConfigMap may become the mesh's configuration.
    handed: Option<ObjectKey>,
    errors: Vec<ParseError>,
}

impl Mirror {
    /// Knows of nothing yet.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            objects: HashMap::new(),
            listing: None,
            listed: false,
        }
    }

    /// Whether all objects were listed at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed
    }

    /// Takes what the watch says, and gives what follows from it.
    pub fn take(&mut self, event: Event) -> Vec<ObjectChange> {
        match event {
            Event::ListBegins => {
                self.listing = Some(HashSet::new());
                Vec::new()
            }
            Event::Listed(object) => {
                let name = Name::of(&object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(name.clone());
                }
                self.set(name, object)
            }
            Event::ListEnds => self.end_list(),
            Event::Applied(object) => self.set(Name::of(&object), object),
            Event::Deleted(object) => self.remove(&Name::of(&object)).into_iter().collect(),
        }
    }

    /// The kind is not served any more: all of its objects are gone.
    pub fn clear(&mut self) -> Vec<ObjectChange> {
        self.listing = None;
        let objects = self.objects.drain();
        objects
            .filter_map(|(_, held)| held.handed)
            .map(ObjectChange::Removed)
            .collect()
    }

    /// The objects that are not understood, in no particular order.
    pub fn broken(&self) -> impl Iterator<Item = Broken> {
        let broken = self.objects.iter().filter(|(_, held)| !held.errors.is_empty());
        broken.map(|(name, held)| Broken {
            object: ObjectRef {
                kind: self.kind.as_str().into(),
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            },
            errors: held.errors.iter().map(ParseError::without_place).collect(),
            last_good: held.handed.is_some(),
        })
    }

    fn set(&mut self, name: Name, object: RawObject) -> Vec<ObjectChange> {
        let held = self.objects.entry(name).or_default();
        match object.understand(self.kind) {
            Ok(located) => {
                held.errors.clear();
                let key = located.value.key();
                let before = std::mem::replace(&mut held.handed, key.clone());
                let gone = before.filter(|before| Some(before) != key.as_ref());
                let set = key.map(|key| ObjectChange::Set(key, Arc::new(located)));
                gone.map(ObjectChange::Removed).into_iter().chain(set).collect()
            }
            Err(errors) => {
                held.errors = errors;
                Vec::new()
            }
        }
    }

    fn remove(&mut self, name: &Name) -> Option<ObjectChange> {
        self.objects.remove(name)?.handed.map(ObjectChange::Removed)
    }

    fn end_list(&mut self) -> Vec<ObjectChange> {
        self.listed = true;
        let Some(named) = self.listing.take() else {
            return Vec::new();
        };
        let unnamed = self.objects.keys().filter(|name| !named.contains(name));
        let unnamed: Vec<Name> = unnamed.cloned().collect();
        unnamed.iter().filter_map(|name| self.remove(name)).collect()
    }
}

impl Name {
    fn of(object: &RawObject) -> Self {
        let text = |field| object.metadata(field).map(Strng::from).unwrap_or_default();
        Self {
            namespace: text("namespace"),
            name: text("name"),
        }
    }
}

#[cfg(test)]
mod tests;
