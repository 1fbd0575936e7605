//! A backend on the wire: `lateen.l7.v1.Backend`.

use std::net::SocketAddr;

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;
use mesh_types::address::canonical;

use super::{Backend, Location};
use crate::gateway::{decode_ip, encode_ip};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind};
use crate::l7::wire::{Resource, Wire, check, decode_resource, encode_resource, list, required, strings};

impl Backend {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        decode_resource(name, body)
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_resource(self)
    }
}

impl Resource for Backend {
    const KIND: ResourceKind = ResourceKind::Backend;

    fn own_name(&self) -> Strng {
        self.name.clone()
    }
}

impl Wire for Backend {
    type Message = pb::Backend;

    fn from_wire(m: &pb::Backend) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::text(&m.name).field("name")?,
            object: required("object", m.object.as_ref())?,
            location: location(m)?,
        })
    }

    fn to_wire(&self) -> pb::Backend {
        use pb::backend::Location as Message;
        let location = match &self.location {
            Location::Static(addresses) => Message::Static(pb::StaticLocation {
                addresses: addresses.iter().map(Wire::to_wire).collect(),
            }),
            Location::Dns { host, port } => Message::Dns(pb::DnsLocation {
                host: host.to_string(),
                port: (*port).into(),
            }),
            Location::Dynamic { suffixes, port } => Message::Dynamic(pb::DynamicLocation {
                suffixes: strings(suffixes),
                port: (*port).into(),
            }),
        };
        pb::Backend {
            name: self.name.to_string(),
            object: Some(self.object.to_wire()),
            location: Some(location),
        }
    }
}

fn location(m: &pb::Backend) -> Result<Location, FieldProblem> {
    use pb::backend::Location as Message;
    match m.location.as_ref().ok_or(Problem::Missing).field("location")? {
        Message::Static(m) => list("addresses", &m.addresses)
            .map(Location::Static)
            .field("static"),
        Message::Dns(m) => Ok(Location::Dns {
            host: check::host(&m.host).field("dns.host")?,
            port: check::port(m.port).field("dns.port")?,
        }),
        Message::Dynamic(m) => dynamic(m).field("dynamic"),
    }
}

fn dynamic(m: &pb::DynamicLocation) -> Result<Location, FieldProblem> {
    let suffixes = check::each("suffixes", &m.suffixes, suffix)?;
    Ok(Location::Dynamic {
        suffixes: check::some("suffixes", suffixes)?,
        port: check::port(m.port).field("port")?,
    })
}

/// Without its dot, `example.com` would let `evil-example.com` in.
fn suffix(value: &str) -> Result<Strng, Problem> {
    let host = value.strip_prefix('.').map(check::host);
    match host {
        Some(Ok(_)) => Ok(value.into()),
        _ => Err(Problem::Host(value.to_owned())),
    }
}

impl Wire for SocketAddr {
    type Message = pb::SocketAddress;

    fn from_wire(m: &pb::SocketAddress) -> Result<Self, FieldProblem> {
        let ip = decode_ip(&m.address).field("address")?;
        Ok(Self::new(ip, check::port(m.port).field("port")?))
    }

    fn to_wire(&self) -> pb::SocketAddress {
        pb::SocketAddress {
            address: encode_ip(canonical(self.ip())),
            port: self.port().into(),
        }
    }
}
