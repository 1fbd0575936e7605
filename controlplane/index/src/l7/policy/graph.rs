//! The part of the graph that is about policies: which collection follows from which.

use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph, Value};
use controlplane_k8s_api::core::{ConfigMap, Secret};
use controlplane_k8s_api::gateway::{BackendTlsPolicy, PolicyTarget};
use controlplane_k8s_api::lateen::{HealthCheckPolicy, RateLimitPolicy, SessionPolicy};
use controlplane_k8s_api::networking::{DestinationRule, ProxyConfig};
use controlplane_k8s_api::security::RequestAuthentication;
use controlplane_k8s_api::telemetry::Telemetry;
use controlplane_k8s_api::{Kind, Metadata, Object, ObjectKey, Resource};
use mesh_model::l7::{EndpointLabels, Policy, Quota, Route};
use mesh_types::{NamespacedName, Strng, WorkloadUid};

use super::destination_rule::{self, rules_by_host};
use super::gateways::GatewayLookups;
use super::kinds::{self, ByTarget};
use super::labels::{self, LabelLookups};
use super::lowering::{LoweredPolicy, Lowering, PolicyLookups};
use super::mesh::MeshSettings;
use super::quota;
use super::routes::RouteLookups;
use super::targets::TargetReference;
use crate::config::MeshConfig;
use crate::derived::{Condition, Derived};
use crate::index::collected::{collect_conditions, collect_statuses};
use crate::index::graph::{WorkloadCollections, condition_changes, resources};
use crate::index::{ConditionChanges, ResourceChange};
use crate::l7::Scoped;
use crate::l7::grants::GrantLookups;
use crate::l7::hosts::HostLookups;
use crate::l7::listeners::AttachPoint;
use crate::lookups::{EntryLookups, Lookups};
use crate::status::Statuses;

/// What is filled from outside, beside what the rest of the graph has.
#[derive(Clone, Copy)]
pub(crate) struct PolicyInputs {
    destination_rules: Collection<NamespacedName, DestinationRule>,
    request_authentications: Collection<NamespacedName, RequestAuthentication>,
    telemetries: Collection<NamespacedName, Telemetry>,
    backend_tls: Collection<NamespacedName, BackendTlsPolicy>,
    rate_limits: Collection<NamespacedName, RateLimitPolicy>,
    health_checks: Collection<NamespacedName, HealthCheckPolicy>,
    sessions: Collection<NamespacedName, SessionPolicy>,
    proxy_configs: Collection<NamespacedName, ProxyConfig>,
    pub(crate) config_maps: Collection<NamespacedName, ConfigMap>,
}

/// What the rest of the graph has for policies to look into.
pub(crate) struct Surroundings {
    pub(crate) base: Lookups,
    pub(crate) entries: EntryLookups,
    pub(crate) hosts: HostLookups,
    pub(crate) grants: GrantLookups,
    pub(crate) secrets: Collection<NamespacedName, Secret>,
    pub(crate) attach_points: Collection<NamespacedName, Vec<AttachPoint>>,
    pub(crate) routes: Vec<Collection<Strng, Derived<Scoped<Route>>>>,
    /// The workloads of Pods, of WorkloadEntries and of ServiceEntries.
    pub(crate) workloads: WorkloadCollections,
}

/// The handles of what comes out.
pub(crate) struct PolicyGraph {
    pub(crate) inputs: PolicyInputs,
    policies: Vec<Policies>,
    labels: Vec<Collection<WorkloadUid, Derived<Scoped<EndpointLabels>>>>,
    quotas: Collection<Strng, Derived<Scoped<Quota>>>,
    proxy_configs: Collection<NamespacedName, Derived<()>>,
}

type Policies = Collection<Strng, Derived<Scoped<Policy>>>;

impl PolicyInputs {
    fn new(graph: &mut Graph) -> Self {
        Self {
            destination_rules: graph.input("DestinationRule"),
            request_authentications: graph.input("RequestAuthentication"),
            telemetries: graph.input("Telemetry"),
            backend_tls: graph.input("BackendTLSPolicy"),
            rate_limits: graph.input("RateLimitPolicy"),
            health_checks: graph.input("HealthCheckPolicy"),
            sessions: graph.input("SessionPolicy"),
            proxy_configs: graph.input("ProxyConfig"),
            config_maps: graph.input("ConfigMap"),
        }
    }

