//! What objects' statuses say of us when the duty begins: what nobody says any more has to go, also where it ceased to hold
//! while nobody wrote. Objects that are not this mesh's, or another revision's, are left to those whose they are.

use std::collections::BTreeSet;

use controlplane_index::ObjectStatus;
use controlplane_index::status::Parent;
use controlplane_k8s_api::{Group, Kind, Labels, Metadata, ObjectKey};
use controlplane_kube::Scope;
use mesh_kube::{KubeClient, KubeError, Resource, Selection};
use mesh_types::Strng;
use serde::Deserialize;
use serde_json::Value;

use super::Whose;
use crate::cluster::{conditions, gateway_api};

/// What was looked at so far.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    scope: Option<Scope>,
    looked_at: BTreeSet<Kind>,
    missed: BTreeSet<Kind>,
    /// The Gateways that there are, whosever.
    gateways: BTreeSet<(Strng, Strng)>,
}

/// An object, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    metadata: Meta,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Deserialize)]
struct Meta {
    name: Strng,
    #[serde(default)]
    namespace: Strng,
    #[serde(default)]
    labels: Labels,
}

#[derive(Debug, Deserialize)]
struct Named {
    metadata: Meta,
}

impl Earlier {
    /// Whether a kind was looked at.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.looked_at.contains(&kind)
    }

    /// A kind could not be looked at. Says whether that is new.
    pub(super) fn missed(&mut self, kind: Kind) -> bool {
        self.missed.insert(kind)
    }

    /// Finds out what is needed to tell whose an object is.
    pub(super) async fn begin(
        &mut self,
        client: &KubeClient,
        whose: &Whose,
        gateways: Option<Resource>,
    ) -> Result<(), KubeError> {
        if self.scope.is_some() {
            return Ok(());
        }
        // They are known before any status is.
        let selectors = whose.selectors.borrow().clone().unwrap_or_default();
        let mut scope = Scope::new(&whose.root_namespace, &whose.revision);
        if !selectors.is_empty() {
            let namespaces = Selection::all(NAMESPACES.clone()).metadata_only();
            for Named { metadata } in client.list(&namespaces).await? {
                scope.set_namespace(&metadata.name, Some(&metadata.labels));
            }
            scope.select(selectors);
        }
        let gateways: Vec<Named> = match gateways {
            Some(gateways) => client.list(&Selection::all(gateways).metadata_only()).await?,
            // There is no Gateway API.
            None => Vec::new(),
        };
        let gateways = gateways.into_iter().map(|gateway| gateway.metadata);
        self.gateways = gateways.map(|meta| (meta.namespace, meta.name)).collect();
        self.scope = Some(scope);
        Ok(())
    }

    /// Takes a list of a kind, and gives the objects whose statuses say something that is ours to say.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        listed: Vec<Listed>,
        statuses: &[ObjectStatus],
    ) -> Vec<ObjectKey> {
        self.looked_at.insert(kind);
        let served = statuses.iter().filter(|status| status.served.is_some());
        let served: BTreeSet<(&str, &str)> = served
            .map(|status| (status.object.namespace.as_str(), status.object.name.as_str()))
            .collect();
        let mut found = Vec::new();
        for Listed { metadata, status } in listed {
            let key = ObjectKey {
                kind,
                namespace: metadata.namespace.clone(),
                name: metadata.name,
            };
            let metadata = Metadata {
                namespace: metadata.namespace,
                labels: metadata.labels,
                ..Metadata::default()
            };
            let is_ours = self
                .scope
                .as_ref()
                .is_some_and(|scope| scope.has(kind, &metadata));
            if is_ours && self.bears(&key, &status, &served) {
                found.push(key);
            }
        }
        found
    }

    fn bears(&self, key: &ObjectKey, status: &Value, served: &BTreeSet<(&str, &str)>) -> bool {
        if gateway_api::is_of_this_shape(key.kind) {
            let entries = gateway_api::entries(key, status);
            return entries.iter().any(|parent| !self.is_of_another(parent, served));
        }
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut kinds = conditions.filter_map(|condition| condition["type"].as_str());
        kinds.any(conditions::is_ours)
    }

    /// Controllers of one family share a name in entries: what stands there of a Gateway that is not ours, and is there, is the
    /// word of the one whose it is.
    fn is_of_another(&self, parent: &Parent, served: &BTreeSet<(&str, &str)>) -> bool {
        let is_gateway = parent.kind == "Gateway" && *parent.group == *Group::Gateway.name();
        let name = (parent.namespace.clone(), parent.name.clone());
        is_gateway
            && !served.contains(&(parent.namespace.as_str(), parent.name.as_str()))
            && self.gateways.contains(&name)
    }
}

static NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
