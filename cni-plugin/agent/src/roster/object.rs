//! What is read of a Pod and of a Namespace; nothing else of them is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_types::NamespacedName;
use serde::{Deserialize, Deserializer};

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PodObject {
    /// Who it is.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it is to be.
    #[serde(default)]
    pub spec: PodSpec,
    /// What it is.
    #[serde(default)]
    pub status: PodStatus,
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NamespaceObject {
    /// Who it is.
    #[serde(default)]
    pub metadata: Metadata,
}

/// Who an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
    /// Its labels.
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
    /// Those of its annotations that the agent reads.
    #[serde(default, deserialize_with = "known_annotations")]
    pub annotations: Labels,
    /// Who made it.
    #[serde(default, deserialize_with = "nullable")]
    pub owner_references: Vec<Owner>,
}

/// Who made an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// The kind.
    #[serde(default)]
    pub kind: String,
    /// The name, in the object's namespace.
    #[serde(default)]
    pub name: String,
}

/// The part of a Pod's specification that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Whether it shares the node's network.
    #[serde(default)]
    pub host_network: bool,
    /// Who it runs as.
    #[serde(default)]
    pub service_account_name: String,
}

/// The part of a Pod's status that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    #[serde(default)]
    phase: String,
    #[serde(default, rename = "podIP")]
    pod_ip: String,
    #[serde(default, rename = "podIPs", deserialize_with = "nullable")]
    pod_ips: Vec<PodIp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct PodIp {
    #[serde(default)]
    ip: String,
}

impl Metadata {
    /// Whether an object of this kind and name made it.
    #[must_use]
    pub fn is_of(&self, kind: &str, name: &str) -> bool {
        let is = |owner: &Owner| owner.kind == kind && owner.name == name;
        self.owner_references.iter().any(is)
    }
}

impl PodObject {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> NamespacedName {
        NamespacedName::new(self.metadata.namespace.as_str(), self.metadata.name.as_str())
    }

    /// Its uid as the kubelet gives it to the runtime: a static pod's object has another one.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata
            .annotations
            .get(MIRROR)
            .unwrap_or(&self.metadata.uid)
    }

    /// Who it runs as.
    #[must_use]
    pub fn service_account(&self) -> &str {
        match self.spec.service_account_name.as_str() {
            "" => "default",
            name => name,
        }
    }

    /// Its addresses, the main one first; what is no address is none.
    #[must_use]
    pub fn ips(&self) -> Vec<IpAddr> {
        let all = self.status.pod_ips.iter().map(|ip| ip.ip.as_str());
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in all.chain([self.status.pod_ip.as_str()]) {
            if let Ok(ip) = ip.parse::<IpAddr>()
                && !ips.contains(&ip.to_canonical())
            {
                ips.push(ip.to_canonical());
            }
        }
        ips
    }

    /// Whether all of its containers have ended for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// Go writes what is empty as `null`.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Others can be long, and there are many.
fn known_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let mut all: Labels = nullable(deserializer)?;
    all.retain(|name, _| name == MIRROR || name == SIDECAR || name.contains("istio.io/"));
    Ok(all)
}

/// The uid of a static pod, in the object that stands for it.
const MIRROR: &str = "kubernetes.io/config.mirror";
const SIDECAR: &str = "sidecar.istio.io/status";