    /// Whether the objects of a kind go in here.
    pub(crate) fn takes(kind: Kind) -> bool {
        matches!(
            kind,
            Kind::DestinationRule
                | Kind::RequestAuthentication
                | Kind::Telemetry
                | Kind::BackendTlsPolicy
                | Kind::RateLimitPolicy
                | Kind::HealthCheckPolicy
                | Kind::SessionPolicy
                | Kind::ProxyConfig
                | Kind::ConfigMap
        )
    }

    /// Stages an object.
    pub(crate) fn set(&self, graph: &mut Graph, name: NamespacedName, object: Object) {
        match object {
            Object::DestinationRule(o) => graph.set(self.destination_rules, name, o),
            Object::RequestAuthentication(o) => graph.set(self.request_authentications, name, o),
            Object::Telemetry(o) => graph.set(self.telemetries, name, o),
            Object::BackendTlsPolicy(o) => graph.set(self.backend_tls, name, o),
            Object::RateLimitPolicy(o) => graph.set(self.rate_limits, name, o),
            Object::HealthCheckPolicy(o) => graph.set(self.health_checks, name, o),
            Object::SessionPolicy(o) => graph.set(self.sessions, name, o),
            Object::ProxyConfig(o) => graph.set(self.proxy_configs, name, o),
            Object::ConfigMap(o) => graph.set(self.config_maps, name, o),
            _ => {}
        }
    }

    /// Stages the removal of an object.
    pub(crate) fn remove(&self, graph: &mut Graph, name: NamespacedName, kind: Kind) {
        match kind {
            Kind::DestinationRule => graph.delete(self.destination_rules, name),
            Kind::RequestAuthentication => graph.delete(self.request_authentications, name),
            Kind::Telemetry => graph.delete(self.telemetries, name),
            Kind::BackendTlsPolicy => graph.delete(self.backend_tls, name),
            Kind::RateLimitPolicy => graph.delete(self.rate_limits, name),
            Kind::HealthCheckPolicy => graph.delete(self.health_checks, name),
            Kind::SessionPolicy => graph.delete(self.sessions, name),
            Kind::ProxyConfig => graph.delete(self.proxy_configs, name),
            Kind::ConfigMap => graph.delete(self.config_maps, name),
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
            Kind::DestinationRule => graph.get(self.destination_rules, name).map(|o| &o.metadata),
            Kind::RequestAuthentication => graph.get(self.request_authentications, name).map(|o| &o.metadata),
            Kind::Telemetry => graph.get(self.telemetries, name).map(|o| &o.metadata),
            Kind::BackendTlsPolicy => graph.get(self.backend_tls, name).map(|o| &o.metadata),
            Kind::RateLimitPolicy => graph.get(self.rate_limits, name).map(|o| &o.metadata),
            Kind::HealthCheckPolicy => graph.get(self.health_checks, name).map(|o| &o.metadata),
            Kind::SessionPolicy => graph.get(self.sessions, name).map(|o| &o.metadata),
            _ => None,
        }
    }
}

