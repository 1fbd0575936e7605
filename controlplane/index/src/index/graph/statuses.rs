//! What every object's status says: what the derivations stated, by object.

use std::sync::Arc;

use controlplane_k8s_api::{Kind, Metadata, ObjectKey};
use mesh_types::{NamespacedName, Strng};

use super::MeshGraph;
use crate::index::collected::collect_statuses;
use crate::index::elsewhere;
use crate::l7::account;
use crate::status::{ConditionType, ListenerStatus, ObjectStatus, StatusReason, Statuses};
use crate::waypoint::deployment::{NotRendered, plan};
use crate::waypoint::{WaypointPlan, Waypoints, classes, deployment, served};

impl MeshGraph {
    pub(in crate::index) fn statuses(&self) -> Vec<ObjectStatus> {
        let (graph, mut statuses) = (&self.graph, Statuses::default());
        collect_statuses(graph, self.workloads, &mut statuses);
        for workloads in self.other_workloads() {
            collect_statuses(graph, workloads, &mut statuses);
        }
        collect_statuses(graph, self.assignments, &mut statuses);
        collect_statuses(graph, self.namespace_settings, &mut statuses);
        collect_statuses(graph, self.lookups.base.waypoints, &mut statuses);
        collect_statuses(graph, self.lookups.entries.entries, &mut statuses);
        collect_statuses(graph, self.services, &mut statuses);
        let namespaces = self.lookups.base.namespaces;
        elsewhere::collect(
            graph,
            &namespaces.network_now(graph, &self.config.root_namespace),
            [self.workload_entries, self.entry_endpoints],
            [self.services, self.entry_services],
            &mut statuses,
        );
        collect_statuses(graph, self.policies, &mut statuses);
        collect_statuses(graph, self.peer_statuses, &mut statuses);
        self.l7.statuses(graph, &mut statuses);
        self.gateway_statuses(&mut statuses);
        for (name, addresses) in graph.iter(self.inputs.allocations) {
            let entry = ObjectKey {
                kind: Kind::ServiceEntry,
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            };
            statuses.of(&entry).addresses = addresses.to_vec();
        }
        let mut statuses = statuses.into_vec();
        for status in &mut statuses {
            if let Some(metadata) = self.metadata(&status.object) {
                status.observed_generation = metadata.generation;
                status.uid.clone_from(&metadata.uid);
            }
        }
        statuses
    }

    /// Classes that are ours, and where their Gateways are found.
    fn gateway_statuses(&self, into: &mut Statuses) {
        let (graph, inputs) = (&self.graph, self.inputs);
        for (name, class) in graph.iter(inputs.gateway_classes) {
            if let Some(accepted) = classes::accepted(class) {
                let key = ObjectKey {
                    kind: Kind::GatewayClass,
                    namespace: Strng::default(),
                    name: name.clone(),
                };
                into.add(&key, &[accepted.into()]);
            }
        }
        for plan in self.waypoints().plans {
            let gateway = &plan.gateway;
            let meta = &gateway.metadata;
            let name = NamespacedName::new(meta.namespace.clone(), meta.name.clone());
            let key = ObjectKey {
                kind: Kind::Gateway,
                namespace: name.namespace.clone(),
                name: name.name.clone(),
            };
            let service = NamespacedName::new(name.namespace, deployment::name_of(gateway));
            let found = graph.get(inputs.services, &service).map(Arc::as_ref);
            let status = into.of(&key);
            let at = served::at(&self.config, gateway, &service, found);
            if meta.uid.is_some() && !deployment::is_unmanaged(gateway) {
                let ready = self.ready_pods(&plan.name(), &account::of_gateway(gateway));
                let programmed = served::programmed(&at, &service, found, ready);
                let known = status.conditions.iter_mut();
                let known = known.filter(|condition| condition.kind == programmed.kind);
                known.for_each(|condition| condition.clone_from(&programmed));
            }
            status.served = Some(at);
            tell_of_listeners(status);
            tell_of_settings(status, &plan);
        }
    }

    /// How many of a Gateway's pods take connections. Its label alone makes none of them.
    fn ready_pods(&self, gateway: &NamespacedName, account: &str) -> usize {
        let pods = self.graph.by(self.pods_by_gateway, gateway);
        let pods = pods.filter(|(_, pod)| *pod.spec.service_account_name.0 == *account);
        let ready = pods.filter(|(_, pod)| pod.is_ready() && pod.metadata.deletion_timestamp.is_none());
        ready.count()
    }

