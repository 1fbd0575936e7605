//! What is written down of a pod.

use std::net::IpAddr;
use std::path::PathBuf;

use mesh_net::NetnsId;
use mesh_types::NamespacedName;
use serde::{Deserialize, Serialize};

use crate::sockets::Connection;

/// A pod's key: Kubernetes' uid, or the sandbox's id where the runtime passes none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodKey(pub String);

/// What is written down of a pod, so that a restart finds it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its key.
    pub key: PodKey,
    /// Its name.
    pub pod: NamespacedName,
    /// The runtime's id of its sandbox.
    pub container_id: Option<String>,
    /// Where its network namespace was at ADD.
    pub netns_path: PathBuf,
    /// Which namespace that was; a path can be given to another one.
    pub netns: NetnsId,
    /// Its addresses, the main one first.
    pub ips: Vec<IpAddr>,
    /// What was begun for it: from before its first rule until after its last.
    pub enrolment: Option<Enrolment>,
    /// Connections that were open when it was enrolled, and stay outside the mesh; those of them that ended since are
    /// still named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Connection>,
}

impl Record {
    /// Kubernetes' uid of the pod, where it is known.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        let PodKey(key) = &self.key;
        let stands_in = self.container_id.as_ref() == Some(key) || self.pod.to_string() == *key;
        (!stands_in).then_some(key)
    }
}

/// As what a pod is in the mesh.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enrolment {
    /// Who it is there.
    pub role: Role,
    /// How its traffic is captured.
    pub settings: Settings,
}

/// Who a pod is, towards ztunnel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its service account.
    pub service_account: String,
}

/// How a pod's traffic is captured, as its annotations say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `ambient.istio.io/bypass-inbound-capture`.
    pub bypass_inbound_capture: bool,
    /// `ambient.istio.io/dns-capture`; `None` means the agent's default.
    pub dns_capture: Option<bool>,
    /// `istio.io/reroute-virtual-interfaces`.
    pub reroute_virtual_interfaces: Vec<String>,
}