impl PolicyGraph {
    pub(crate) fn new(graph: &mut Graph, config: &Arc<MeshConfig>, around: &Surroundings) -> Self {
        let inputs = PolicyInputs::new(graph);
        let lookups = lookups(graph, config, inputs, around);
        let builder = Builder {
            config: config.clone(),
            lookups,
        };
        let rules = destination_rules(graph, &builder, inputs);
        let named = LabelLookups::new(graph, rules);
        let labels = labels::all(graph, config, around, named);
        let quotas = {
            let builder = builder.clone();
            graph.derive_many("quota", inputs.rate_limits, move |fetch, name, policy| {
                quota::quota(&builder.lowering(fetch, Kind::RateLimitPolicy, name), policy)
            })
        };
        let proxy_configs = {
            let builder = builder.clone();
            graph.derive(
                "ProxyConfig's status",
                inputs.proxy_configs,
                move |fetch, name, object| {
                    Some(kinds::proxy_config(
                        &builder.lowering(fetch, Kind::ProxyConfig, name),
                        object,
                    ))
                },
            )
        };
        let mut policies = vec![rules];
        policies.extend(istio(graph, &builder, inputs, around));
        policies.extend(of_targets(graph, &builder, inputs));
        policies.push(mesh_configs(graph, &builder, &around.base));
        Self {
            inputs,
            policies,
            labels,
            quotas,
            proxy_configs,
        }
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(
        &self,
        graph: &mut Graph,
        told: &mut ConditionChanges,
    ) -> Vec<ResourceChange<Scoped<Policy>>> {
        condition_changes(graph, self.proxy_configs, told);
        let policies = self.policies.iter();
        policies
            .flat_map(|policies| resources(graph, *policies, told, Scoped::clone))
            .collect()
    }

    /// What changed of the labels of endpoints since the last call.
    pub(crate) fn take_label_changes(
        &self,
        graph: &mut Graph,
        told: &mut ConditionChanges,
    ) -> Vec<ResourceChange<Scoped<EndpointLabels>>> {
        let labels = self.labels.iter();
        labels
            .flat_map(|labels| resources(graph, *labels, told, Scoped::clone))
            .collect()
    }

    /// What changed for the mesh's own rate-limit service since the last call.
    pub(crate) fn take_quota_changes(
        &self,
        graph: &mut Graph,
        told: &mut ConditionChanges,
    ) -> Vec<ResourceChange<Scoped<Quota>>> {
        resources(graph, self.quotas, told, Scoped::clone)
    }

    /// What authors should know.
    pub(crate) fn conditions(&self, graph: &Graph, into: &mut Vec<(ObjectKey, Condition)>) {
        for policies in &self.policies {
            collect_conditions(graph, *policies, into);
        }
        collect_conditions(graph, self.proxy_configs, into);
    }

    /// What statuses say.
    pub(crate) fn statuses(&self, graph: &Graph, into: &mut Statuses) {
        for policies in &self.policies {
            collect_statuses(graph, *policies, into);
        }
    }

    /// How often policies were computed, for tests of incrementality.
    pub(crate) fn computations(&self, graph: &Graph) -> u64 {
        self.policies
            .iter()
            .map(|policies| graph.computations(*policies))
            .sum()
    }
}

/// What every derivation of policies needs.
#[derive(Clone)]
struct Builder {
    config: Arc<MeshConfig>,
    lookups: PolicyLookups,
}

impl Builder {
    fn lowering<'l, 'a>(
        &'l self,
        fetch: &'l Fetch<'a>,
        kind: Kind,
        name: &'l NamespacedName,
    ) -> Lowering<'l, 'a> {
        Lowering {
            fetch,
            config: &self.config,
            lookups: &self.lookups,
            kind,
            name,
        }
    }

