//! What a place and the control plane tell each other.

use std::fmt;
use std::net::IpAddr;

use mesh_types::{NamespacedName, Strng};
use serde::{Deserialize, Serialize};

/// A place that runs workloads, by the name that its token gives: for Kubernetes, the node's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(Strng);

/// Who opens a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Random, made at the agent's start: tells a reconnect from a second agent.
    pub instance: String,
    /// The agent's version, for people.
    pub version: String,
}

/// A workload that belongs on a place, and how it is to be treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// Which.
    pub workload: NamespacedName,
    /// The service account that it runs as, in its namespace.
    pub service_account: Strng,
    /// Whether it is to be in the mesh.
    pub membership: Membership,
    /// How it is to be captured.
    pub options: Options,
}

/// Whether a workload is to be in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Membership {
    /// Not in the mesh.
    Outside,
    /// To be enrolled.
    Member,
}

/// How a workload's traffic is captured (annotations of its pod).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Options {
    /// `ambient.istio.io/bypass-inbound-capture`.
    pub bypass_inbound_capture: bool,
    /// `ambient.istio.io/dns-capture`; `None` means the agent's default.
    pub dns_capture: Option<bool>,
    /// `istio.io/reroute-virtual-interfaces`.
    pub reroute_virtual_interfaces: Vec<String>,
}

/// What is true of a workload now, as its place sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which.
    pub workload: NamespacedName,
    /// Kubernetes' pod uid, or the sandbox id where there is none.
    pub uid: String,
    /// Its addresses; the first is the one that it is known by.
    pub addresses: Vec<IpAddr>,
    /// Whether its traffic passes the node proxy.
    pub redirection: Redirection,
    /// Whether its network is complete, as far as the place knows. Whether its program serves is for probes to say.
    #[serde(alias = "ready")]
    pub network_ready: bool,
}

/// Whether a workload's traffic passes the node proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Redirection {
    /// It does not.
    Plain,
    /// Rules or proxy are not ready yet.
    Pending,
    /// It does.
    Enabled,
}

/// A workload is gone (CNI DEL): its addresses are free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Which.
    pub workload: NamespacedName,
    /// Only the instance with this uid, so that a late DEL cannot take away its successor.
    pub uid: String,
}

/// What became of a report or withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, and published to every proxy's stream.
    Accepted,
    /// There is no such workload on this place: wait for its assignment.
    NotAssigned,
    /// A field is malformed, or an address may not be claimed by this place; the text names it.
    Invalid(String),
    /// Try again; the text says why.
    Unavailable(String),
}

impl Place {
    /// A place by its name.
    #[must_use]
    pub fn new(name: impl Into<Strng>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
