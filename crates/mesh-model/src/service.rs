//! A service: a host name and virtual addresses in front of workloads.

mod wire;

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_types::{NamespacedHostname, NetworkAddress, Strng, address::canonical};

use crate::{GatewayRef, Ports};

/// A group of workloads behind one host name and, possibly, virtual addresses (`istio.workload.Service`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its key: the namespace of the object, and the full host name.
    pub hostname: NamespacedHostname,
    /// The name of the object.
    pub name: Strng,
    /// Its virtual addresses, in the order of the wire; none for a headless Service.
    pub addresses: Vec<VirtualAddress>,
    /// Its ports.
    pub ports: Ports,
    /// Identities that its endpoints may present beside their own: SPIFFE ids, not necessarily of the mesh's form.
    pub subject_alt_names: Vec<Strng>,
    /// The waypoint in front of it.
    pub waypoint: Option<GatewayRef>,
    /// Waypoints among which connections are shared out; where there are any, [`Self::waypoint`] is the fallback.
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    /// How an endpoint is picked.
    pub load_balancing: LoadBalancing,
    /// Which of its endpoints' addresses may be used.
    pub ip_families: IpFamilies,
    /// Of several namespaces' services with this host name or address, this one answers to other namespaces.
    pub canonical: bool,
    /// Gateways for traffic from outside send it through the waypoint too.
    pub ingress_use_waypoint: bool,
    /// Who may know of it.
    pub visibility: Visibility,
}

/// Where a service is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VirtualAddress {
    /// At one address.
    Single(NetworkAddress),
    /// At every address of a range; made by [`VirtualAddress::range`].
    Range(NetworkRange),
}

/// A range of addresses in a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkRange {
    network: Strng,
    range: IpNet,
}

/// A waypoint and its share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightedWaypoint {
    /// The waypoint.
    pub gateway: GatewayRef,
    /// Its share, relative to the others'; 0 for none.
    pub weight: u32,
}

/// How an endpoint is picked (`istio.workload.LoadBalancing`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoadBalancing {
    /// What an endpoint is to share with the client, the most important first.
    pub preference: Vec<Scope>,
    /// What becomes of endpoints that do not.
    pub mode: Mode,
    /// Whether health matters.
    pub health: HealthPolicy,
}

/// Something that a client and an endpoint may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The region.
    Region,
    /// The zone.
    Zone,
    /// The part of the zone.
    Subzone,
    /// The node.
    Node,
    /// The cluster.
    Cluster,
    /// The network.
    Network,
}

/// What the scopes of a [`LoadBalancing`] mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing: every endpoint is as good.
    #[default]
    Any,
    /// Only endpoints that share all of them are taken.
    Strict,
    /// Those that share the longest prefix of them are taken.
    Failover,
    /// No endpoint is picked: the connection goes where it wanted to.
    Passthrough,
}

/// Whether the health of an endpoint matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HealthPolicy {
    /// Only healthy endpoints are taken.
    #[default]
    OnlyHealthy,
    /// Any endpoint is (`publishNotReadyAddresses`).
    AllowAll,
}

/// Which addresses of its endpoints a service uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpFamilies {
    /// Whatever there is.
    #[default]
    Automatic,
    /// IPv4 ones.
    V4Only,
    /// IPv6 ones.
    V6Only,
    /// Both.
    Dual,
}

/// Who may know of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Clients in its own namespace.
    Namespace,
}

// === impl Service ===

impl Service {
    /// A service with nothing but its names.
    #[must_use]
    pub fn new(hostname: NamespacedHostname, name: impl Into<Strng>) -> Self {
        Self {
            hostname,
            name: name.into(),
            addresses: Vec::new(),
            ports: Ports::default(),
            subject_alt_names: Vec::new(),
            waypoint: None,
            weighted_waypoints: Vec::new(),
            load_balancing: LoadBalancing::default(),
            ip_families: IpFamilies::default(),
            canonical: false,
            ingress_use_waypoint: false,
            visibility: Visibility::default(),
        }
    }

    /// The namespace of the object.
    #[must_use]
    pub fn namespace(&self) -> &Strng {
        &self.hostname.namespace
    }

    /// Whether a client in this namespace may know of the service.
    #[must_use]
    pub fn visible_to(&self, client_namespace: &str) -> bool {
        match self.visibility {
            Visibility::Public => true,
            Visibility::Namespace => self.hostname.namespace == *client_namespace,
        }
    }
}

// === impl VirtualAddress, NetworkRange ===

impl VirtualAddress {
    /// A single address.
    #[must_use]
    pub fn single(network: impl Into<Strng>, address: IpAddr) -> Self {
        Self::Single(NetworkAddress::new(network, address))
    }

    /// A range; bits beyond the prefix are cleared, and a range of one address is that address.
    #[must_use]
    pub fn range(network: impl Into<Strng>, range: IpNet) -> Self {
        if range.prefix_len() == range.max_prefix_len() {
            return Self::single(network, range.addr());
        }
        Self::Range(NetworkRange {
            network: network.into(),
            range: range.trunc(),
        })
    }
}

impl NetworkRange {
    /// The network.
    #[must_use]
    pub fn network(&self) -> &Strng {
        &self.network
    }

    /// The range, with no bits beyond the prefix; never just one address.
    #[must_use]
    pub fn range(&self) -> IpNet {
        self.range
    }
}

impl std::fmt::Display for NetworkRange {
    /// The alias that xDS uses: `<network>/<ip>/<length>`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.range)
    }
}

// === impl IpFamilies ===

impl IpFamilies {
    /// Whether an endpoint's address may be used.
    #[must_use]
    pub fn accept(self, ip: IpAddr) -> bool {
        match self {
            Self::Automatic | Self::Dual => true,
            Self::V4Only => canonical(ip).is_ipv4(),
            Self::V6Only => canonical(ip).is_ipv6(),
        }
    }
}

#[cfg(test)]
mod tests;