    pub(in crate::index) fn waypoints(&self) -> Waypoints {
        let (graph, inputs) = (&self.graph, self.inputs);
        let config_maps = self.l7.config_maps();
        let mut found = Waypoints {
            classes: graph
                .iter(inputs.gateway_classes)
                .map(|(name, _)| name.clone())
                .collect(),
            plans: Vec::new(),
        };
        let gateways = graph.iter(inputs.gateways).filter_map(|(_, gateway)| {
            let class = graph.get(inputs.gateway_classes, &gateway.spec.gateway_class_name);
            let class = class.map(Arc::as_ref);
            classes::controller(&gateway.spec.gateway_class_name, class)?;
            Some((gateway, class))
        });
        let gateways: Vec<_> = gateways.collect();
        if gateways.is_empty() {
            return found;
        }
        let of_root = |name: &NamespacedName| name.namespace == self.config.root_namespace;
        let defaults = graph.iter(config_maps).filter(|(name, _)| of_root(name));
        let defaults = plan::Defaults::of(defaults.map(|(_, map)| map.as_ref()));
        for (gateway, class) in gateways {
            let own = |name: &Strng| {
                let name = NamespacedName::new(gateway.metadata.namespace.clone(), name.clone());
                graph.get(config_maps, &name).map(Arc::as_ref)
            };
            found
                .plans
                .push(WaypointPlan::new(gateway, class, &defaults, own));
        }
        found.plans.sort_by_key(WaypointPlan::name);
        found
    }

    fn metadata(&self, object: &ObjectKey) -> Option<&Metadata> {
        let (graph, inputs) = (&self.graph, self.inputs);
        let name = NamespacedName::new(object.namespace.clone(), object.name.clone());
        match object.kind {
            Kind::Pod => graph.get(inputs.pods, &name).map(|o| &o.metadata),
            Kind::Namespace => graph.get(inputs.namespaces, &name.name).map(|o| &o.metadata),
            Kind::Service => graph.get(inputs.services, &name).map(|o| &o.metadata),
            Kind::AuthorizationPolicy => graph.get(inputs.policies, &name).map(|o| &o.metadata),
            Kind::PeerAuthentication => graph.get(inputs.peers, &name).map(|o| &o.metadata),
            Kind::ServiceEntry => graph.get(inputs.service_entries, &name).map(|o| &o.metadata),
            Kind::WorkloadEntry => graph.get(inputs.workload_entries, &name).map(|o| &o.metadata),
            Kind::Gateway => graph.get(inputs.gateways, &name).map(|o| &o.metadata),
            Kind::MeshConfig => graph.get(inputs.mesh_configs, &name).map(|o| &o.metadata),
            Kind::GatewayClass => graph.get(inputs.gateway_classes, &name.name).map(|o| &o.metadata),
            kind => self.l7.metadata(graph, kind, &name),
        }
    }
}

/// A Gateway of which not every listener is served says so as a whole (Gateway API, "ListenersNotValid"); one of which none
/// is has nothing that proxies could be told to serve ("Programmed", reason "Invalid").
fn tell_of_listeners(status: &mut ObjectStatus) {
    let served = |listener: &&ListenerStatus| {
        let mut conditions = listener.conditions.iter();
        conditions.any(|c| c.kind == ConditionType::Programmed && c.holds)
    };
    let all = status.listeners.len();
    let served = status.listeners.iter().filter(served).count();
    if served == all {
        return;
    }
    for condition in &mut status.conditions {
        match condition.kind {
            ConditionType::Accepted if condition.holds => {
                condition.holds = served > 0;
                condition.reason = StatusReason::ListenersNotValid;
                condition.message = format!("{} of {all} listeners cannot be served", all - served);
            }
            ConditionType::Programmed if served == 0 => {
                condition.holds = false;
                condition.reason = StatusReason::Invalid;
                condition.message = "none of its listeners can be served".to_owned();
            }
            _ => {}
        }
    }
}

/// Settings that cannot be read, or that make no objects, leave what there is as it is (Gateway API, "InvalidParameters").
fn tell_of_settings(status: &mut ObjectStatus, plan: &WaypointPlan) {
    let Err(why) = plan.check() else { return };
    let reason = match why {
        NotRendered::Parameters { .. } => StatusReason::InvalidParameters,
        NotRendered::ForeignClass(_) | NotRendered::Unmanaged => return,
        NotRendered::Annotation { .. } | NotRendered::Name { .. } => StatusReason::Invalid,
    };
    let mut conditions = status.conditions.iter_mut();
    if let Some(accepted) = conditions.find(|c| c.kind == ConditionType::Accepted) {
        accepted.holds = false;
        accepted.reason = reason;
        accepted.message = why.to_string();
    }
}
