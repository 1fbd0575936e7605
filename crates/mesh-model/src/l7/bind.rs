//! A port that a gateway listens on, and what it speaks there.

mod wire;

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_types::{NamespacedName, Strng};

use super::{ServicePort, tls::TlsTermination};
use crate::AppProtocol;

/// A listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The Gateway.
    pub gateway: NamespacedName,
    /// The listener's name in it.
    pub listener: Strng,
    /// The port; never 0.
    pub port: u16,
    /// What comes in.
    pub protocol: BindProtocol,
}

/// What comes in on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindProtocol {
    /// Tunnels from the mesh (port 15008): each says for which service or workload it is.
    Hbone {
        /// What may be addressed (`istio.io/waypoint-for`).
        serves: Serves,
    },
    /// Bytes behind a PROXY protocol header, version 2, from the node's proxy: destination, and in TLV 0xD0 the client's identity.
    Proxy {
        /// What may be addressed.
        serves: Serves,
        /// Whose headers are believed.
        trust: ProxyTrust,
    },
    /// Bytes as they are.
    Plain(Frontend),
    /// TLS.
    Tls(TlsTermination, Frontend),
}

/// Whose PROXY protocol headers are believed: they say who is there, so that whoever may write them can be anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTrust {
    /// The node's proxy, which hands tunnels on within the network namespace of the pod: addresses and identities.
    pub node: bool,
    /// Others, such as load balancers: addresses only.
    pub addresses_from: Vec<IpNet>,
}

/// What is believed of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believed {
    /// All of it.
    Identity,
    /// Where a connection comes from and goes to.
    Addresses,
    /// Nothing.
    Nothing,
}

/// What may be addressed through a waypoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serves {
    /// Services.
    #[default]
    Services,
    /// Workloads.
    Workloads,
    /// Both.
    All,
    /// Neither.
    Nothing,
}

/// What a port serves whose connections do not say for whom they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// One service, as if each connection had asked for it.
    Service(ServicePort),
    /// The routes whose parent is the listener.
    Routes {
        /// Only requests for these hosts, `*.` in front of one for all below; all requests if there are none.
        hostnames: Vec<Strng>,
        /// What its connections speak.
        protocol: AppProtocol,
    },
}

impl Serves {
    /// Whether a service may be addressed.
    #[must_use]
    pub fn services(self) -> bool {
        matches!(self, Self::Services | Self::All)
    }

    /// Whether a workload may be addressed.
    #[must_use]
    pub fn workloads(self) -> bool {
        matches!(self, Self::Workloads | Self::All)
    }
}

impl ProxyTrust {
    /// What is believed of somebody who connected from `peer` to `local`.
    ///
    /// From inside of a network namespace, its own addresses are the only ones that connect to it without being told
    /// otherwise, and no packet from outside can bear one of them (Linux drops such as martians).
    #[must_use]
    pub fn believes(&self, peer: IpAddr, local: IpAddr) -> Believed {
        let (peer, local) = (peer.to_canonical(), local.to_canonical());
        if self.node && (peer == local || peer.is_loopback()) {
            return Believed::Identity;
        }
        match self.addresses_from.iter().any(|range| range.contains(&peer)) {
            true => Believed::Addresses,
            false => Believed::Nothing,
        }
    }
}

impl Bind {
    /// Its key: `<namespace>/<gateway>/<listener>`.
    #[must_use]
    pub fn key(&self) -> Strng {
        format!("{}/{}", self.gateway, self.listener).into()
    }
}

#[cfg(test)]
mod tests;
