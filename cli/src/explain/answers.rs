//! What ztunnel and a waypoint answer (`/explain`), as far as it is read. Pure.

use std::net::{IpAddr, SocketAddr};

use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::Value;

use super::network::{End, Flow};

/// What ztunnel answered, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub(super) client: String,
    /// Who the client proves to be; empty for one outside of the mesh.
    pub identity: String,
    /// The client's address, by which policies may go; older proxies say nothing of it.
    #[serde(default)]
    pub client_address: Option<IpAddr>,
    pub(super) to: String,
    /// Older proxies say nothing of it.
    #[serde(default = "inside")]
    pub(super) client_in_mesh: bool,
    #[serde(flatten)]
    pub(super) leg: Leg,
}

/// A part of the way: to the destination, or to its waypoint and from there.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leg {
    pub(super) goes: Goes,
    #[serde(default)]
    pub(super) address: String,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    pub(super) service: Option<String>,
    #[serde(default)]
    pub(super) workload: Option<String>,
    #[serde(default)]
    pub(super) waypoint: bool,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    behind: Option<Box<Self>>,
    #[serde(default)]
    pub(super) past: Option<String>,
    #[serde(default)]
    pub(super) unready: Option<String>,
    #[serde(default)]
    pub(super) policies: Option<Policies>,
    #[serde(default)]
    pub(super) authority: String,
    #[serde(default)]
    pub(super) expected: Vec<String>,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) host: String,
}

/// What is done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Goes {
    Passthrough,
    Plain,
    Tunnel,
    NeedsName,
    Refused,
}

fn inside() -> bool {
    true
}

/// A workload that a policy of the mesh keeps a connection from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy, as proxies are told it: `<namespace>/<name>`.
    pub policy: String,
    /// The client, where it is a workload: `<namespace>/<name>`.
    pub client: Option<ObjectName>,
    /// The workload.
    pub workload: ObjectName,
    /// Its port.
    pub port: u16,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Policies {
    pub(super) allowed: bool,
    #[serde(default)]
    pub(super) by: Option<String>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// What a waypoint answered, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Waypoint {
    pub(super) allowed: bool,
    #[serde(default)]
    pub(super) policy: Option<String>,
    /// The path that is compared; absent where it was about a connection.
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) route: Option<String>,
    /// The status with which it answers itself.
    #[serde(default)]
    pub(super) answer: Option<u16>,
    #[serde(default)]
    pub(super) asks: Vec<String>,
}

impl Connection {
    /// Reads ztunnel's answer.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(page)
    }

    /// Whether a waypoint decides about the rest.
    #[must_use]
    pub fn meets_waypoint(&self) -> bool {
        self.leg.waypoint
    }

    /// The proxy of the waypoint that decides, where that is a Pod.
    #[must_use]
    pub fn waypoint(&self) -> Option<ObjectName> {
        pod(self.leg.workload.as_deref().filter(|_| self.leg.waypoint)?)
    }

    /// The service that the waypoint is found by, `<namespace>/<host>`.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        self.leg.gateway.as_deref()
    }

    /// The service that was asked for, `<namespace>/<host>`.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.leg.service.as_deref()
    }

    /// The Pod that it ends at, where that is one.
    #[must_use]
    pub fn destination(&self) -> Option<ObjectName> {
        let last = self.leg.last();
        pod(last.workload.as_deref().filter(|_| !last.waypoint)?)
    }

    /// What the network sees of it: from the client, and from the waypoint.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        let client = End {
            address: self.client_address.or_else(|| self.client.parse().ok()),
            pod: pod(&self.client),
        };
        let first = self.leg.flow(client, &self.to);
        let behind = self.leg.behind.as_deref().zip(first.as_ref());
        let second = behind.and_then(|(leg, first)| leg.flow(first.to.clone(), ""));
        first.into_iter().chain(second).collect()
    }

    /// What the tunnel is asked for.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.leg.authority
    }

    /// What refuses it at the destination's own proxy, where one policy does.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        let leg = self.leg.last();
        let policies = leg.policies.as_ref().filter(|policies| !policies.allowed)?;
        let (_, port) = leg.destination.as_deref()?.rsplit_once(':')?;
        Some(Denial {
            policy: policies.policy.clone()?,
            client: named(&self.client),
            workload: named(leg.workload.as_deref()?)?,
            port: port.parse().ok()?,
        })
    }
}

impl Leg {
    /// What the network sees of it; nothing where nothing is dialled. `original`: what the application dials.
    fn flow(&self, from: End, original: &str) -> Option<Flow> {
        let dialled = match self.goes {
            Goes::Tunnel | Goes::Plain => &self.address,
            Goes::Passthrough => original,
            Goes::NeedsName | Goes::Refused => return None,
        };
        let dialled: SocketAddr = dialled.parse().ok()?;
        let to = End {
            address: Some(dialled.ip()),
            pod: self.workload.as_deref().and_then(pod),
        };
        Some(Flow {
            from,
            to,
            port: dialled.port(),
        })
    }

    /// What comes last: that to the destination.
    pub(super) fn last(&self) -> &Self {
        self.behind.as_deref().unwrap_or(self)
    }
}

/// The name in a workload's uid: `Kubernetes//Pod/shop/cart-1`.
fn named(uid: &str) -> Option<ObjectName> {
    let mut parts = uid.rsplit('/');
    let (name, namespace) = (parts.next()?, parts.next()?);
    Some(ObjectName::new(namespace, name))
}

/// The same, of a Pod only.
fn pod(uid: &str) -> Option<ObjectName> {
    let kind = uid.rsplit('/').nth(2)?;
    named(uid).filter(|_| kind == "Pod")
}
