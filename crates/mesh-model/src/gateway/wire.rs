//! Gateways and addresses on the wire: `istio.workload.GatewayAddress`, `NetworkAddress`.

use std::net::IpAddr;

use bytes::Bytes;
use mesh_proto::istio::workload as pb;
use mesh_proto::istio::workload::gateway_address::Destination;
use mesh_types::{NamespacedHostname, NetworkAddress, address::canonical};

use super::{GatewayDestination, GatewayRef};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::port::decode_port_number;

pub(crate) fn decode_gateway(gateway: &pb::GatewayAddress) -> Result<GatewayRef, FieldProblem> {
    let destination = match &gateway.destination {
        None => return Err(Problem::Missing).field("destination"),
        Some(Destination::Hostname(name)) if name.hostname.is_empty() => {
            return Err(Problem::Empty).field("hostname");
        }
        Some(Destination::Hostname(name)) => GatewayDestination::Hostname(NamespacedHostname::new(
            name.namespace.as_str(),
            name.hostname.as_str(),
        )),
        Some(Destination::Address(address)) => {
            GatewayDestination::Address(decode_network_address(address).field("address")?)
        }
    };
    let hbone_port = match decode_port_number(gateway.hbone_mtls_port) {
        Ok(0) => Err(Problem::Port(0)),
        other => other,
    };
    Ok(GatewayRef {
        destination,
        hbone_port: hbone_port.field("hbone_mtls_port")?,
        fail_open: gateway.lateen_fail_open,
    })
}

pub(crate) fn encode_gateway(gateway: &GatewayRef) -> pb::GatewayAddress {
    let destination = match &gateway.destination {
        GatewayDestination::Hostname(name) => Destination::Hostname(pb::NamespacedHostname {
            namespace: name.namespace.to_string(),
            hostname: name.hostname.to_string(),
        }),
        GatewayDestination::Address(address) => Destination::Address(pb::NetworkAddress {
            network: address.network.to_string(),
            address: encode_ip(address.address),
            length: None,
        }),
    };
    pb::GatewayAddress {
        hbone_mtls_port: gateway.hbone_port.into(),
        lateen_fail_open: gateway.fail_open,
        destination: Some(destination),
    }
}

/// A single address within a network; a range that holds just one is one.
pub(crate) fn decode_network_address(address: &pb::NetworkAddress) -> Result<NetworkAddress, FieldProblem> {
    let full_length = address.address.len() as u32 * 8;
    let ip = decode_ip(&address.address).field("address")?;
    if address.length.is_some_and(|length| length != full_length) {
        return Err(Problem::Range).field("length");
    }
    Ok(NetworkAddress::new(address.network.as_str(), ip))
}

/// An address in network byte order; an IPv4-mapped IPv6 address becomes the IPv4 one.
pub(crate) fn decode_ip(bytes: &[u8]) -> Result<IpAddr, Problem> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes)
        .map(|v6| canonical(IpAddr::from(v6)))
        .map_err(|_| Problem::AddressLength(bytes.len()))
}

pub(crate) fn encode_ip(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}
