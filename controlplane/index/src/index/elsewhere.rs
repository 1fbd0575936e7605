//! Endpoints in other networks: neither node proxies nor waypoints have a way to them, and whoever made the service is told
//! so.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_collections::{Collection, Graph};
use mesh_model::{Service, Workload};
use mesh_types::{NamespacedHostname, Strng, WorkloadUid};

use crate::derived::Derived;
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason, Statuses};

/// States for each service how many endpoints are left out. Only entries can say that they are elsewhere: Pods of other
/// clusters are not read.
pub(super) fn collect(
    graph: &Graph,
    own: &Strng,
    workloads: [Collection<WorkloadUid, Derived<Workload>>; 2],
    services: [Collection<NamespacedHostname, Derived<Service>>; 2],
    into: &mut Statuses,
) {
    let mut left_out: BTreeMap<&NamespacedHostname, (usize, BTreeSet<&Strng>)> = BTreeMap::new();
    for (_, derived) in workloads.into_iter().flat_map(|of| graph.iter(of)) {
        let Some(workload) = derived.value.as_ref().filter(|w| w.network != *own) else {
            continue;
        };
        for service in workload.services.keys() {
            let (count, networks) = left_out.entry(service).or_default();
            *count += 1;
            networks.insert(&workload.network);
        }
    }
    for (service, (count, networks)) in left_out {
        let named: Vec<&str> = networks.into_iter().map(|network| network.as_str()).collect();
        let message = format!(
            "{count} of its endpoints are in other networks ({}) and left out: there is no way to them",
            named.join(", ")
        );
        let condition = StatusCondition::new(
            ConditionType::EndpointsReachable,
            false,
            StatusReason::OtherNetwork,
            message,
        );
        for of in services {
            if let Some(derived) = graph.get(of, service) {
                into.add(&derived.provenance, &[Stated::from(condition.clone())]);
            }
        }
    }
}
