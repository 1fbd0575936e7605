//! Service and EndpointSlice, as far as a mesh needs them (Kubernetes API reference, "core/v1", "discovery/v1").

use std::fmt;

use mesh_types::Strng;
use serde::Deserialize;
use serde::de::{Deserializer, Unexpected, Visitor};

use crate::core::Protocol;
use crate::object::{Labels, Metadata};

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Service {
    /// Metadata.
    pub metadata: Metadata,
    /// What it is to be.
    pub spec: ServiceSpec,
    /// What became of it.
    pub status: ServiceStatus,
}

/// What became of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// What a load balancer gave it.
    pub load_balancer: LoadBalancerStatus,
}

/// What a load balancer gave a Service.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Where it is found from outside; empty until there is something.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// Where a load balancer is found: at an address, by a host name, or both.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerIngress {
    /// The address.
    pub ip: Strng,
    /// The host name.
    pub hostname: Strng,
}

/// What a Service is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// The type.
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// The first virtual address; `None` for a headless Service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<Strng>,
    /// All virtual addresses.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<Strng>,
    /// Address families.
    pub ip_families: Vec<IpFamily>,
    /// Labels of the Pods behind it; empty when somebody else keeps its EndpointSlices.
    pub selector: Labels,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Whether callers are kept on their node.
    pub internal_traffic_policy: Option<InternalTrafficPolicy>,
    /// `PreferClose`, `PreferSameZone` or `PreferSameNode`; others are without effect.
    pub traffic_distribution: Option<Strng>,
    /// Whether endpoints that are not ready are used too.
    pub publish_not_ready_addresses: bool,
}

/// A Service's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum ServiceType {
    /// Virtual addresses inside the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Also a port on every node.
    NodePort,
    /// Also an address outside.
    LoadBalancer,
    /// A DNS alias, without endpoints.
    ExternalName,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum IpFamily {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

/// Whether callers are kept on their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum InternalTrafficPolicy {
    /// Any endpoint.
    Cluster,
    /// Only endpoints on the caller's node.
    Local,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// The name; may be empty when it is the only port.
    #[serde(default)]
    pub name: Strng,
    /// The number.
    pub port: u16,
    /// The endpoints' port; the same number where absent.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// The protocol above the transport.
    #[serde(default)]
    pub app_protocol: Option<Strng>,
    /// The transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A port of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// The number.
    Number(u16),
    /// The name of a container's port.
    Name(Strng),
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: Metadata,
    /// What it holds.
    pub spec: EndpointSliceSpec,
}

/// What an EndpointSlice holds; in the object these fields stand beside `metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSliceSpec {
    /// What its addresses are.
    pub address_type: AddressType,
    /// Endpoints.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Ports, the same for every endpoint.
    #[serde(default)]
    pub ports: Vec<EndpointPort>,
}

/// What an EndpointSlice's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AddressType {
    /// IPv4 addresses.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6 addresses.
    #[serde(rename = "IPv6")]
    V6,
    /// Host names.
    #[serde(rename = "FQDN")]
    Fqdn,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses, all of the same thing.
    pub addresses: Vec<Strng>,
    /// Its conditions.
    #[serde(default)]
    pub conditions: EndpointConditions,
    /// The object behind it.
    #[serde(default)]
    pub target_ref: Option<EndpointTarget>,
}

/// An endpoint's conditions.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Absent means ready.
    pub ready: Option<bool>,
}

/// The object behind an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointTarget {
    /// The kind.
    pub kind: Strng,
    /// The namespace.
    pub namespace: Strng,
    /// The name.
    pub name: Strng,
    /// The uid of that very instance.
    pub uid: Option<Strng>,
}

/// One port of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The name of the Service's port.
    pub name: Strng,
    /// The number.
    pub port: Option<u16>,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// The label that ties an EndpointSlice to its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

impl<'de> Deserialize<'de> for TargetPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetPortVisitor)
    }
}

struct TargetPortVisitor;

impl Visitor<'_> for TargetPortVisitor {
    type Value = TargetPort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number or the name of a container's port")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<TargetPort, E> {
        u16::try_from(number)
            .map(TargetPort::Number)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    /// A number in quotes is a number to Kubernetes as well (`intstr.Parse`).
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TargetPort, E> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text
                .parse()
                .map(TargetPort::Number)
                .map_err(|_| E::invalid_value(Unexpected::Str(text), &self));
        }
        Ok(TargetPort::Name(text.into()))
    }
}
