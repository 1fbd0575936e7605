//! Which objects are this control plane's business: those of namespaces that the mesh has to do with (MeshConfig
//! `discoverySelectors`), and configuration for its revision (label `istio.io/rev`).

use std::collections::BTreeMap;

use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_k8s_api::object::{Labels, Metadata};
use controlplane_k8s_api::{Group, Kind, RawObject};
use mesh_types::Strng;

/// What is known of namespaces, and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    revision: String,
    /// Belongs to the mesh whatever is selected: the mesh's own configuration is there.
    root_namespace: Strng,
    selectors: Vec<LabelSelector>,
    namespaces: BTreeMap<Strng, Labels>,
}

impl Scope {
    /// A scope without selectors: every namespace.
    #[must_use]
    pub fn new(root_namespace: &str, revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            root_namespace: root_namespace.into(),
            ..Self::default()
        }
    }

    /// Takes the mesh's selectors. Says whether another set of namespaces may belong to it now.
    pub fn select(&mut self, selectors: Vec<LabelSelector>) -> bool {
        if self.selectors == selectors {
            return false;
        }
        self.selectors = selectors;
        true
    }

    /// Takes the labels of a namespace, or that it is gone. Says whether another set of namespaces belongs to the mesh
    /// now.
    pub fn set_namespace(&mut self, name: &Strng, labels: Option<&Labels>) -> bool {
        let before = self.has_namespace(name);
        match labels {
            Some(labels) => drop(self.namespaces.insert(name.clone(), labels.clone())),
            None => drop(self.namespaces.remove(name)),
        }
        before != self.has_namespace(name)
    }

    /// Whether an object is this control plane's business.
    #[must_use]
    pub fn has(&self, kind: Kind, metadata: &Metadata) -> bool {
        let in_place = !kind.is_namespaced() || self.has_namespace(&metadata.namespace);
        in_place && self.is_for_us(kind, metadata.labels.get(REVISION).map(|revision| &**revision))
    }

    /// The same of an object that is not understood.
    #[must_use]
    pub fn has_raw(&self, kind: Kind, object: &RawObject) -> bool {
        let namespace = object.metadata("namespace").map(Strng::from).unwrap_or_default();
        let in_place = !kind.is_namespaced() || self.has_namespace(&namespace);
        in_place && self.is_for_us(kind, object.label(REVISION))
    }

    /// Whether a namespace with these labels belongs to the mesh.
    #[must_use]
    pub fn selects(&self, name: &str, labels: Option<&Labels>) -> bool {
        if self.selectors.is_empty() || *name == *self.root_namespace {
            return true;
        }
        labels.is_some_and(|labels| self.selectors.iter().any(|s| s.matches(labels)))
    }

    /// The mesh's selectors.
    #[must_use]
    pub fn selectors(&self) -> &[LabelSelector] {
        &self.selectors
    }

    fn has_namespace(&self, name: &Strng) -> bool {
        self.selects(name, self.namespaces.get(name))
    }

    /// What says what is there is for everybody; what says what is to be done may name whom it is for.
    fn is_for_us(&self, kind: Kind, revision: Option<&str>) -> bool {
        match kind.group() {
            Group::Core | Group::Discovery => true,
            Group::Gateway
            | Group::Networking
            | Group::Security
            | Group::Telemetry
            | Group::Extensions
            | Group::Lateen => revision.is_none_or(|revision| *revision == *self.revision),
        }
    }
}

const REVISION: &str = "istio.io/rev";

#[cfg(test)]
mod tests;
