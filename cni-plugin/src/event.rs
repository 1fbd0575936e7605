//! What the plugin tells the agent, as JSON over `POST` on the agent's socket.
//!
//! `/cmdadd` has upstream's keys (`CNIPluginAddEvent` of istio-cni), so that a plugin and an agent of different origin
//! understand each other; `PodUID` and `ContainerID` are additions of ours, absent from a foreign plugin. The other
//! paths are ours.

use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest event that an agent reads, in bytes.
pub const MAX_EVENT: usize = 64 * 1024;

/// A request to the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A pod starts: answer once it is in the mesh, or known to be outside it.
    Add(AddEvent),
    /// A pod is gone.
    Del(SandboxEvent),
    /// Is what ADD did still in place?
    Check(SandboxEvent),
    /// Only these attachments are valid; whatever else is known here is gone.
    Gc(GcEvent),
    /// Can an ADD be served now?
    Status,
}

/// A pod starts (`POST /cmdadd`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddEvent {
    /// The path of the pod's network namespace.
    pub netns: PathBuf,
    /// The pod's name.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
    /// The addresses that the plugins before this one gave it.
    #[serde(rename = "IPs", deserialize_with = "nullable")]
    pub ips: Vec<IpConfig>,
    /// Kubernetes' uid of the pod, where the runtime passes it.
    #[serde(rename = "PodUID", default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// The runtime's id of the sandbox.
    #[serde(rename = "ContainerID", default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}

/// A sandbox that was added before (`POST /cmddel`, `POST /cmdcheck`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SandboxEvent {
    /// The runtime's id of the sandbox.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// The path of its network namespace; the runtime may have lost it at DEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// The pod's name, where the runtime still knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_namespace: Option<String>,
    /// Its uid.
    #[serde(rename = "PodUID", default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
}

/// The attachments that are still valid (`POST /cmdgc`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GcEvent {
    /// The ids of the sandboxes that exist.
    #[serde(rename = "ValidContainerIDs")]
    pub valid_container_ids: Vec<String>,
}

/// An address of a pod, as Go writes its `net.IPNet` and `net.IP`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpConfig {
    /// Which of the previous result's interfaces has it.
    #[serde(default)]
    pub interface: Option<u32>,
    /// The address and its prefix.
    pub address: IpNet,
    /// The gateway; Go writes an absent one as the empty string.
    #[serde(default, with = "go_ip")]
    pub gateway: Option<IpAddr>,
}

/// An address and the length of its network's prefix, in bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpNet {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length, in bits.
    pub prefix: u8,
}

/// Why a request to the agent is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// No such path.
    #[error("the agent has no path {0:?}")]
    Path(String),
    /// The body is not what the path needs.
    #[error("the body of {path} is malformed: {reason}")]
    Body {
        /// The path.
        path: &'static str,
        /// What is wrong, with the place.
        reason: String,
    },
}

// === impl Event ===

impl Event {
    /// The path to post to.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::Add(_) => ADD,
            Self::Del(_) => DEL,
            Self::Check(_) => CHECK,
            Self::Gc(_) => GC,
            Self::Status => STATUS,
        }
    }

    /// The body to post.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body = match self {
            Self::Add(event) => serde_json::to_vec(event),
            Self::Del(event) | Self::Check(event) => serde_json::to_vec(event),
            Self::Gc(event) => serde_json::to_vec(event),
            Self::Status => Ok(b"{}".to_vec()),
        };
        body.expect("plain structs with string keys, and paths that were text, are always JSON")
    }

    /// Reads a request.
    ///
    /// # Errors
    /// Fails when the path is unknown or the body is not what it needs.
    pub fn parse(path: &str, body: &[u8]) -> Result<Self, InvalidEvent> {
        fn read<'a, T: Deserialize<'a>>(path: &'static str, body: &'a [u8]) -> Result<T, InvalidEvent> {
            serde_json::from_slice(body).map_err(|e| InvalidEvent::Body {
                path,
                reason: e.to_string(),
            })
        }
        match path {
            ADD => read(ADD, body).map(Self::Add),
            DEL => read(DEL, body).map(Self::Del),
            CHECK => read(CHECK, body).map(Self::Check),
            GC => read(GC, body).map(Self::Gc),
            STATUS => Ok(Self::Status),
            other => Err(InvalidEvent::Path(other.chars().take(64).collect())),
        }
    }
}

// === impl IpNet ===

/// `net.IPNet` in Go's JSON: the mask is bytes, hence base64.
#[derive(Serialize, Deserialize)]
struct GoIpNet {
    #[serde(rename = "IP")]
    ip: IpAddr,
    #[serde(rename = "Mask")]
    mask: String,
}

impl Serialize for IpNet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = if self.ip.is_ipv4() { 4 } else { 16 };
        let mut mask = vec![0_u8; length];
        for bit in 0..usize::from(self.prefix).min(length * 8) {
            mask[bit / 8] |= 0x80 >> (bit % 8);
        }
        let mask = BASE64.encode(mask);
        GoIpNet { ip: self.ip, mask }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IpNet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let GoIpNet { ip, mask } = GoIpNet::deserialize(deserializer)?;
        let mask = BASE64.decode(mask).map_err(D::Error::custom)?;
        let fits = mask.len() == if ip.is_ipv4() { 4 } else { 16 };
        let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        let contiguous = mask
            .iter()
            .flat_map(|b| (0..8).map(move |i| b & (0x80 >> i) != 0))
            .is_sorted_by(|a, b| a >= b);
        if !fits || !contiguous {
            return Err(D::Error::custom("Mask is no network mask for IP"));
        }
        let prefix = u8::try_from(ones).map_err(D::Error::custom)?;
        Ok(Self { ip, prefix })
    }
}

mod go_ip {
    use std::net::IpAddr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ip: &Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match ip {
            None => serializer.serialize_str(""),
            Some(ip) => serializer.collect_str(ip),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IpAddr>, D::Error> {
        match Option::<String>::deserialize(deserializer)?.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
        }
    }
}

/// Go writes an empty list as `null`.
fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpConfig>, D::Error> {
    Option::<Vec<IpConfig>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

const ADD: &str = "/cmdadd";
const DEL: &str = "/cmddel";
const CHECK: &str = "/cmdcheck";
const GC: &str = "/cmdgc";
const STATUS: &str = "/status";

#[cfg(test)]
mod tests;
