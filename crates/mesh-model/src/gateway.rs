//! References to gateways: waypoints, and the gateways of other networks.

mod wire;

use mesh_types::{NamespacedHostname, NetworkAddress};

pub(crate) use wire::{decode_gateway, decode_ip, encode_gateway, encode_ip};

/// Where a gateway is found, and on which port it speaks HBONE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayRef {
    /// Where it is found.
    pub destination: GatewayDestination,
    /// The port on which it speaks HBONE; never 0.
    pub hbone_port: u16,
}

/// The two ways to name a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GatewayDestination {
    /// A service's host name.
    Hostname(NamespacedHostname),
    /// An address: a service's virtual one, or a workload's.
    Address(NetworkAddress),
}
