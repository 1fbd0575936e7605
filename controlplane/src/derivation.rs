//! The index, in the words of this crate: file and lease changes in; resources and assignments out.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use controlplane_index as index;
use controlplane_k8s_api::ObjectKey;
use index::allocation::HostAddresses;
use index::l7::RATE_LIMIT_SERVICE;
use index::waypoint::Waypoints;
use index::{
    Condition, ConditionChanges, ConditionReason, Index, L7Changes, MeshConfig, ObjectChange, ObjectStatus,
    RegistrationChange, ResourceChange, Scoped, UnrecordedAddresses,
};
use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Quota, Route};
use mesh_proto::istio::security::Authorization;
use mesh_register::{Assignment, Membership, Options, Place, Redirection, Report};
use mesh_types::{NamespacedName, Strng};
use mesh_xds::{Change, TypeUrl};
use prost::Message;

use crate::args::{ServeArgs, Source};
use crate::config::files::FileChange;
use crate::leases::{LeaseChange, Record};

/// The index, and what it said that nobody took yet.
#[derive(Debug)]
pub struct Derivation {
    index: Index,
    resources: Vec<Change>,
    assignments: Vec<AssignmentChange>,
    accounts: Vec<AccountChange>,
    /// What authors should have been warned of, and how often it is said.
    warnings: BTreeMap<ObjectCondition, usize>,
    /// What nobody was warned of yet.
    unwarned: BTreeSet<ObjectCondition>,
    /// `<namespace>/<name>`: what follows xDS as if it were a Gateway of this name.
    rate_limit_service: String,
}

/// Whom a Gateway's proxies run as, by `<namespace>/<name>`; nothing where the Gateway is gone.
pub type AccountChange = (String, Option<Strng>);

/// What belongs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentChange {
    /// A workload belongs on a place, in this way.
    Assign(Place, Assignment),
    /// A workload does not belong there any more.
    Unassign(Place, NamespacedName),
}

/// Something that the author of an object should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectCondition {
    /// Which object.
    pub object: ObjectKey,
    /// One line.
    pub text: String,
    /// The object does not say what its author probably meant; otherwise this is how things are at present.
    pub is_warning: bool,
}

impl Derivation {
    /// An index of nothing.
    #[must_use]
    pub fn new(args: &ServeArgs) -> Self {
        let config = MeshConfig {
            cluster_id: args.cluster_id.as_str().into(),
            trust_domain: args.trust_domain.clone(),
            cluster_domain: args.domain.as_str().into(),
            root_namespace: args.root_namespace.as_str().into(),
            revision: args.revision.as_str().into(),
            selects_namespaces: args.source == Some(Source::Kube),
            allow_from_waypoints: args.allow_from_waypoints,
            ..MeshConfig::default()
        };
        let rate_limit_service = format!("{}/{RATE_LIMIT_SERVICE}", config.root_namespace);
        Self {
            index: Index::new(config),
            resources: Vec::new(),
            assignments: Vec::new(),
            accounts: vec![(rate_limit_service.clone(), Some(RATE_LIMIT_SERVICE.into()))],
            rate_limit_service,
            warnings: BTreeMap::new(),
            unwarned: BTreeSet::new(),
        }
    }

    /// Takes what changed in the files.
    pub fn apply(&mut self, changes: Vec<FileChange>) {
        self.index.apply(changes.into_iter().map(|change| match change {
            // Whoever has it alone has no more use for it.
            FileChange::Set(_, object) => ObjectChange::Set(
                Arc::try_unwrap(object).map_or_else(|shared| shared.value.clone(), |alone| alone.value),
            ),
            FileChange::Removed(key) => ObjectChange::Remove(key),
        }));
        self.collect();
    }

    /// Takes what the places say.
    pub fn register(&mut self, changes: Vec<LeaseChange>) {
        if changes.is_empty() {
            return;
        }
        self.index
            .register(changes.into_iter().map(|change| match change {
                LeaseChange::Set(record) => {
                    RegistrationChange::Set(record.report.workload.clone(), registration(record))
                }
                LeaseChange::Removed(workload) => RegistrationChange::Remove(workload),
            }));
        self.collect();
    }

