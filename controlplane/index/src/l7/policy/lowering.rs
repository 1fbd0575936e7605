//! One object on its way to policies: what it looks into, and what becomes of what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use controlplane_collections::{Collection, Fetch};
use controlplane_k8s_api::core::{ConfigMap, Secret};
use controlplane_k8s_api::mesh::ExtensionProvider;
use controlplane_k8s_api::{Group, Kind, Metadata, ObjectKey};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::telemetry::LogSink;
use mesh_model::l7::{ObjectRef, Policy};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::gateways::GatewayLookups;
use super::mesh::MeshSettings;
use super::providers::{Providers, Services};
use super::routes::RouteLookups;
use super::targets::Attachment;
use super::traffic::Credentials;
use crate::age::created;
use crate::config::MeshConfig;
use crate::derived::{Condition, Derived};
use crate::l7::Scoped;
use crate::l7::grants::GrantLookups;
use crate::l7::hosts::HostLookups;
use crate::lookups::EntryLookups;
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason};

/// What policies look into.
#[derive(Clone)]
pub(super) struct PolicyLookups {
    pub(super) hosts: HostLookups,
    pub(super) entries: EntryLookups,
    pub(super) gateways: GatewayLookups,
    pub(super) routes: Arc<Vec<RouteLookups>>,
    pub(super) settings: Collection<(), MeshSettings>,
    pub(super) providers: Collection<Strng, ExtensionProvider>,
    pub(super) secrets: Collection<NamespacedName, Secret>,
    pub(super) config_maps: Collection<NamespacedName, ConfigMap>,
    pub(super) grants: GrantLookups,
    /// What a mesh without a configuration has.
    pub(super) without: Arc<MeshSettings>,
}

/// One object on its way to policies.
#[derive(Clone, Copy)]
pub(super) struct Lowering<'l, 'a> {
    pub(super) fetch: &'l Fetch<'a>,
    pub(super) config: &'l MeshConfig,
    pub(super) lookups: &'l PolicyLookups,
    pub(super) kind: Kind,
    pub(super) name: &'l NamespacedName,
}

/// A policy, by its key.
pub(super) type LoweredPolicy = (Strng, Derived<Scoped<Policy>>);

/// What an object says.
pub(super) struct Content {
    /// At most one of each label; none where nothing of it can be carried out.
    pub(super) kinds: Vec<PolicyKind>,
    /// What it says to some of its gateways alone, by a name of its own.
    pub(super) parts: Vec<(Strng, PolicyKind, BTreeSet<NamespacedName>)>,
    /// What its author should know.
    pub(super) conditions: Vec<Condition>,
    /// What is to be said at each of its targets beside that.
    pub(super) beside: Vec<StatusCondition>,
    /// Why it counts nowhere as it is written.
    pub(super) refused: Option<(StatusReason, String)>,
}

impl Content {
    pub(super) fn new(kinds: Vec<PolicyKind>, conditions: Vec<Condition>) -> Self {
        Self {
            kinds,
            parts: Vec::new(),
            conditions,
            beside: Vec::new(),
            refused: None,
        }
    }
}

impl Lowering<'_, '_> {
    /// The policies of an object, and what is to be said about it; that stands with the first of them, or alone.
    pub(super) fn policies(
        &self,
        metadata: &Metadata,
        attachment: Attachment,
        content: Content,
    ) -> Vec<LoweredPolicy> {
        let mut status = self.status(&attachment, &content);
        let mut conditions = attachment.conditions;
        conditions.extend(content.conditions);
        let mut policies: Vec<(Strng, Option<Scoped<Policy>>)> = Vec::with_capacity(1);
        let whole = content.kinds.into_iter();
        let whole = whole.map(|kind| (Strng::default(), kind, attachment.gateways.clone()));
        let nowhere = attachment.targets.is_empty();
        for (part, kind, gateways) in whole.chain(content.parts).filter(|_| !nowhere) {
            let policy = Policy {
                object: self.object(),
                targets: attachment.targets.clone(),
                part,
                created: created(metadata),
                kind,
            };
            policies.push((policy.key(), Scoped::of(policy, gateways)));
        }
        if policies.is_empty() {
            policies.push((self.object().to_string().into(), None));
        }
        let derived = |(key, value)| {
            let derived = Derived {
                value,
                provenance: self.provenance(),
                conditions: std::mem::take(&mut conditions),
                status: std::mem::take(&mut status),
            };
            (key, derived)
        };
        policies.into_iter().map(derived).collect()
    }

