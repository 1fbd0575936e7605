//! The part of the graph that is about L7: which collection follows from which.

use std::sync::Arc;

use controlplane_collections::{Collection, Graph, Index, Value};
use controlplane_k8s_api::core::{ConfigMap, Secret};
use controlplane_k8s_api::gateway::{GrpcRoute, HttpRoute, ReferenceGrant, TcpRoute, TlsRoute};
use controlplane_k8s_api::lateen::{ExternalProcessorFilter, FaultFilter};
use controlplane_k8s_api::networking::VirtualService;
use controlplane_k8s_api::{Kind, Metadata, Object, ObjectKey};
use mesh_model::l7::route::RouteParent;
use mesh_model::l7::{Bind, Route};
use mesh_types::{NamespacedName, Strng};

use super::bind::binds_from_listeners;
use super::filter_status::FilterStatuses;
use super::grants::GrantLookups;
use super::grpc_route::routes_from_grpc_route;
use super::hosts::HostLookups;
use super::http_route::routes_from_http_route;
use super::l4_route::{routes_from_tcp_route, routes_from_tls_route};
use super::listeners::{AttachPoint, ListenerLookups, Served, listeners_from_gateway};
use super::lowering::{LoweredRoute, Lowering, RouteLookups};
use super::policy::graph::{PolicyGraph, PolicyInputs, Surroundings};
use super::virtual_service::routes_from_virtual_service;
use super::{L7Changes, Scoped, account};
use crate::config::MeshConfig;
use crate::derived::{Condition, Derived};
use crate::index::collected::{collect_conditions, collect_statuses, sorted_values};
use crate::index::graph::{WorkloadCollections, condition_changes, resources};
use crate::index::{ConditionChanges, ResourceChange};
use crate::lookups::WorkloadLookups;
use crate::status::{ListenerStatus, Statuses};

/// What is filled from outside, beside what the rest of the graph has.
#[derive(Clone, Copy)]
pub(crate) struct L7Inputs {
    http_routes: Collection<NamespacedName, HttpRoute>,
    grpc_routes: Collection<NamespacedName, GrpcRoute>,
    tls_routes: Collection<NamespacedName, TlsRoute>,
    tcp_routes: Collection<NamespacedName, TcpRoute>,
    virtual_services: Collection<NamespacedName, VirtualService>,
    grants: Collection<NamespacedName, ReferenceGrant>,
    pub(super) faults: Collection<NamespacedName, FaultFilter>,
    pub(super) processors: Collection<NamespacedName, ExternalProcessorFilter>,
    secrets: Collection<NamespacedName, Secret>,
}

/// The handles of what comes out, and of what policies look into.
pub(crate) struct L7Graph {
    pub(crate) inputs: L7Inputs,
    listeners: Collection<NamespacedName, Derived<Vec<Served>>>,
    accounts: Collection<NamespacedName, Strng>,
    binds: Collection<Strng, Derived<Scoped<Bind>>>,
    routes: Vec<Routes>,
    policies: PolicyGraph,
    filters: FilterStatuses,
}

/// The routes of a kind, and which of them are attached to a listener.
#[derive(Clone, Copy)]
struct Routes {
    routes: RouteCollection,
    by_listener: Index<Strng, Strng, Derived<Scoped<Route>>>,
}

type RouteCollection = Collection<Strng, Derived<Scoped<Route>>>;

impl L7Inputs {
    pub(crate) fn new(graph: &mut Graph) -> Self {
        Self {
            http_routes: graph.input("HTTPRoute"),
            grpc_routes: graph.input("GRPCRoute"),
            tls_routes: graph.input("TLSRoute"),
            tcp_routes: graph.input("TCPRoute"),
            virtual_services: graph.input("VirtualService"),
            grants: graph.input("ReferenceGrant"),
            faults: graph.input("FaultFilter"),
            processors: graph.input("ExternalProcessorFilter"),
            secrets: graph.input("Secret"),
        }
    }

    /// Stages an object; kinds that nothing is derived from are passed over.
    pub(crate) fn set(&self, graph: &mut Graph, name: NamespacedName, object: Object) {
        match object {
            Object::HttpRoute(o) => graph.set(self.http_routes, name, o),
            Object::GrpcRoute(o) => graph.set(self.grpc_routes, name, o),
            Object::TlsRoute(o) => graph.set(self.tls_routes, name, o),
            Object::TcpRoute(o) => graph.set(self.tcp_routes, name, o),
            Object::VirtualService(o) => graph.set(self.virtual_services, name, o),
            Object::ReferenceGrant(o) => graph.set(self.grants, name, o),
            Object::FaultFilter(o) => graph.set(self.faults, name, o),
            Object::ExternalProcessorFilter(o) => graph.set(self.processors, name, o),
            Object::Secret(o) => graph.set(self.secrets, name, o),
            _ => {}
        }
    }