    /// What changed for proxies since the last call.
    pub fn take_resources(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.resources)
    }

    /// What changed for places since the last call.
    pub fn take_assignments(&mut self) -> Vec<AssignmentChange> {
        std::mem::take(&mut self.assignments)
    }

    /// What changed of gateways' accounts since the last call.
    pub fn take_accounts(&mut self) -> Vec<AccountChange> {
        std::mem::take(&mut self.accounts)
    }

    /// What authors should be warned of, and were not before the last call.
    pub fn take_warnings(&mut self) -> BTreeSet<ObjectCondition> {
        std::mem::take(&mut self.unwarned)
    }

    /// What the authors of objects should know, in the order of objects.
    #[must_use]
    pub fn conditions(&self) -> Vec<ObjectCondition> {
        let conditions = self.index.conditions().into_iter();
        conditions.map(ObjectCondition::from).collect()
    }

    /// What became of each object.
    #[must_use]
    pub fn statuses(&self) -> Vec<ObjectStatus> {
        self.index.statuses()
    }

    /// What is to be made of Gateways of our classes.
    #[must_use]
    pub fn waypoints(&self) -> Waypoints {
        self.index.waypoints()
    }

    /// Which ServiceEntries' statuses lack the addresses of their hosts.
    #[must_use]
    pub fn unrecorded_addresses(&self) -> Vec<UnrecordedAddresses> {
        self.index.unrecorded_addresses()
    }

    /// Remembers the addresses that hosts were given before; call it before anything else.
    pub fn restore_addresses(&mut self, addresses: HostAddresses) {
        self.index.restore_addresses(addresses);
    }

    /// The addresses that hosts have, if they changed since the last call.
    pub fn take_addresses(&mut self) -> Option<HostAddresses> {
        self.index.take_addresses()
    }

    fn collect(&mut self) {
        let changes = self.index.take_changes();
        let policies = changes.authorizations.into_iter();
        self.resources.extend(policies.map(|c| {
            resource(TypeUrl::AUTHORIZATION, c, |p| {
                Authorization::from(p).encode_to_vec().into()
            })
        }));
        let addresses = changes.addresses.into_iter();
        self.resources
            .extend(addresses.map(|c| resource(TypeUrl::ADDRESS, c, Bytes::clone)));
        self.collect_l7(changes.l7);
        self.collect_warnings(changes.conditions);
        self.assignments
            .extend(changes.assignments.into_iter().map(assignment));
    }

    /// Said first, unsaid then: what only moved is nothing new.
    fn collect_warnings(&mut self, changes: ConditionChanges) {
        let warning = |said| Some(ObjectCondition::from(said)).filter(|c| c.is_warning);
        for warning in changes.said.into_iter().filter_map(warning) {
            let times = self.warnings.entry(warning.clone()).or_default();
            *times += 1;
            if *times == 1 {
                self.unwarned.insert(warning);
            }
        }
        for warning in changes.unsaid.into_iter().filter_map(warning) {
            if let Entry::Occupied(mut times) = self.warnings.entry(warning) {
                *times.get_mut() -= 1;
                if *times.get() == 0 {
                    self.unwarned.remove(times.key());
                    times.remove();
                }
            }
        }
    }

    fn collect_l7(&mut self, changes: L7Changes) {
        let L7Changes {
            binds,
            routes,
            backends,
            policies,
            endpoint_labels,
            quotas,
            accounts,
        } = changes;
        let resources = &mut self.resources;
        let backends = backends.into_iter();
        resources.extend(backends.map(|c| scoped(TypeUrl::BACKEND, c, Backend::encode)));
        let policies = policies.into_iter();
        resources.extend(policies.map(|c| scoped(TypeUrl::POLICY, c, Policy::encode)));
        let labels = endpoint_labels.into_iter();
        resources.extend(labels.map(|c| scoped(TypeUrl::ENDPOINT_LABELS, c, EndpointLabels::encode)));
        let routes = routes.into_iter();
        resources.extend(routes.map(|c| scoped(TypeUrl::ROUTE, c, Route::encode)));
        let binds = binds.into_iter();
        resources.extend(binds.map(|c| scoped(TypeUrl::BIND, c, Bind::encode)));
        let quotas = quotas.into_iter();
        resources.extend(quotas.map(|c| scoped(TypeUrl::QUOTA, c, Quota::encode)));
        let accounts = accounts.into_iter().map(|c| (c.name.to_string(), c.value));
        // A Gateway of this name is not let in its place.
        let accounts = accounts.filter(|(name, _)| *name != self.rate_limit_service);
        self.accounts.extend(accounts);
    }
}

impl From<(ObjectKey, Condition)> for ObjectCondition {
    fn from((object, condition): (ObjectKey, Condition)) -> Self {
        Self {
            object,
            text: condition.to_string(),
            is_warning: !matches!(
                condition.reason,
                ConditionReason::NoAddress | ConditionReason::NotForNodeProxy
            ),
        }
    }
}

/// A resource that only the proxies of its gateways are sent.
fn scoped<T>(type_url: TypeUrl, change: ResourceChange<Scoped<T>>, encode: impl Fn(&T) -> Bytes) -> Change {
    match change.value {
        Some(Scoped { value, gateways }) => Change::upsert(type_url, change.name, encode(&value))
            .for_gateways(gateways.iter().map(ToString::to_string)),
        None => Change::remove(type_url, change.name),
    }
}

fn resource<T>(type_url: TypeUrl, change: ResourceChange<T>, encode: impl Fn(&T) -> Bytes) -> Change {
    match change.value {
        Some(value) => Change::upsert(type_url, change.name, encode(&value)),
        None => Change::remove(type_url, change.name),
    }
}

fn registration(record: Record) -> index::Registration {
    let Record { place, report, live } = record;
    let Report {
        workload: _,
        uid,
        addresses,
        redirection,
        network_ready,
    } = report;
    index::Registration {
        node: place.as_str().into(),
        uid: uid.into(),
        addresses,
        redirection: match redirection {
            Redirection::Plain => index::registration::Redirection::Plain,
            Redirection::Pending => index::registration::Redirection::Pending,
            Redirection::Enabled => index::registration::Redirection::Enabled,
        },
        ready: network_ready,
        live,
    }
}

fn assignment(change: index::AssignmentChange) -> AssignmentChange {
    match change {
        index::AssignmentChange::Unassign(key) => {
            AssignmentChange::Unassign(Place::new(key.node), key.workload)
        }
        index::AssignmentChange::Assign(assigned) => {
            let index::Assignment {
                node,
                workload,
                service_account,
                membership,
                options,
            } = assigned;
            let assignment = Assignment {
                workload,
                service_account,
                membership: match membership {
                    index::Membership::Outside => Membership::Outside,
                    index::Membership::Member => Membership::Member,
                },
                options: Options {
                    bypass_inbound_capture: options.bypass_inbound_capture,
                    dns_capture: options.dns_capture,
                    reroute_virtual_interfaces: options.reroute_virtual_interfaces,
                },
            };
            AssignmentChange::Assign(Place::new(node), assignment)
        }
    }
}

#[cfg(test)]
mod tests;
