//! `/status`: what became of each object, in the words of Kubernetes, one entry for each object of which there is anything
//! to say.

use std::collections::BTreeMap;

use controlplane_index::status::{ListenerStatus, ObjectStatus, Parent, ParentStatus, StatusCondition};
use controlplane_k8s_api::Group;
use controlplane_kube::{KubeBoard, WatchView};
use mesh_xds::SubscriberStatus;
use serde::Serialize;

use crate::config::files::{ContentState, FileStatus, RefusedObject};

/// The page as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusPage {
    objects: Vec<StatusView>,
    /// What proxies refuse of what they are sent; what they had before is in force there.
    refused_by_proxies: Vec<ProxyRefusal>,
    /// How the watches of the API server stand, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterView {
    /// For how long the watch that is worst off has known nothing new.
    away_seconds: u64,
    watches: Vec<WatchView>,
}

/// What a proxy answered with a refusal that it has not taken back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyRefusal {
    proxy: String,
    type_url: &'static str,
    error: String,
}

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

/// A condition as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ConditionView {
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

impl StatusPage {
    /// What became of each object that counts, what is wrong with what files say now, kinds that are not read, and what
    /// proxies refuse.
    #[must_use]
    pub fn new(
        statuses: Vec<ObjectStatus>,
        files: Vec<FileStatus>,
        subscribers: &[SubscriberStatus],
    ) -> Self {
        let mut objects: Vec<StatusView> = statuses.into_iter().map(StatusView::from).collect();
        let places = objects.iter().enumerate();
        let mut places: BTreeMap<_, _> = places.map(|(at, object)| (object.reference(), at)).collect();
        for file in files {
            let reason = match file.state {
                ContentState::NeverGood => "NeverGood",
                ContentState::Current | ContentState::LastGood => "LastGood",
            };
            for broken in file.broken {
                let (object, message) = StatusView::of_broken(broken);
                let at = *places.entry(object.reference()).or_insert(objects.len());
                if at == objects.len() {
                    objects.push(object);
                }
                objects[at].conditions.push(ConditionView {
                    kind: "lateen.dev/Current",
                    status: "False",
                    reason,
                    message,
                });
            }
            objects.extend(file.refused.into_iter().map(StatusView::from));
        }
        Self {
            objects,
            refused_by_proxies: subscribers.iter().flat_map(refusals).collect(),
            cluster: None,
        }
    }

    /// The same, with what is to be said of the cluster's objects.
    #[must_use]
    pub fn with_cluster(mut self, kube: &KubeBoard) -> Self {
        for broken in kube.broken() {
            let (counts, reason) = match broken.last_good {
                true => ("its last good content still counts", "LastGood"),
                false => ("nothing of it counts", "NeverGood"),
            };
            let (object, message) = StatusView::of_broken(RefusedObject {
                kind: broken.object.kind.to_string(),
                namespace: broken.object.namespace.to_string(),
                name: broken.object.name.to_string(),
                reason: format!("{} ({counts})", broken.errors.join("; ")),
            });
            let same = |known: &StatusView| known.reference() == object.reference();
            let at = self.objects.iter().position(same).unwrap_or(self.objects.len());
            if at == self.objects.len() {
                self.objects.push(object);
            }
            let conditions = &mut self.objects[at].conditions;
            // Its own status says so already, where it has one.
            if conditions
                .iter()
                .all(|condition| condition.kind != "lateen.dev/Current")
            {
                conditions.push(ConditionView {
                    kind: "lateen.dev/Current",
                    status: "False",
                    reason,
                    message,
                });
            }
        }
        self.cluster = Some(ClusterView {
            away_seconds: kube.away_seconds(),
            watches: kube.watches(),
        });
        self
    }
}

fn refusals(subscriber: &SubscriberStatus) -> impl Iterator<Item = ProxyRefusal> {
    let proxy = subscriber.node.as_ref().map(mesh_xds::NodeInfo::id);
    let proxy = proxy.unwrap_or_default();
    let subscriptions = subscriber.subscriptions.iter();
    subscriptions.filter_map(move |subscription| {
        Some(ProxyRefusal {
            proxy: proxy.clone(),
            type_url: subscription.type_url.as_str(),
            error: subscription.refused.clone()?,
        })
    })
}

impl StatusView {
    /// An object without conditions, and what is wrong with it.
    fn of_broken(broken: RefusedObject) -> (Self, String) {
        let object = Self {
            kind: broken.kind,
            namespace: broken.namespace,
            name: broken.name,
            observed_generation: None,
            conditions: Vec::new(),
            parents: Vec::new(),
            addresses: Vec::new(),
            listeners: Vec::new(),
        };
        (object, broken.reason)
    }

    fn reference(&self) -> (String, String, String) {
        (self.kind.clone(), self.namespace.clone(), self.name.clone())
    }
}

impl From<RefusedObject> for StatusView {
    /// Of a kind that is not read.
    fn from(refused: RefusedObject) -> Self {
        let (mut object, message) = Self::of_broken(refused);
        object.conditions.push(ConditionView {
            kind: "Accepted",
            status: "False",
            reason: "UnsupportedKind",
            message,
        });
        object
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

pub(crate) fn conditions(conditions: Vec<StatusCondition>) -> Vec<ConditionView> {
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
