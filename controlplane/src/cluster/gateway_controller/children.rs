//! Which objects of Gateways there are, and what is to be done about one. Pure.

use std::collections::{HashMap, HashSet};
use std::fmt;

use controlplane_index::waypoint::deployment::plan::Part;
use controlplane_k8s_api::gateway::Gateway;
use mesh_kube::{Event, News, ObjectName};
use serde::Deserialize;
use serde_json::Value;

/// What tells that somebody makes an object of a Gateway, and who.
pub const MANAGED: &str = "gateway.istio.io/managed";

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    /// Of which kind.
    pub part: Part,
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object, as far as it matters whose it is.
#[derive(Clone, Debug, Deserialize)]
pub struct Child {
    metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: HashMap<String, String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

#[derive(Clone, Debug, Deserialize)]
struct OwnerReference {
    uid: String,
}

/// A Gateway of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    namespace: String,
    name: String,
    uid: String,
}

/// What is to be done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it was made.
    Nothing,
    /// It is not there, or not as it was made, or something else is wanted now.
    Apply,
    /// It is somebody else's.
    Foreign,
}

/// The objects that are labelled as Gateways'.
#[derive(Debug, Default)]
pub struct Children {
    known: HashMap<ChildKey, Child>,
    /// What the lists that have begun named so far.
    listing: HashMap<Part, HashSet<ChildKey>>,
    listed: HashSet<Part>,
}

/// What is to be done about an object, given the version that applying what is wanted gave, if that was done.
#[must_use]
pub fn step(child: Option<&Child>, owner: &Owner, applied: Option<&str>) -> Step {
    match child {
        None => Step::Apply,
        Some(child) if !child.is_of(owner) => Step::Foreign,
        Some(child) if applied == Some(&child.metadata.resource_version) => Step::Nothing,
        Some(_) => Step::Apply,
    }
}

impl Owner {
    /// A Gateway as an owner; nothing where it is of no cluster, or is going away.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Option<Self> {
        let metadata = &gateway.metadata;
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let uid = metadata.uid.as_ref().filter(|uid| !uid.is_empty())?;
        Some(Self {
            namespace: metadata.namespace.to_string(),
            name: metadata.name.to_string(),
            uid: uid.to_string(),
        })
    }
}

impl Owner {
    /// Namespace and name.
    #[must_use]
    pub fn object(&self) -> ObjectName {
        ObjectName::new(self.namespace.as_str(), self.name.as_str())
    }

    /// Whether this is the very Gateway, and not another one of its name.
    #[must_use]
    pub fn is(&self, gateway: &Value) -> bool {
        gateway["metadata"]["uid"] == self.uid.as_str()
    }
}

impl Child {
    /// Whether it was made of a Gateway of this name, also of an earlier one.
    fn is_of(&self, owner: &Owner) -> bool {
        let labels = &self.metadata.labels;
        labels.contains_key(MANAGED) && labels.get(GATEWAY_NAME) == Some(&owner.name)
    }

    /// Whether it goes with this very Gateway.
    #[must_use]
    pub fn is_owned_by(&self, owner: &Owner) -> bool {
        let mut owners = self.metadata.owner_references.iter();
        owners.any(|reference| reference.uid == owner.uid)
    }

    /// What changes with every change of it.
    #[must_use]
    pub fn version(&self) -> String {
        self.metadata.resource_version.clone()
    }

    /// The API server's id of it.
    #[must_use]
    pub fn uid(&self) -> String {
        self.metadata.uid.clone()
    }
}

impl Children {
    /// Takes news. Says whether something may be to be done.
    pub fn take(&mut self, part: Part, news: News<Child>) -> bool {
        let event = match news {
            News::Event(event) => event,
            News::Malformed { .. } | News::Current => return false,
            News::Away(e) => {
                tracing::debug!(part = part.key(), "{e}");
                return false;
            }
            // A cluster without them: there are none.
            News::NotServed => return self.listed.insert(part),
        };
        match event {
            Event::ListBegins => {
                self.listing.insert(part, HashSet::new());
                false
            }
            Event::Listed(child) => {
                let key = key(part, &child);
                self.listing.entry(part).or_default().insert(key.clone());
                self.known.insert(key, child);
                false
            }
            Event::ListEnds => {
                let named = self.listing.remove(&part).unwrap_or_default();
                self.known
                    .retain(|key, _| key.part != part || named.contains(key));
                self.listed.insert(part);
                true
            }
            Event::Applied(child) => {
                self.known.insert(key(part, &child), child);
                true
            }
            Event::Deleted(child) => {
                self.known.remove(&key(part, &child));
                true
            }
        }
    }

    /// Takes an object that was read or written.
    pub fn put(&mut self, key: ChildKey, child: Child) {
        self.known.insert(key, child);
    }

    /// Whether all of them are known.
    #[must_use]
    pub fn are_known(&self) -> bool {
        Part::ALL.iter().all(|part| self.listed.contains(part))
    }

    /// An object.
    #[must_use]
    pub fn get(&self, key: &ChildKey) -> Option<&Child> {
        self.known.get(key)
    }

    /// What was made of Gateways of this name.
    pub fn of<'a>(&'a self, owner: &'a Owner) -> impl Iterator<Item = (&'a ChildKey, &'a Child)> + use<'a> {
        let in_place = self
            .known
            .iter()
            .filter(|(key, _)| key.namespace == owner.namespace);
        in_place.filter(|(_, child)| child.is_of(owner))
    }
}

fn key(part: Part, child: &Child) -> ChildKey {
    ChildKey {
        part,
        namespace: child.metadata.namespace.clone(),
        name: child.metadata.name.clone(),
    }
}

impl fmt::Display for ChildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.part.key(), self.namespace, self.name)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

#[cfg(test)]
mod tests;
