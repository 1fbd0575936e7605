//! Namespace, Node, ServiceAccount, Pod, ConfigMap and Secret, as far as a mesh needs them (Kubernetes API reference, "core/v1").

mod config;

use ipnet::IpNet;
use mesh_types::Strng;
use serde::Deserialize;

pub(crate) use config::ConfigMapFields;
pub use config::{ConfigMap, Secret, SecretBytes, SecretContent};

use crate::object::Metadata;
use crate::shared::Shared;

/// A Namespace: all that matters are its labels and annotations.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: Metadata,
}

/// A Node: its labels say where it stands, its ranges which addresses its Pods may have.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Node {
    /// Metadata.
    pub metadata: Metadata,
    /// What it is to be.
    pub spec: NodeSpec,
}

/// What a Node is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// The first range of its Pods' addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<Strng>,
    /// All ranges of its Pods' addresses.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<Strng>,
}

impl NodeSpec {
    /// The ranges of its Pods' addresses, those that can be read; empty when somebody else gives addresses.
    pub fn pod_ranges(&self) -> impl Iterator<Item = IpNet> {
        let all = self.pod_cidrs.iter().chain(&self.pod_cidr);
        all.filter_map(|range| range.parse().ok())
    }
}

/// A ServiceAccount: that it is there is all that matters.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ServiceAccount {
    /// Metadata.
    pub metadata: Metadata,
}

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Metadata,
    /// What it is to be.
    pub spec: PodSpec,
    /// What it is; empty for a Pod from a file.
    pub status: PodStatus,
}

/// What a Pod is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The service account; `default` where the object names none.
    #[serde(deserialize_with = "service_account")]
    pub service_account_name: ServiceAccountName,
    /// The node; empty until it is scheduled.
    pub node_name: Strng,
    /// Whether it shares the node's network namespace.
    pub host_network: bool,
    /// The containers.
    pub containers: Shared<Vec<Container>>,
    /// The init containers; those that keep running are sidecars and have ports.
    pub init_containers: Shared<Vec<Container>>,
}

/// The name of a service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccountName(pub Strng);

/// A container's ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// The name.
    pub name: Strng,
    /// The ports it names.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<Strng>,
}

/// A port that a container names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// The name.
    #[serde(default)]
    pub name: Strng,
    /// The number.
    pub container_port: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A port's transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// What a Pod is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Where in its life it is.
    pub phase: Option<PodPhase>,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<Strng>,
    /// All its addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// Conditions.
    pub conditions: Shared<Vec<PodCondition>>,
}

/// Where in its life a Pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PodPhase {
    /// Not every container has started.
    Pending,
    /// Containers run.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one not well.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// One address of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: Strng,
}

/// One condition of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct PodCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: Strng,
    /// `True`, `False` or `Unknown`.
    pub status: Strng,
}

// === impl Pod ===

impl Pod {
    /// Whether it ended and will not run again.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase, Some(PodPhase::Succeeded | PodPhase::Failed))
    }

    /// Whether its `Ready` condition is true.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// The containers that keep running, sidecars included.
    pub fn running_containers(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.spec.init_containers.iter();
        self.spec
            .containers
            .iter()
            .chain(sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always")))
    }
}

impl Default for ServiceAccountName {
    fn default() -> Self {
        Self(Strng::from("default"))
    }
}

fn service_account<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<ServiceAccountName, D::Error> {
    let name = Strng::deserialize(deserializer)?;
    Ok(if name.is_empty() {
        ServiceAccountName::default()
    } else {
        ServiceAccountName(name)
    })
}
