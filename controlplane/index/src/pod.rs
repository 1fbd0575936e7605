//! A Pod becomes a workload.

mod address;
mod services;

use controlplane_collections::Fetch;
use controlplane_k8s_api::core::Pod;
use controlplane_k8s_api::{Kind, Labels, ObjectKey};
use mesh_model::Workload;
use mesh_model::workload::{HealthStatus, NetworkMode, TunnelProtocol, WorkloadType};
use mesh_types::{Identity, NamespacedName, Strng, WorkloadUid};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::labels::selects;
use crate::lookups::{Lookups, PolicyLookups, WorkloadLookups};
use crate::ownership::{
    CANONICAL_NAME_LABELS, CANONICAL_REVISION_LABELS, DEFAULT_REVISION, first_label, workload_name,
};
use crate::peer_authentication;
use crate::registration::{Redirection, Registration};
use crate::status::Stated;
use crate::waypoint::binding::{Target, bind_workload, complaint};
use crate::waypoint::{Traffic, allow};

/// The workload of a Pod: nothing while it has no address, and once it ended.
pub(crate) fn workload_from_pod(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    pod: &Pod,
) -> Derived<Workload> {
    let base = &lookups.base;
    let provenance = provenance(name);
    if pod.is_terminal() {
        let ended = Condition::new(ConditionReason::NotForNodeProxy, "it ended");
        return Derived::nothing(provenance, ended);
    }
    let registration = live_registration(fetch, base, name, pod);
    let mut conditions = Vec::new();
    let addresses = match address::addresses(fetch, base, name, pod, registration, &mut conditions) {
        Ok(addresses) => addresses,
        Err(condition) => {
            conditions.push(condition);
            return Derived {
                value: None,
                provenance,
                conditions,
                status: Vec::new(),
            };
        }
    };
    let account = &pod.spec.service_account_name.0;
    let identity = match Identity::new(
        config.trust_domain.clone(),
        name.namespace.clone(),
        account.clone(),
    ) {
        Ok(identity) => identity,
        Err(e) => {
            let invalid = Condition::at(ConditionReason::Invalid, "spec.serviceAccountName", e.to_string());
            return Derived::nothing(provenance, invalid);
        }
    };
    let labels = &pod.metadata.labels;
    let native_tunnel = labels.get(TUNNEL_LABEL).is_some_and(|l| l == "http");
    let workload_name = workload_name(pod);
    let locality = fetch.get(base.localities, &pod.spec.node_name).cloned();
    let uid = WorkloadUid::of_pod(&config.cluster_id, &name.namespace, &name.name);
    let target = Target {
        namespace: &name.namespace,
        labels,
        annotations: &pod.metadata.annotations,
        traffic: Traffic::Workload,
        hidden: false,
    };
    let binding = bind_workload(fetch, config, base, &target, account);
    let services = services::of_pod(fetch, config, lookups, name, pod, &mut conditions);
    let mut authorization_policies =
        authorization_policies(fetch, config, &lookups.policies, &name.namespace, labels);
    authorization_policies.extend(allow::policies_of(
        fetch,
        config,
        lookups,
        &binding.guards,
        services.keys(),
    ));
    let workload = Workload {
        addresses,
        network: base.namespaces.network(fetch, config),
        tunnel_protocol: tunnel(pod, registration.map(|c| &c.registration), native_tunnel),
        network_mode: match pod.spec.host_network {
            true => NetworkMode::HostNetwork,
            false => NetworkMode::Standard,
        },
        status: health(pod, registration.map(|c| &c.registration)),
        native_tunnel,
        node: pod.spec.node_name.clone(),
        cluster_id: config.cluster_id.clone(),
        locality: locality.unwrap_or_default(),
        canonical_name: first_label(labels, &CANONICAL_NAME_LABELS).unwrap_or_else(|| workload_name.clone()),
        canonical_revision: first_label(labels, &CANONICAL_REVISION_LABELS)
            .unwrap_or_else(|| Strng::from(DEFAULT_REVISION)),
        // What Istio says of every owner; proxies print it.
        workload_type: WorkloadType::Pod,
        workload_name,
        waypoint: binding.waypoint,
        application_tunnel: binding.application_tunnel,
        authorization_policies,
        services,
        ..Workload::new(uid, name.name.clone(), identity)
    };
    conditions.extend(complaint(binding.status.as_ref()));
    // Of so many, only those whose connections are refused are worth a word.
    let status = binding.status.filter(|s| !s.holds);
    Derived {
        conditions,
        status: status.map(Stated::from).into_iter().collect(),
        ..Derived::of(provenance, workload)
    }
}

/// The registration that speaks of this very Pod. Pods that share the node's network are not registered: no CNI plugin
/// is called for them.
pub(crate) fn live_registration<'a>(
    fetch: &Fetch<'a>,
    lookups: &Lookups,
    name: &NamespacedName,
    pod: &Pod,
) -> Option<&'a crate::registration::Claimed> {
    if pod.spec.host_network {
        return None;
    }
    fetch.get(lookups.any_registration, &())?;
    let claimed = fetch.get(lookups.inputs.registrations, name)?;
    let is_of = claimed
        .registration
        .is_of(&pod.spec.node_name, pod.metadata.uid.as_deref());
    is_of.then_some(claimed)
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::Pod,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

fn tunnel(pod: &Pod, registration: Option<&Registration>, native: bool) -> TunnelProtocol {
    let redirected = match registration {
        Some(registration) => registration.redirection == Redirection::Enabled,
        None => pod
            .metadata
            .annotations
            .get(REDIRECTION)
            .is_some_and(|a| a == "enabled"),
    };
    match redirected || native {
        true => TunnelProtocol::Hbone,
        false => TunnelProtocol::None,
    }
}

fn health(pod: &Pod, registration: Option<&Registration>) -> HealthStatus {
    let ready = match registration {
        Some(registration) => registration.ready && registration.live,
        None => pod.is_ready(),
    };
    match ready && pod.metadata.deletion_timestamp.is_none() {
        true => HealthStatus::Healthy,
        false => HealthStatus::Unhealthy,
    }
}

/// Selector policies of a workload's namespace and of the root namespace, sorted; then what its PeerAuthentications
/// became. Only policies that are sent are listed: to a proxy, an unknown one is a reason to deny.
pub(crate) fn authorization_policies(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    policies: &PolicyLookups,
    namespace: &Strng,
    labels: &Labels,
) -> Vec<NamespacedName> {
    let namespaces = [namespace, &config.root_namespace];
    let mut selected: Vec<NamespacedName> = namespaces
        .iter()
        .take(if namespaces[0] == namespaces[1] { 1 } else { 2 })
        .flat_map(|namespace| policies.selectors.candidates(fetch, namespace, labels))
        .filter(|(_, selector)| selects(selector, labels))
        .map(|(policy, _)| policy.clone())
        .collect();
    selected.sort();
    selected.extend(peer_authentication::policy_of_workload(
        fetch, config, policies, namespace, labels,
    ));
    selected
}

/// Written by the node agent where it may write to the API server.
pub(crate) const REDIRECTION: &str = "ambient.istio.io/redirection";
/// `http`: the application speaks HBONE itself.
pub(crate) const TUNNEL_LABEL: &str = "networking.istio.io/tunnel";

#[cfg(test)]
mod tests;
