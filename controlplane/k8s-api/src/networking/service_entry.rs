//! ServiceEntry: a service that Kubernetes does not know of (Istio reference, "Service Entry").

use mesh_types::Strng;
use serde::Deserialize;

use super::{WorkloadEntrySpec, WorkloadSelector};
use crate::object::Resource;

/// A service that Kubernetes does not know of; every host of it is one.
pub type ServiceEntry = Resource<ServiceEntrySpec, ServiceEntryStatus>;

/// What a [`ServiceEntry`] is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntrySpec {
    /// Host names; `*.example.com` stands for all below it.
    pub hosts: Vec<Strng>,
    /// Virtual addresses, single ones or ranges.
    pub addresses: Vec<Strng>,
    /// Ports.
    pub ports: Vec<ServiceEntryPort>,
    /// Whether its endpoints belong to the mesh.
    pub location: Location,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Its endpoints; excludes a selector.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// The Pods and WorkloadEntries of the same namespace that are its endpoints; excludes endpoints.
    pub workload_selector: Option<WorkloadSelector>,
    /// The namespaces that see it: `*`, `.` or a name. Without effect in ambient mode.
    pub export_to: Vec<Strng>,
    /// The identities that its endpoints may have; empty leaves them unchecked.
    pub subject_alt_names: Vec<Strng>,
}

/// One port of a [`ServiceEntry`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntryPort {
    /// The number.
    pub number: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: PortProtocol,
    /// The name, unique among its ports.
    pub name: Strng,
    /// The endpoints' port; the same number where absent.
    #[serde(default)]
    pub target_port: Option<u16>,
}

/// A port's protocol, as Istio names it; in any case of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Strng")]
pub enum PortProtocol {
    /// Not given: found out from the client's first bytes.
    #[default]
    Unset,
    /// HTTP/1.1, or HTTP/2 by upgrade.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS with HTTP inside.
    Https,
    /// gRPC.
    Grpc,
    /// gRPC-web.
    GrpcWeb,
    /// TLS.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
    /// MongoDB's protocol.
    Mongo,
    /// Redis' protocol.
    Redis,
    /// MySQL's protocol.
    MySql,
}

/// Whether endpoints belong to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum Location {
    /// They do not, and mutual TLS is not expected of them.
    #[default]
    #[serde(rename = "MESH_EXTERNAL")]
    External,
    /// They do.
    #[serde(rename = "MESH_INTERNAL")]
    Internal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum Resolution {
    /// Not at all: the connection goes to the address that the client asked for.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// The endpoints' addresses are given.
    #[serde(rename = "STATIC")]
    Static,
    /// By DNS, all addresses of an answer.
    #[serde(rename = "DNS")]
    Dns,
    /// By DNS, the answer's first address for each new connection.
    #[serde(rename = "DNS_ROUND_ROBIN")]
    DnsRoundRobin,
    /// By DNS, the host that each request names; for wildcard hosts.
    #[serde(rename = "DYNAMIC_DNS")]
    DynamicDns,
}

/// What was found out about a [`ServiceEntry`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServiceEntryStatus {
    /// Virtual addresses that were given to its hosts, where it names none itself.
    pub addresses: Vec<AllocatedAddress>,
}

/// A virtual address that was given to a host.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllocatedAddress {
    /// The address.
    pub value: Strng,
    /// The host.
    pub host: Strng,
}

// === impl PortProtocol ===

impl PortProtocol {
    /// Whether it is HTTP, and not hidden in TLS.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether it begins with a TLS handshake.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Whether nothing in it names a host: not HTTP, not TLS.
    #[must_use]
    pub fn is_opaque(self) -> bool {
        matches!(self, Self::Tcp | Self::Mongo | Self::Redis | Self::MySql)
    }

    /// The protocol as Istio writes it; empty when it is not given.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(p, _)| *p == self)
            .map_or("", |(_, name)| name)
    }
}

impl TryFrom<Strng> for PortProtocol {
    type Error = String;

    fn try_from(text: Strng) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Unset);
        }
        let known = PROTOCOLS
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(&text));
        known.map(|(protocol, _)| *protocol).ok_or_else(|| {
            let names: Vec<&str> = PROTOCOLS.iter().map(|(_, name)| *name).collect();
            format!("{:?} is not known, only {}", text.as_str(), names.join(", "))
        })
    }
}

/// Istio documentation, "Protocol Selection".
const PROTOCOLS: [(PortProtocol, &str); 11] = [
    (PortProtocol::Http, "HTTP"),
    (PortProtocol::Http2, "HTTP2"),
    (PortProtocol::Https, "HTTPS"),
    (PortProtocol::Grpc, "GRPC"),
    (PortProtocol::GrpcWeb, "GRPC-WEB"),
    (PortProtocol::Tls, "TLS"),
    (PortProtocol::Tcp, "TCP"),
    (PortProtocol::Udp, "UDP"),
    (PortProtocol::Mongo, "MONGO"),
    (PortProtocol::Redis, "REDIS"),
    (PortProtocol::MySql, "MYSQL"),
];