    /// Stages the removal of an object.
    pub(crate) fn remove(&self, graph: &mut Graph, name: NamespacedName, kind: Kind) {
        match kind {
            Kind::HttpRoute => graph.delete(self.http_routes, name),
            Kind::GrpcRoute => graph.delete(self.grpc_routes, name),
            Kind::TlsRoute => graph.delete(self.tls_routes, name),
            Kind::TcpRoute => graph.delete(self.tcp_routes, name),
            Kind::VirtualService => graph.delete(self.virtual_services, name),
            Kind::ReferenceGrant => graph.delete(self.grants, name),
            Kind::FaultFilter => graph.delete(self.faults, name),
            Kind::ExternalProcessorFilter => graph.delete(self.processors, name),
            Kind::Secret => graph.delete(self.secrets, name),
            _ => {}
        }
    }

    /// The metadata of an object that statuses are about.
    pub(crate) fn metadata<'g>(
        &self,
        graph: &'g Graph,
        kind: Kind,
        name: &NamespacedName,
    ) -> Option<&'g Metadata> {
        match kind {
            Kind::HttpRoute => graph.get(self.http_routes, name).map(|o| &o.metadata),
            Kind::GrpcRoute => graph.get(self.grpc_routes, name).map(|o| &o.metadata),
            Kind::TlsRoute => graph.get(self.tls_routes, name).map(|o| &o.metadata),
            Kind::TcpRoute => graph.get(self.tcp_routes, name).map(|o| &o.metadata),
            Kind::VirtualService => graph.get(self.virtual_services, name).map(|o| &o.metadata),
            Kind::FaultFilter => graph.get(self.faults, name).map(|o| &o.metadata),
            Kind::ExternalProcessorFilter => graph.get(self.processors, name).map(|o| &o.metadata),
            _ => None,
        }
    }
}

impl L7Graph {
    pub(crate) fn new(
        graph: &mut Graph,
        config: &Arc<MeshConfig>,
        around: WorkloadLookups,
        workloads: WorkloadCollections,
    ) -> Self {
        let WorkloadLookups { base, entries, .. } = around;
        let inputs = L7Inputs::new(graph);
        let grants = GrantLookups::new(graph, inputs.grants);
        let of_listeners = ListenerLookups {
            classes: base.inputs.gateway_classes,
            waypoints: base.waypoints,
            secrets: inputs.secrets,
            grants,
        };
        let gateways = base.inputs.gateways;
        let listeners = graph.derive("listeners", gateways, move |fetch, name, gateway| {
            listeners_from_gateway(fetch, &of_listeners, name, gateway)
        });
        let attach_points = graph.derive("attach points", listeners, |_, _, listeners| {
            let points = listeners.value.iter().flatten().map(|l| l.point.clone());
            Some(points.collect::<Vec<AttachPoint>>())
        });
        let accounts = graph.derive("account", gateways, |_, _, gateway| {
            Some(account::of_gateway(gateway))
        });
        let binds = graph.derive_many("bind", listeners, |_, name, listeners| {
            binds_from_listeners(name, listeners)
        });
        let lookups = RouteLookups {
            hosts: HostLookups::new(graph, config, &around),
            entries,
            namespaces: base.namespaces,
            grants,
            attach_points,
            faults: inputs.faults,
            processors: inputs.processors,
            virtual_services: inputs.virtual_services,
        };
        let routes = add_routes(graph, config, &inputs, lookups);
        let around = Surroundings {
            base,
            entries,
            hosts: lookups.hosts,
            grants,
            secrets: inputs.secrets,
            attach_points,
            routes: routes.clone(),
            workloads,
        };
        let policies = PolicyGraph::new(graph, config, &around);
        let filters = FilterStatuses::new(graph, config, inputs, lookups);
        let routes = routes.into_iter().map(|routes| Routes {
            routes,
            by_listener: graph.index("routes by listener", routes, |_, route| listeners_of(route)),
        });
        let routes = routes.collect();
        Self {
            inputs,
            listeners,
            accounts,
            binds,
            routes,
            policies,
            filters,
        }
    }

    /// All ConfigMaps but the mesh's configuration.
    pub(crate) fn config_maps(&self) -> Collection<NamespacedName, ConfigMap> {
        self.policies.inputs.config_maps
    }

    /// Stages an object; kinds that nothing is derived from are passed over.
    pub(crate) fn set(&self, graph: &mut Graph, name: NamespacedName, object: Object) {
        match object.key().map(|key| key.kind) {
            Some(kind) if PolicyInputs::takes(kind) => self.policies.inputs.set(graph, name, object),
            _ => self.inputs.set(graph, name, object),
        }
    }

    /// Stages the removal of an object.
    pub(crate) fn remove(&self, graph: &mut Graph, name: NamespacedName, kind: Kind) {
        match PolicyInputs::takes(kind) {
            true => self.policies.inputs.remove(graph, name, kind),
            false => self.inputs.remove(graph, name, kind),
        }
    }

