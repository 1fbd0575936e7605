//! A mesh made of YAML, as its gateways are told it.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::{Kind, Object, ObjectKey};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::{EndpointLabels, Policy, Target};
use mesh_types::NamespacedName;

use crate::fixture::objects;
use crate::l7::Scoped;
use crate::status::StatusCondition;
use crate::{Index, MeshConfig, ObjectChange};

/// An index, and what everybody who followed its changes knows now.
pub(super) struct Sent {
    pub(super) index: Index,
    pub(super) policies: BTreeMap<String, Scoped<Policy>>,
    /// What is known of endpoints' labels.
    pub(super) labels: BTreeMap<String, Scoped<EndpointLabels>>,
    /// The policies that the last step told, by key.
    pub(super) told: BTreeSet<String>,
    /// The workloads whose labels the last step told.
    pub(super) told_labels: BTreeSet<String>,
}

impl Sent {
    /// The objects of a YAML text beside [`MESH`].
    pub(super) fn of(yaml: &str) -> Self {
        Self::by(MeshConfig::default(), yaml)
    }

    /// The same, told by a control plane of these settings.
    pub(super) fn by(config: MeshConfig, yaml: &str) -> Self {
        let mut sent = Self {
            index: Index::new(config),
            policies: BTreeMap::new(),
            labels: BTreeMap::new(),
            told: BTreeSet::new(),
            told_labels: BTreeSet::new(),
        };
        sent.set(MESH);
        sent.set(yaml);
        sent
    }

    pub(super) fn set(&mut self, yaml: &str) {
        self.apply(objects(yaml).into_iter().map(ObjectChange::Set).collect());
    }

    /// An object that no file could hold, as another source might bring it.
    pub(super) fn set_broken(&mut self, yaml: &str, break_it: impl Fn(&mut Object)) {
        let mut objects = objects(yaml);
        objects.iter_mut().for_each(break_it);
        self.apply(objects.into_iter().map(ObjectChange::Set).collect());
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &str) {
        self.apply(vec![ObjectChange::Remove(key(kind, name))]);
    }

    fn apply(&mut self, changes: Vec<ObjectChange>) {
        self.index.apply(changes);
        let changes = self.index.take_changes().l7;
        self.told = changes
            .policies
            .iter()
            .map(|change| change.name.to_string())
            .collect();
        let told_labels = changes.endpoint_labels.iter();
        self.told_labels = told_labels.map(|change| change.name.to_string()).collect();
        for change in changes.endpoint_labels {
            match change.value {
                Some(scoped) => {
                    let labels = &scoped.value;
                    let decoded = EndpointLabels::decode(&change.name, labels.encode());
                    assert_eq!(decoded.as_ref(), Ok(labels));
                    self.labels.insert(change.name.to_string(), scoped);
                }
                None => drop(self.labels.remove(change.name.as_str())),
            }
        }
        for change in changes.policies {
            match change.value {
                Some(scoped) => {
                    let policy = &scoped.value;
                    // What is sent, a waypoint takes as it is.
                    assert_eq!(Policy::decode(&change.name, policy.encode()).as_ref(), Ok(policy));
                    assert!(!scoped.gateways.is_empty() && !policy.targets.is_empty());
                    self.policies.insert(change.name.to_string(), scoped);
                }
                None => drop(self.policies.remove(change.name.as_str())),
            }
        }
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        self.policies.keys().map(String::as_str).collect()
    }

    pub(super) fn kind(&self, key: &str) -> &PolicyKind {
        &self.found(key).value.kind
    }

    pub(super) fn targets(&self, key: &str) -> Vec<String> {
        let targets: &[Target] = &self.found(key).value.targets;
        targets.iter().map(ToString::to_string).collect()
    }

    pub(super) fn gateways(&self, key: &str) -> Vec<String> {
        let gateways = self.found(key).gateways.iter();
        gateways.map(NamespacedName::to_string).collect()
    }

    /// What is said about an object: `<parent> <type>=<holds> <reason>`.
    pub(super) fn status(&self, kind: Kind, name: &str) -> Vec<String> {
        let key = key(kind, name);
        let statuses = self.index.statuses();
        let status = statuses.iter().find(|status| status.object == key);
        let Some(status) = status else { return Vec::new() };
        let told = |parent: &str, condition: &StatusCondition| {
            format!(
                "{parent}{}={} {}",
                condition.kind, condition.holds, condition.reason
            )
        };
        let whole = status.conditions.iter().map(|condition| told("", condition));
        let parents = status.parents.iter().flat_map(|parent| {
            let section = parent
                .parent
                .section_name
                .iter()
                .map(|section| format!("/{section}"));
            let section: String = section.collect();
            let name = format!("{} {}{section}: ", parent.parent.kind, parent.parent.name);
            parent
                .conditions
                .iter()
                .map(move |condition| told(&name, condition))
        });
        whole.chain(parents).collect()
    }

    /// What authors of an object should know: `<field>: <message>`.
    pub(super) fn conditions(&self, kind: Kind, name: &str) -> Vec<String> {
        let key = key(kind, name);
        let conditions = self.index.conditions().into_iter();
        let own = conditions.filter(|(object, _)| *object == key);
        own.map(|(_, condition)| condition.to_string()).collect()
    }

    fn found(&self, key: &str) -> &Scoped<Policy> {
        let found = self.policies.get(key);
        found.unwrap_or_else(|| panic!("there is no {key} among {:?}", self.keys()))
    }
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').expect("<namespace>/<name>");
    ObjectKey {
        kind,
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// A policy of namespace `shop` on one line.
pub(super) fn object(api_version: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("<namespace>/<name>");
    format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

/// Namespaces `shop` and `bank`, each with a waypoint `wp` for all of its services; `shop` has `web` and `api`, `bank` has
/// `ledger` and an entry for `pay.example.com`; nobody has `lone/alone`.
pub(super) const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: wp}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: bank, labels: {istio.io/use-waypoint: wp}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: wp, namespace: shop}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: wp, namespace: bank}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80, name: http}, {port: 90, name: admin}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: ledger, namespace: bank}, spec: {clusterIP: 10.96.0.3, ports: [{port: 80, name: http}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: pay, namespace: bank}, spec: {hosts: [pay.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}}
---
{apiVersion: v1, kind: Service, metadata: {name: alone, namespace: lone}, spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}}
---
";
