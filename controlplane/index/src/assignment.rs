//! What a Pod becomes for its node's agent: whether it is a member, and how it is to be captured.

use controlplane_collections::Fetch;
use controlplane_k8s_api::core::Pod;
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_types::{NamespacedName, Strng};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::{DATAPLANE_MODE, Lookups};
use crate::settings;
use crate::status::Stated;
use crate::waypoint::instances::{self, Candidate};

/// A workload that belongs on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The node.
    pub node: Strng,
    /// Which workload.
    pub workload: NamespacedName,
    /// The service account that it runs as, in its namespace.
    pub service_account: Strng,
    /// Whether it is to be in the mesh.
    pub membership: Membership,
    /// How it is to be captured.
    pub options: Options,
}

/// Which assignment; a Pod that moves has a new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssignmentKey {
    /// The node.
    pub node: Strng,
    /// Which workload.
    pub workload: NamespacedName,
}

/// Whether a workload is to be in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Not in the mesh.
    Outside,
    /// To be enrolled.
    Member,
}

/// How a workload's traffic is captured: annotations of its Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `ambient.istio.io/bypass-inbound-capture`.
    pub bypass_inbound_capture: bool,
    /// `ambient.istio.io/dns-capture`; `None` means the agent's default.
    pub dns_capture: Option<bool>,
    /// `istio.io/reroute-virtual-interfaces`.
    pub reroute_virtual_interfaces: Vec<String>,
}

/// The assignment of a Pod that has a node and did not end.
pub(crate) fn assignment_from_pod(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    pod: &Pod,
) -> Option<(AssignmentKey, Derived<Assignment>)> {
    let node = &pod.spec.node_name;
    if node.is_empty() || pod.is_terminal() {
        return None;
    }
    let mut conditions = settings::of_pod(&pod.metadata);
    let candidate = Candidate {
        labels: &pod.metadata.labels,
        account: &pod.spec.service_account_name.0,
    };
    conditions.extend(instances::complaint(fetch, lookups, &name.namespace, candidate));
    let status = settings::status(&conditions).map(Stated::from);
    let assignment = Assignment {
        node: node.clone(),
        workload: name.clone(),
        service_account: pod.spec.service_account_name.0.clone(),
        membership: membership(fetch, config, lookups, name, pod),
        options: options(pod, &mut conditions),
    };
    let key = AssignmentKey {
        node: node.clone(),
        workload: name.clone(),
    };
    let provenance = ObjectKey {
        kind: Kind::Pod,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    };
    let derived = Derived {
        conditions,
        status: status.into_iter().collect(),
        ..Derived::of(provenance, assignment)
    };
    Some((key, derived))
}

/// The label of the Pod, else of its Namespace. Left out are Pods that share the node's network, that have a sidecar,
/// that live in an excluded namespace, and the node proxy itself (which is known by its label only in the namespace that
/// nobody else may use).
fn membership(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    pod: &Pod,
) -> Membership {
    let is_proxy = name.namespace == config.root_namespace
        && pod.metadata.labels.get("app").is_some_and(|a| a == NODE_PROXY);
    let excluded = pod.spec.host_network
        || is_proxy
        || pod.metadata.annotations.contains_key(SIDECAR_STATUS)
        || config.excluded_namespaces.contains(&name.namespace);
    let of_pod = pod.metadata.labels.get(DATAPLANE_MODE);
    // As for upstream's agent and ours: what is neither word says nothing.
    let wanted = match of_pod.map(|mode| &**mode) {
        Some(MEMBER_MODE) => true,
        Some(OUTSIDE_MODE) => false,
        _ => fetch
            .get(lookups.namespaces.modes, &name.namespace)
            .is_some_and(|mode| mode == MEMBER_MODE),
    };
    match wanted && !excluded {
        true => Membership::Member,
        false => Membership::Outside,
    }
}

fn options(pod: &Pod, conditions: &mut Vec<Condition>) -> Options {
    let annotations = &pod.metadata.annotations;
    // As for upstream's agent and ours; what is neither is told already.
    let flag = |name: &str| settings::boolean(annotations.get(name)?);
    let bypass_inbound_capture = flag(BYPASS_INBOUND).unwrap_or(false);
    let dns_capture = flag(DNS_CAPTURE);
    let interfaces = annotations
        .get(REROUTE_INTERFACES)
        .map(Strng::as_str)
        .unwrap_or_default();
    let mut reroute_virtual_interfaces = Vec::new();
    for interface in interfaces.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        match is_interface_name(interface) {
            true => reroute_virtual_interfaces.push(interface.to_owned()),
            false => {
                let message = format!("{interface:?} is not the name of a network interface");
                conditions.push(Condition::at(
                    ConditionReason::Invalid,
                    REROUTE_INTERFACES,
                    message,
                ));
            }
        }
    }
    Options {
        bypass_inbound_capture,
        dns_capture,
        reroute_virtual_interfaces,
    }
}

/// What the kernel accepts (`dev_valid_name`), without characters that mean something to rule languages.
fn is_interface_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
        && !matches!(name, "." | "..")
}

const MEMBER_MODE: &str = "ambient";
const OUTSIDE_MODE: &str = "none";
const NODE_PROXY: &str = "ztunnel";
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
pub(crate) const BYPASS_INBOUND: &str = "ambient.istio.io/bypass-inbound-capture";
pub(crate) const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";

#[cfg(test)]
mod tests;