    /// The metadata of an object that statuses are about.
    pub(crate) fn metadata<'g>(
        &self,
        graph: &'g Graph,
        kind: Kind,
        name: &NamespacedName,
    ) -> Option<&'g Metadata> {
        match PolicyInputs::takes(kind) {
            true => self.policies.inputs.metadata(graph, kind, name),
            false => self.inputs.metadata(graph, kind, name),
        }
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&self, graph: &mut Graph, told: &mut ConditionChanges) -> L7Changes {
        condition_changes(graph, self.listeners, told);
        let routes = self.routes.iter();
        let routes = routes.flat_map(|r| resources(graph, r.routes, told, Scoped::clone));
        let routes = routes.collect();
        let accounts = graph.take_changes(self.accounts).into_iter();
        L7Changes {
            binds: resources(graph, self.binds, told, Scoped::clone),
            routes,
            accounts: accounts
                .map(|change| ResourceChange {
                    name: change.key.to_string().into(),
                    value: change.new.map(|account| Strng::clone(&account)),
                })
                .collect(),
            policies: self.policies.take_changes(graph, told),
            endpoint_labels: self.policies.take_label_changes(graph, told),
            quotas: self.policies.take_quota_changes(graph, told),
            ..L7Changes::default()
        }
    }

    /// What authors should know.
    pub(crate) fn conditions(&self, graph: &Graph, into: &mut Vec<(ObjectKey, Condition)>) {
        collect_conditions(graph, self.listeners, into);
        for routes in &self.routes {
            collect_conditions(graph, routes.routes, into);
        }
        self.policies.conditions(graph, into);
    }

    /// What statuses say.
    pub(crate) fn statuses(&self, graph: &Graph, into: &mut Statuses) {
        collect_statuses(graph, self.listeners, into);
        for routes in &self.routes {
            collect_statuses(graph, routes.routes, into);
        }
        self.policies.statuses(graph, into);
        self.filters.statuses(graph, into);
        for (name, derived) in sorted_values(graph, self.listeners) {
            let listeners = derived.value.iter().flatten();
            let listeners = listeners.map(|served| ListenerStatus {
                name: served.point.listener.clone(),
                supported_kinds: served.point.kinds.clone(),
                attached_routes: self.attached(graph, name, &served.point.listener),
                conditions: served.conditions.clone(),
            });
            into.of(&derived.provenance).listeners = listeners.collect();
        }
    }

    /// How often routes were computed, for tests of incrementality.
    pub(crate) fn route_computations(&self, graph: &Graph) -> u64 {
        self.routes.iter().map(|r| graph.computations(r.routes)).sum()
    }

    /// How often policies were computed, for tests of incrementality.
    pub(crate) fn policy_computations(&self, graph: &Graph) -> u64 {
        self.policies.computations(graph)
    }

    fn attached(&self, graph: &Graph, gateway: &NamespacedName, listener: &str) -> usize {
        let key = Strng::from(format!("{gateway}/{listener}"));
        let routes = self.routes.iter();
        routes.map(|r| graph.by(r.by_listener, &key).count()).sum()
    }
}

fn add_routes(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    inputs: &L7Inputs,
    lookups: RouteLookups,
) -> Vec<RouteCollection> {
    let lower = Lower {
        config: config.clone(),
        lookups,
    };
    vec![
        lower.add(graph, inputs.http_routes, Kind::HttpRoute, routes_from_http_route),
        lower.add(graph, inputs.grpc_routes, Kind::GrpcRoute, routes_from_grpc_route),
        lower.add(graph, inputs.tls_routes, Kind::TlsRoute, routes_from_tls_route),
        lower.add(graph, inputs.tcp_routes, Kind::TcpRoute, routes_from_tcp_route),
        lower.add(
            graph,
            inputs.virtual_services,
            Kind::VirtualService,
            routes_from_virtual_service,
        ),
    ]
}

/// Adds the routes of one kind after another.
struct Lower {
    config: Arc<MeshConfig>,
    lookups: RouteLookups,
}

impl Lower {
    fn add<T: Value>(
        &self,
        graph: &mut Graph,
        objects: Collection<NamespacedName, T>,
        kind: Kind,
        routes: fn(&Lowering<'_, '_>, &T) -> Vec<LoweredRoute>,
    ) -> RouteCollection {
        let (config, lookups) = (self.config.clone(), self.lookups);
        graph.derive_many("route", objects, move |fetch, name, object| {
            let lowering = Lowering {
                fetch,
                config: &config,
                lookups: &lookups,
                kind,
                name,
            };
            routes(&lowering, object)
        })
    }
}

/// The listeners that a route is attached to.
fn listeners_of(route: &Derived<Scoped<Route>>) -> Vec<Strng> {
    let parents = route.value.iter().flat_map(|scoped| &scoped.value.parents);
    let listeners = parents.filter_map(|parent| match parent {
        RouteParent::Bind(key) => Some(key.clone()),
        RouteParent::Service(_) | RouteParent::ServicePort(_) => None,
    });
    listeners.collect()
}
