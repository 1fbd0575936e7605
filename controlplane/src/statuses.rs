//! `/status`: what became of each object, in the words of Kubernetes, one entry for each object of which there is anything
//! to say.

use std::collections::BTreeMap;

use controlplane_index::status::{ListenerStatus, ObjectStatus, Parent, ParentStatus, StatusCondition};
use controlplane_k8s_api::Group;
use serde::Serialize;

use crate::config::files::RefusedObject;

/// An object's status as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    conditions: Vec<ConditionView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<ParentView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listeners: Vec<ListenerView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListenerView {
    name: String,
    supported_kinds: Vec<KindView>,
    attached_routes: usize,
    conditions: Vec<ConditionView>,
}

#[derive(Debug, Serialize)]
struct KindView {
    group: &'static str,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct ConditionView {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ParentView {
    parent_ref: ParentRefView,
    conditions: Vec<ConditionView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ParentRefView {
    group: String,
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl From<RefusedObject> for StatusView {
    /// Of a kind that is not read.
    fn from(refused: RefusedObject) -> Self {
        Self {
            kind: refused.kind,
            namespace: refused.namespace,
            name: refused.name,
            observed_generation: None,
            conditions: vec![ConditionView {
                kind: "Accepted",
                status: "False",
                reason: "UnsupportedKind",
                message: refused.reason,
            }],
            parents: Vec::new(),
            addresses: Vec::new(),
            listeners: Vec::new(),
        }
    }
}

impl From<ObjectStatus> for StatusView {
    fn from(status: ObjectStatus) -> Self {
        let address = |(host, address): &(mesh_types::Strng, std::net::IpAddr)| {
            BTreeMap::from([("host", host.to_string()), ("value", address.to_string())])
        };
        Self {
            kind: status.object.kind.to_string(),
            namespace: status.object.namespace.to_string(),
            name: status.object.name.to_string(),
            observed_generation: status.observed_generation,
            conditions: conditions(status.conditions),
            parents: status.parents.into_iter().map(parent).collect(),
            addresses: status.addresses.iter().map(address).collect(),
            listeners: status.listeners.into_iter().map(listener).collect(),
        }
    }
}

fn listener(status: ListenerStatus) -> ListenerView {
    let group = Group::Gateway.name();
    let kinds = status.supported_kinds.into_iter();
    ListenerView {
        name: status.name.to_string(),
        supported_kinds: kinds.map(|kind| KindView { group, kind }).collect(),
        attached_routes: status.attached_routes,
        conditions: conditions(status.conditions),
    }
}

fn conditions(conditions: Vec<StatusCondition>) -> Vec<ConditionView> {
    let condition = |c: StatusCondition| ConditionView {
        kind: c.kind.as_str(),
        status: if c.holds { "True" } else { "False" },
        reason: c.reason.as_str(),
        message: c.message,
    };
    conditions.into_iter().map(condition).collect()
}

fn parent(status: ParentStatus) -> ParentView {
    let Parent {
        group,
        kind,
        namespace,
        name,
        section_name,
        port,
    } = status.parent;
    ParentView {
        parent_ref: ParentRefView {
            group: group.to_string(),
            kind: kind.to_string(),
            namespace: namespace.to_string(),
            name: name.to_string(),
            section_name: section_name.map(|s| s.to_string()),
            port,
        },
        conditions: conditions(status.conditions),
    }
}

#[cfg(test)]
mod tests;
