//! Which workloads and Services are a waypoint's own, and that no label alone makes one of them.
//!
//! Whoever may make a Pod may label it. What node proxies send to a waypoint goes to the workloads behind its Service, and
//! those have nothing before them; so of a waypoint that is made here only what runs as its proxies run is one of them, by the
//! account that their certificates name. Upstream goes by the label. Of a waypoint that somebody else makes nobody knows the
//! account, and labels and selectors count, as there.

use controlplane_collections::Fetch;
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::service::Service;
use mesh_model::{GatewayDestination, GatewayRef};
use mesh_types::{NamespacedName, Strng, ports};

use super::{Waypoint, served};
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason};
use crate::lookups::Lookups;
use crate::service::hostname;

/// Whether a Service leads to a waypoint, or to a gateway between networks: connections to those pass no waypoint.
pub(crate) fn is_of_gateway(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    labels: &Labels,
) -> bool {
    let managed = labels
        .get(MANAGED)
        .is_some_and(|by| MANAGED_GATEWAYS.contains(&by.as_str()));
    let by_name = || {
        let own = GatewayRef::new(GatewayDestination::Hostname(hostname(config, name)), ports::HBONE);
        waypoint(fetch, lookups, name).is_some_and(|w| w.address == own)
    };
    managed || labelled(fetch, lookups, &name.namespace, labels).is_some() || by_name()
}

/// The waypoint that a workload's or Service's label says that it is a part of.
pub(crate) fn labelled<'a>(
    fetch: &Fetch<'a>,
    lookups: &Lookups,
    namespace: &Strng,
    labels: &Labels,
) -> Option<(NamespacedName, &'a Waypoint)> {
    let gateway = NamespacedName::new(namespace.clone(), labels.get(GATEWAY_NAME)?.clone());
    let waypoint = waypoint(fetch, lookups, &gateway)?;
    Some((gateway, waypoint))
}

/// A workload, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Its labels.
    pub(crate) labels: &'a Labels,
    /// Whom it runs as.
    pub(crate) account: &'a str,
}

/// Whether a workload that a Service selects is behind it, or only looks like a proxy of the waypoint that the Service leads to.
pub(crate) fn may_stand_behind(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    (name, service): (&NamespacedName, &Service),
    candidate: Candidate<'_>,
) -> bool {
    // Asked of every Service of every workload: waypoints' are told apart before anything is looked up.
    if !served::speaks_hbone(service) {
        return true;
    }
    let by_label = [&service.metadata.labels, candidate.labels];
    let by_label = by_label.map(|labels| labelled(fetch, lookups, &name.namespace, labels));
    let by_name = waypoint(fetch, lookups, name);
    let mut waypoints = by_label
        .iter()
        .flatten()
        .map(|(_, waypoint)| *waypoint)
        .chain(by_name);
    waypoints.all(|waypoint| waypoint.service != name.name || waypoint.runs_as(candidate.account))
}

/// What is to be said of a workload that bears the label of a waypoint's proxies and does not run as they do.
pub(crate) fn complaint(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    namespace: &Strng,
    candidate: Candidate<'_>,
) -> Option<Condition> {
    let (gateway, waypoint) = labelled(fetch, lookups, namespace, candidate.labels)?;
    let own = waypoint
        .account
        .as_ref()
        .filter(|own| **own != *candidate.account)?;
    let message = format!(
        "names waypoint {gateway}, whose proxies run as service account {own}, and this runs as {}: it is none of them",
        candidate.account
    );
    let field = format!("metadata.labels[{GATEWAY_NAME}]");
    Some(Condition::at(ConditionReason::ForeignAccount, field, message))
}

fn waypoint<'a>(fetch: &Fetch<'a>, lookups: &Lookups, name: &NamespacedName) -> Option<&'a Waypoint> {
    fetch.get(lookups.waypoints, name)?.value.as_ref()
}

/// On Pods and Services of a Gateway.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// On Services that a controller made for a Gateway, and by which.
const MANAGED: &str = "gateway.istio.io/managed";
const MANAGED_GATEWAYS: [&str; 4] = [
    "istio.io-mesh-controller",
    "lateen.dev-mesh-controller",
    "istio.io-eastwest-controller",
    "istio.io-agentgateway-waypoint-controller",
];

#[cfg(test)]
mod tests;
