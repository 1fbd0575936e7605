//! `/debug/waypoints`: the Gateways of our classes as an API server shows them, and how they stand. Where there is no API
//! server it is the one place that says so.

use std::collections::HashMap;

use controlplane_index::status::ObjectStatus;
use controlplane_index::waypoint::Waypoints;
use controlplane_k8s_api::{Kind, Labels};
use mesh_types::Strng;
use serde::Serialize;

use crate::statuses::{ConditionView, conditions};

/// A Gateway, as far as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Serialize)]
struct Metadata {
    namespace: Strng,
    name: Strng,
    labels: Labels,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    gateway_class_name: Strng,
}

#[derive(Debug, Serialize)]
struct Status {
    conditions: Vec<ConditionView>,
}

/// The page.
pub(super) fn page(waypoints: Waypoints, statuses: Vec<ObjectStatus>) -> Vec<Entry> {
    let gateways = statuses
        .into_iter()
        .filter(|status| status.object.kind == Kind::Gateway);
    let mut stand: HashMap<_, _> = gateways
        .map(|status| ((status.object.namespace, status.object.name), status.conditions))
        .collect();
    let entries = waypoints.plans.into_iter().map(|plan| {
        let metadata = plan.gateway.metadata;
        let (namespace, name) = (metadata.namespace, metadata.name);
        let known = stand.remove(&(namespace.clone(), name.clone()));
        Entry {
            metadata: Metadata {
                namespace,
                name,
                labels: metadata.labels,
            },
            spec: Spec {
                gateway_class_name: plan.gateway.spec.gateway_class_name,
            },
            status: Status {
                conditions: conditions(known.unwrap_or_default()),
            },
        }
    });
    entries.collect()
}
