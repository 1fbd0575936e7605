//! References to gateways: waypoints, and the gateways of other networks.

mod wire;

use std::fmt;

use mesh_types::{NamespacedHostname, NetworkAddress};

pub(crate) use wire::{decode_gateway, decode_ip, encode_gateway, encode_ip};

/// Where a gateway is found, and on which port it speaks HBONE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayRef {
    /// Where it is found.
    pub destination: GatewayDestination,
    /// The port on which it speaks HBONE; never 0.
    pub hbone_port: u16,
    /// Of a waypoint: where it is missing or has no endpoint that is ready, what it guards is reached without it, and so
    /// without its policies. Otherwise it is then not reached at all.
    pub fail_open: bool,
}

/// The two ways to name a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GatewayDestination {
    /// A service's host name.
    Hostname(NamespacedHostname),
    /// An address: a service's virtual one, or a workload's.
    Address(NetworkAddress),
}

impl GatewayRef {
    /// A gateway that is not gone past where it is missing.
    #[must_use]
    pub fn new(destination: GatewayDestination, hbone_port: u16) -> Self {
        Self {
            destination,
            hbone_port,
            fail_open: false,
        }
    }
}

impl fmt::Display for GatewayDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostname(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}