    fn derive<V: Value>(
        &self,
        graph: &mut Graph,
        kind: Kind,
        label: &'static str,
        from: Collection<NamespacedName, V>,
        derive: impl Fn(&Lowering<'_, '_>, &V) -> Vec<LoweredPolicy> + Send + 'static,
    ) -> Policies {
        let builder = self.clone();
        graph.derive_many(label, from, move |fetch, name, object| {
            derive(&builder.lowering(fetch, kind, name), object)
        })
    }
}

fn lookups(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    inputs: PolicyInputs,
    around: &Surroundings,
) -> PolicyLookups {
    let (mesh, mesh_config) = (config.clone(), around.base.mesh_config);
    let mesh_configs = around.base.inputs.mesh_configs;
    let settings = graph.derive_many("mesh settings", mesh_configs, move |fetch, name, object| {
        let counts = mesh_config.counts(fetch, name);
        let settings = counts.then(|| ((), MeshSettings::of(&mesh, &object.spec)));
        settings.into_iter().collect()
    });
    let providers = graph.derive_many("provider", mesh_configs, move |fetch, name, object| {
        if !mesh_config.counts(fetch, name) {
            return Vec::new();
        }
        let providers = object.spec.extension_providers.iter();
        providers
            .map(|provider| (provider.name.clone(), provider.clone()))
            .collect()
    });
    let routes = around
        .routes
        .iter()
        .map(|routes| RouteLookups::new(graph, *routes));
    let routes = Arc::new(routes.collect::<Vec<_>>());
    PolicyLookups {
        hosts: around.hosts,
        entries: around.entries,
        gateways: GatewayLookups::new(graph, around.base, around.attach_points),
        routes,
        settings,
        providers,
        secrets: around.secrets,
        config_maps: inputs.config_maps,
        grants: around.grants,
        without: Arc::new(MeshSettings::without(config)),
    }
}

fn destination_rules(graph: &mut Graph, builder: &Builder, inputs: PolicyInputs) -> Policies {
    let by_host = rules_by_host(graph, &builder.config, inputs.destination_rules);
    builder.derive(
        graph,
        Kind::DestinationRule,
        "policy of a DestinationRule",
        inputs.destination_rules,
        move |lowering, rule| destination_rule::policies(lowering, by_host, rule),
    )
}

/// Istio's kinds that name targets, and what annotations of Gateways say.
fn istio(graph: &mut Graph, builder: &Builder, inputs: PolicyInputs, around: &Surroundings) -> [Policies; 4] {
    let telemetries = graph.index(
        "Telemetries of namespaces",
        inputs.telemetries,
        |name, telemetry| {
            let whole = kinds::is_of_namespace(&telemetry.spec);
            whole.then(|| name.namespace.clone()).into_iter().collect()
        },
    );
    let classes = around.base.inputs.gateway_classes;
    [
        builder.derive(
            graph,
            Kind::AuthorizationPolicy,
            "policy of an AuthorizationPolicy",
            around.base.inputs.policies,
            kinds::authorization_policy,
        ),
        builder.derive(
            graph,
            Kind::RequestAuthentication,
            "policy of a RequestAuthentication",
            inputs.request_authentications,
            kinds::request_authentication,
        ),
        builder.derive(
            graph,
            Kind::Telemetry,
            "policy of a Telemetry",
            inputs.telemetries,
            move |lowering, telemetry| kinds::telemetry(lowering, telemetries, telemetry),
        ),
        builder.derive(
            graph,
            Kind::Gateway,
            "policy of a Gateway",
            around.base.inputs.gateways,
            move |lowering, gateway| {
                let class = lowering.fetch.get(classes, &gateway.spec.gateway_class_name);
                kinds::gateway(lowering, class, gateway)
            },
        ),
    ]
}

/// Gateway API's kinds and ours.
fn of_targets(graph: &mut Graph, builder: &Builder, inputs: PolicyInputs) -> [Policies; 4] {
    let backend_tls = by_target(
        graph,
        "BackendTLSPolicies by target",
        inputs.backend_tls,
        |spec| &spec.target_refs,
    );
    let health_checks = by_target(
        graph,
        "HealthCheckPolicies by target",
        inputs.health_checks,
        |spec| &spec.target_refs,
    );
    let sessions = by_target(graph, "SessionPolicies by target", inputs.sessions, |spec| {
        &spec.target_refs
    });
    [
        builder.derive(
            graph,
            Kind::BackendTlsPolicy,
            "policy of a BackendTLSPolicy",
            inputs.backend_tls,
            move |lowering, policy| kinds::backend_tls_policy(lowering, backend_tls, policy),
        ),
        builder.derive(
            graph,
            Kind::HealthCheckPolicy,
            "policy of a HealthCheckPolicy",
            inputs.health_checks,
            move |lowering, policy| kinds::health_check_policy(lowering, health_checks, policy),
        ),
        builder.derive(
            graph,
            Kind::SessionPolicy,
            "policy of a SessionPolicy",
            inputs.sessions,
            move |lowering, policy| kinds::session_policy(lowering, sessions, policy),
        ),
        builder.derive(
            graph,
            Kind::RateLimitPolicy,
            "policy of a RateLimitPolicy",
            inputs.rate_limits,
            kinds::rate_limit_policy,
        ),
    ]
}

fn by_target<S>(
    graph: &mut Graph,
    label: &'static str,
    policies: Collection<NamespacedName, Resource<S>>,
    targets: impl Fn(&S) -> &Vec<PolicyTarget> + Send + 'static,
) -> ByTarget<Resource<S>>
where
    Resource<S>: Value,
{
    graph.index(label, policies, move |name, policy| {
        let targets = targets(&policy.spec).iter();
        targets
            .map(|target| TargetReference::from(target).key(&name.namespace))
            .collect()
    })
}

fn mesh_configs(graph: &mut Graph, builder: &Builder, base: &Lookups) -> Policies {
    let mesh_config = base.mesh_config;
    builder.derive(
        graph,
        Kind::MeshConfig,
        "policy of a MeshConfig",
        base.inputs.mesh_configs,
        move |lowering, object| kinds::mesh_config(lowering, mesh_config.get(lowering.fetch), object),
    )
}