    /// The mesh's settings.
    pub(super) fn settings(&self) -> &MeshSettings {
        let told = self.fetch.get(self.lookups.settings, &());
        told.unwrap_or(&self.lookups.without)
    }

    /// The object as policies name it.
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind.as_str().into(),
            name: self.name.clone(),
        }
    }

    pub(super) fn provenance(&self) -> ObjectKey {
        ObjectKey {
            kind: self.kind,
            namespace: self.name.namespace.clone(),
            name: self.name.name.clone(),
        }
    }

    /// What is to be said at each target.
    fn status(&self, attachment: &Attachment, content: &Content) -> Vec<Stated> {
        let mut stated = Vec::new();
        for reference in &attachment.references {
            let accepted = match &reference.refused {
                Some((reason, message)) => self.condition(false, *reason, message.clone()),
                None => self.accepted(content),
            };
            let conditions = std::iter::once(&accepted).chain(&content.beside);
            stated.extend(conditions.map(|condition| Stated {
                parent: reference.parent.clone(),
                condition: condition.clone(),
            }));
        }
        stated
    }

    /// Whether waypoints carry the object out as it is written.
    fn accepted(&self, content: &Content) -> StatusCondition {
        if let Some((reason, message)) = &content.refused {
            return self.condition(false, *reason, message.clone());
        }
        let all: Vec<String> = content
            .conditions
            .iter()
            .take(SHOWN)
            .map(ToString::to_string)
            .collect();
        let mut told = all.join("; ");
        if content.conditions.len() > SHOWN {
            told += &format!("; and {} more", content.conditions.len() - SHOWN);
        }
        let nothing = content.kinds.is_empty() && content.parts.is_empty();
        match (nothing, content.conditions.is_empty()) {
            (true, true) => self.condition(
                true,
                StatusReason::Accepted,
                "it says nothing that waypoints would do".to_owned(),
            ),
            (true, false) => self.condition(false, StatusReason::Invalid, told),
            (false, true) => self.condition(
                true,
                StatusReason::Accepted,
                "it is carried out as it is written".to_owned(),
            ),
            (false, false) => self.condition(true, StatusReason::PartiallyInvalid, told),
        }
    }

    fn condition(&self, holds: bool, reason: StatusReason, message: String) -> StatusCondition {
        let kind = match self.kind.group() {
            Group::Security | Group::Telemetry | Group::Networking => ConditionType::WaypointAccepted,
            _ => ConditionType::Accepted,
        };
        StatusCondition::new(kind, holds, reason, message)
    }
}

impl Services for Lowering<'_, '_> {
    fn of_host(&self, namespace: Option<&str>, host: &str) -> Option<NamespacedHostname> {
        let host = Strng::from(host);
        let namespace: Option<Strng> = namespace.map(Into::into);
        let hosts = &self.lookups.hosts;
        if let Some(namespace) = namespace {
            let name = NamespacedHostname::new(namespace, host);
            return hosts.get(self.fetch, &name).map(|_| name);
        }
        let root = &self.config.root_namespace;
        let (name, _) = hosts.find(self.fetch, self.config, &host, root)?;
        Some(name)
    }
}

impl Providers for Lowering<'_, '_> {
    fn provider(&self, name: &str) -> Option<&ExtensionProvider> {
        self.fetch.get(self.lookups.providers, &Strng::from(name))
    }

    fn built_in_log(&self) -> LogSink {
        self.settings().built_in_log.clone()
    }
}

/// What an object may name, for the proxies of a namespace's gateways.
pub(super) struct CredentialsOf<'o, 'l, 'a> {
    pub(super) lowering: &'o Lowering<'l, 'a>,
    /// The gateways' namespace.
    pub(super) namespace: &'o Strng,
}

impl Credentials for CredentialsOf<'_, '_, '_> {
    fn namespace(&self) -> &str {
        self.namespace
    }

    fn secret(&self, name: &str) -> Option<&Secret> {
        let name = NamespacedName::new(self.namespace.clone(), name);
        self.lowering.fetch.get(self.lowering.lookups.secrets, &name)
    }

    fn config_map(&self, namespace: Option<&str>, name: &str) -> Option<&ConfigMap> {
        let own = &self.lowering.name.namespace;
        let namespace = namespace.map_or_else(|| own.clone(), Strng::from);
        let name = NamespacedName::new(namespace, name);
        self.lowering.fetch.get(self.lowering.lookups.config_maps, &name)
    }
}

/// Kubernetes keeps a message short of 32 KiB; nobody reads so many.
const SHOWN: usize = 8;
