//! What the API server said of one kind, as changes. Pure: events in, changes out.
//!
//! A mirror knows the names of what it handed on, not the objects: whoever takes the changes keeps those. It forgets
//! nothing while a list is incomplete, and an object that is not understood keeps its last good content in force; a policy
//! without any is taken in its safe direction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use controlplane_k8s_api::{
    Group, Kind, Located, Object, ObjectKey, ObjectRef, ParseError, RawObject, Strictest,
};
use mesh_kube::{Event, ObjectName};
use mesh_types::Strng;

use crate::remark::{Counts, Readable, Remark};
use crate::scope::Scope;
use crate::spare::Texts;

/// The objects of one kind.
#[derive(Debug)]
pub struct Mirror {
    kind: Kind,
    objects: HashMap<Name, Held>,
    /// What the list that has begun named so far.
    listing: Option<HashSet<Name>>,
    listed: bool,
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
    /// It is what is left of a broken policy.
    strictest: bool,
    understood: bool,
    /// It is this mesh's business.
    ours: bool,
    /// What is wrong with it: warnings where it is understood, else errors.
    faults: Box<[ParseError]>,
    /// Of one with faults, what can be read.
    readable: Option<Box<Readable>>,
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

    /// Takes what the watch says, and gives what follows from it. `texts` are those of all kinds.
    pub fn take(&mut self, event: Event<RawObject>, scope: &Scope, texts: &mut Texts) -> Vec<ObjectChange> {
        match event {
            Event::ListBegins => {
                self.listing = Some(HashSet::new());
                Vec::new()
            }
            Event::Listed(object) => {
                let name = Name::of(&object, texts);
                if let Some(listing) = &mut self.listing {
                    listing.insert(name.clone());
                }
                self.set(name, object, scope, texts)
            }
            Event::ListEnds => self.end_list(),
            Event::Applied(object) => self.set(Name::of(&object, texts), object, scope, texts),
            Event::Deleted(object) => self.remove(&Name::of(&object, texts)).into_iter().collect(),
        }
    }

    /// A list that is being sent names an object that cannot be read at all: what was known of it stays.
    pub fn listing(&mut self, object: &ObjectName, texts: &mut Texts) {
        if let Some(listing) = &mut self.listing {
            listing.insert(Name {
                namespace: texts.text(&object.namespace),
                name: texts.text(&object.name),
            });
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

    /// How many objects there are of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The objects that are not understood, in no particular order.
    pub fn broken(&self) -> impl Iterator<Item = Broken> {
        let broken = self.objects.iter().filter(|(_, held)| held.is_broken());
        broken.map(|(name, held)| self.broken_as(name, held))
    }

    /// What is to be said of objects in their statuses, in no particular order.
    pub fn remarks(&self) -> impl Iterator<Item = Remark> {
        let faulty = self
            .objects
            .iter()
            .filter(|(_, held)| held.ours && !held.faults.is_empty());
        faulty.map(|(name, held)| Remark {
            object: ObjectKey {
                kind: self.kind,
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            },
            counts: held.counts(),
            lines: held.lines(),
            readable: held.readable.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// What is wrong with an object, if anything is.
    #[must_use]
    pub fn broken_object(&self, object: &ObjectRef) -> Option<Broken> {
        let name = Name {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        let held = self.objects.get(&name).filter(|held| held.is_broken())?;
        Some(self.broken_as(&name, held))
    }

    fn broken_as(&self, name: &Name, held: &Held) -> Broken {
        let strictest = held.strictest.then(|| STRICTEST.to_owned());
        Broken {
            object: ObjectRef {
                kind: self.kind.as_str().into(),
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            },
            errors: held.lines().into_iter().chain(strictest).collect(),
            last_good: held.counts() == Counts::LastGood,
        }
    }

    fn set(&mut self, name: Name, object: RawObject, scope: &Scope, texts: &mut Texts) -> Vec<ObjectChange> {
        let kind = self.kind;
        let held = self.objects.entry(name).or_default();
        held.ours = scope.has_raw(kind, &object);
        let spare = has_status(kind).then(|| object.clone());
        match object.understand(kind) {
            Ok(mut located) => {
                held.understood = true;
                held.find(located.warnings.clone(), kind, spare.as_ref());
                texts.spare(&mut located.value);
                held.hand(located, kind, scope, false)
            }
            Err(errors) => {
                held.understood = false;
                held.find(errors, kind, spare.as_ref());
                // A last good content says more than what is left of a broken one.
                let never_good = held.handed.is_none() || held.strictest;
                let left = spare
                    .filter(|_| never_good)
                    .and_then(|object| object.strictest(kind));
                match left {
                    Some(Strictest { mut object, parts }) => {
                        texts.spare(&mut object.value);
                        held.readable.get_or_insert_default().strict = parts;
                        held.hand(object, kind, scope, true)
                    }
                    None if held.strictest => held.withdraw(),
                    None => Vec::new(),
                }
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

impl Held {
    fn is_broken(&self) -> bool {
        !self.understood && !self.faults.is_empty()
    }

    fn counts(&self) -> Counts {
        match &self.handed {
            _ if self.understood => Counts::Rest,
            Some(_) if self.strictest => Counts::Strictest,
            Some(_) => Counts::LastGood,
            None => Counts::Nothing,
        }
    }

    fn lines(&self) -> Vec<String> {
        self.faults.iter().map(ParseError::without_place).collect()
    }

    /// Takes what is wrong with an object, and what can be read of it then.
    fn find(&mut self, faults: Vec<ParseError>, kind: Kind, object: Option<&RawObject>) {
        self.faults = faults.into();
        let faulty = object.filter(|_| !self.faults.is_empty());
        self.readable = faulty.map(|object| Box::new(Readable::of(kind, object)));
    }

    /// Hands an object on, if it is of this mesh's business.
    fn hand(
        &mut self,
        located: Located<Object>,
        kind: Kind,
        scope: &Scope,
        strictest: bool,
    ) -> Vec<ObjectChange> {
        let metadata = located.value.metadata();
        let ours = metadata.is_some_and(|metadata| scope.has(kind, metadata));
        let key = located.value.key().filter(|_| ours);
        self.strictest = strictest && key.is_some();
        let before = std::mem::replace(&mut self.handed, key.clone());
        let gone = before.filter(|before| Some(before) != key.as_ref());
        let set = key.map(|key| ObjectChange::Set(key, Arc::new(located)));
        gone.map(ObjectChange::Removed).into_iter().chain(set).collect()
    }

    fn withdraw(&mut self) -> Vec<ObjectChange> {
        self.strictest = false;
        self.handed
            .take()
            .map(ObjectChange::Removed)
            .into_iter()
            .collect()
    }
}

/// Whether a broken object of this kind is told of in its own status, or is a policy, which must not leave its target less
/// protected than it says. What there are ten thousand of is not.
fn has_status(kind: Kind) -> bool {
    !matches!(kind.group(), Group::Core | Group::Discovery)
}

impl Name {
    /// Whoever the object is handed to has the same texts.
    fn of(object: &RawObject, texts: &mut Texts) -> Self {
        let mut text = |field| texts.text(object.metadata(field).unwrap_or_default());
        Self {
            namespace: text("namespace"),
            name: text("name"),
        }
    }
}

const STRICTEST: &str = "what is not understood is taken in its strictest sense until it is put right";

#[cfg(test)]
mod tests;
