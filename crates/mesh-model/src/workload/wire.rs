//! A workload on the wire: `istio.workload.Workload`.

use std::collections::BTreeMap;

use mesh_proto::google::protobuf::UInt32Value;
use mesh_proto::istio::workload as pb;
use mesh_types::{
    Identity, InvalidIdentity, NamespacedHostname, NamespacedName, Strng, TrustDomain, WorkloadUid,
};

use super::{
    ApplicationTunnel, ApplicationTunnelProtocol, HealthStatus, Locality, NetworkMode, TunnelProtocol,
    Workload, WorkloadType,
};
use crate::gateway::{decode_gateway, decode_ip, encode_gateway, encode_ip};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind, items};
use crate::port::{Ports, decode_port_number, decode_ports, encode_ports};

impl TryFrom<pb::Workload> for Workload {
    type Error = InvalidResource;

    fn try_from(workload: pb::Workload) -> Result<Self, Self::Error> {
        decode(&workload).map_err(|e| e.of(ResourceKind::Workload, workload.uid))
    }
}

impl From<&Workload> for pb::Workload {
    /// Canonical: what has its default value is absent.
    fn from(workload: &Workload) -> Self {
        encode(workload)
    }
}

fn decode(workload: &pb::Workload) -> Result<Workload, FieldProblem> {
    if workload.uid.is_empty() {
        return Err(Problem::Empty).field("uid");
    }
    let gateway = |gateway: &Option<pb::GatewayAddress>| gateway.as_ref().map(decode_gateway).transpose();
    Ok(Workload {
        uid: WorkloadUid::new(workload.uid.as_str()),
        name: text(&workload.name),
        identity: decode_identity(workload)?,
        account_implied: workload.service_account.is_empty(),
        addresses: items("addresses", &workload.addresses, |a| decode_ip(a))?,
        network: text(&workload.network),
        hostname: text(&workload.hostname),
        tunnel_protocol: decode_tunnel(workload.tunnel_protocol).field("tunnel_protocol")?,
        network_mode: decode_network_mode(workload.network_mode).field("network_mode")?,
        status: decode_status(workload.status).field("status")?,
        waypoint: gateway(&workload.waypoint).field("waypoint")?,
        network_gateway: gateway(&workload.network_gateway).field("network_gateway")?,
        native_tunnel: workload.native_tunnel,
        application_tunnel: workload
            .application_tunnel
            .as_ref()
            .map(decode_application_tunnel)
            .transpose()
            .field("application_tunnel")?,
        node: text(&workload.node),
        cluster_id: text(&workload.cluster_id),
        locality: decode_locality(workload.locality.as_ref()),
        canonical_name: text(&workload.canonical_name),
        canonical_revision: text(&workload.canonical_revision),
        workload_type: decode_type(workload.workload_type),
        workload_name: text(&workload.workload_name),
        authorization_policies: items(
            "authorization_policies",
            &workload.authorization_policies,
            |name| decode_policy_name(name),
        )?,
        services: decode_services(&workload.services).field("services")?,
        capacity: workload.capacity.map_or(1, |c| c.value),
    })
}

fn encode(workload: &Workload) -> pb::Workload {
    let default_domain = workload.identity.trust_domain() == &TrustDomain::default();
    let implied = workload.account_implied && workload.identity.service_account() == DEFAULT_ACCOUNT;
    let text_unless = |absent: bool, value: &str| if absent { String::new() } else { value.to_owned() };
    pb::Workload {
        name: workload.name.to_string(),
        namespace: workload.namespace().to_string(),
        addresses: workload.addresses.iter().map(|ip| encode_ip(*ip)).collect(),
        network: workload.network.to_string(),
        tunnel_protocol: encode_tunnel(workload.tunnel_protocol).into(),
        trust_domain: text_unless(default_domain, workload.identity.trust_domain().as_str()),
        service_account: text_unless(implied, workload.identity.service_account()),
        waypoint: workload.waypoint.as_ref().map(encode_gateway),
        node: workload.node.to_string(),
        canonical_name: workload.canonical_name.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: encode_type(workload.workload_type).into(),
        workload_name: workload.workload_name.to_string(),
        native_tunnel: workload.native_tunnel,
        authorization_policies: workload
            .authorization_policies
            .iter()
            .map(ToString::to_string)
            .collect(),
        status: encode_status(workload.status).into(),
        cluster_id: workload.cluster_id.to_string(),
        network_gateway: workload.network_gateway.as_ref().map(encode_gateway),
        uid: workload.uid.to_string(),
        hostname: workload.hostname.to_string(),
        services: encode_services(&workload.services),
        application_tunnel: workload.application_tunnel.map(encode_application_tunnel),
        locality: encode_locality(&workload.locality),
        network_mode: encode_network_mode(workload.network_mode).into(),
        extensions: Vec::new(),
        capacity: (workload.capacity != 1).then_some(UInt32Value {
            value: workload.capacity,
        }),
    }
}

fn text(value: &str) -> Strng {
    Strng::from(value)
}

/// Both parts have defaults (`istio.workload`): the trust domain `cluster.local`, the account `default`.
fn decode_identity(workload: &pb::Workload) -> Result<Identity, FieldProblem> {
    let trust_domain = match workload.trust_domain.as_str() {
        "" => TrustDomain::default(),
        domain => domain.parse().map_err(Problem::Identity).field("trust_domain")?,
    };
    if workload.namespace.is_empty() {
        return Err(Problem::Empty).field("namespace");
    }
    let account = match workload.service_account.as_str() {
        "" => DEFAULT_ACCOUNT,
        account => account,
    };
    Identity::new(trust_domain, workload.namespace.as_str(), account).map_err(|e| {
        let of_namespace = matches!(&e, InvalidIdentity::Part { part } if *part == workload.namespace);
        let field = if of_namespace {
            "namespace"
        } else {
            "service_account"
        };
        FieldProblem::from(Problem::Identity(e)).under(field)
    })
}

fn decode_policy_name(name: &str) -> Result<NamespacedName, Problem> {
    name.parse().map_err(|_| Problem::NamespacedName(name.to_owned()))
}

fn decode_services(
    services: &BTreeMap<String, pb::PortList>,
) -> Result<BTreeMap<NamespacedHostname, Ports>, FieldProblem> {
    services
        .iter()
        .map(|(name, list)| {
            let parsed = name.parse().map_err(|_| Problem::NamespacedName(name.clone()))?;
            Ok((parsed, decode_ports("ports", &list.ports).field(name)?))
        })
        .collect()
}

fn encode_services(services: &BTreeMap<NamespacedHostname, Ports>) -> BTreeMap<String, pb::PortList> {
    services
        .iter()
        .map(|(name, ports)| {
            let ports = encode_ports(ports);
            (name.to_string(), pb::PortList { ports })
        })
        .collect()
}

fn decode_tunnel(protocol: i32) -> Result<TunnelProtocol, Problem> {
    match pb::TunnelProtocol::try_from(protocol) {
        Ok(pb::TunnelProtocol::None) => Ok(TunnelProtocol::None),
        Ok(pb::TunnelProtocol::Hbone) => Ok(TunnelProtocol::Hbone),
        // A sidecar's mutual TLS, which this proxy does not speak: plain bytes to it would be a silent downgrade.
        Ok(pb::TunnelProtocol::LegacyIstioMtls) => Err(Problem::Unsupported("LEGACY_ISTIO_MTLS")),
        Err(_) => Err(Problem::UnknownValue(protocol)),
    }
}

fn encode_tunnel(protocol: TunnelProtocol) -> pb::TunnelProtocol {
    match protocol {
        TunnelProtocol::None => pb::TunnelProtocol::None,
        TunnelProtocol::Hbone => pb::TunnelProtocol::Hbone,
    }
}

fn decode_network_mode(mode: i32) -> Result<NetworkMode, Problem> {
    match pb::NetworkMode::try_from(mode) {
        Ok(pb::NetworkMode::Standard) => Ok(NetworkMode::Standard),
        Ok(pb::NetworkMode::HostNetwork) => Ok(NetworkMode::HostNetwork),
        Err(_) => Err(Problem::UnknownValue(mode)),
    }
}

fn encode_network_mode(mode: NetworkMode) -> pb::NetworkMode {
    match mode {
        NetworkMode::Standard => pb::NetworkMode::Standard,
        NetworkMode::HostNetwork => pb::NetworkMode::HostNetwork,
    }
}

fn decode_status(status: i32) -> Result<HealthStatus, Problem> {
    match pb::WorkloadStatus::try_from(status) {
        Ok(pb::WorkloadStatus::Healthy) => Ok(HealthStatus::Healthy),
        Ok(pb::WorkloadStatus::Unhealthy) => Ok(HealthStatus::Unhealthy),
        Err(_) => Err(Problem::UnknownValue(status)),
    }
}

fn encode_status(status: HealthStatus) -> pb::WorkloadStatus {
    match status {
        HealthStatus::Healthy => pb::WorkloadStatus::Healthy,
        HealthStatus::Unhealthy => pb::WorkloadStatus::Unhealthy,
    }
}

/// Only a label: a kind of tomorrow does no harm.
fn decode_type(workload_type: i32) -> WorkloadType {
    match pb::WorkloadType::try_from(workload_type).unwrap_or(pb::WorkloadType::Deployment) {
        pb::WorkloadType::Deployment => WorkloadType::Deployment,
        pb::WorkloadType::Cronjob => WorkloadType::CronJob,
        pb::WorkloadType::Pod => WorkloadType::Pod,
        pb::WorkloadType::Job => WorkloadType::Job,
    }
}

fn encode_type(workload_type: WorkloadType) -> pb::WorkloadType {
    match workload_type {
        WorkloadType::Deployment => pb::WorkloadType::Deployment,
        WorkloadType::CronJob => pb::WorkloadType::Cronjob,
        WorkloadType::Pod => pb::WorkloadType::Pod,
        WorkloadType::Job => pb::WorkloadType::Job,
    }
}

fn decode_locality(locality: Option<&pb::Locality>) -> Locality {
    locality.map_or_else(Locality::default, |l| Locality {
        region: text(&l.region),
        zone: text(&l.zone),
        subzone: text(&l.subzone),
    })
}

fn encode_locality(locality: &Locality) -> Option<pb::Locality> {
    (locality != &Locality::default()).then(|| pb::Locality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        subzone: locality.subzone.to_string(),
    })
}

fn decode_application_tunnel(tunnel: &pb::ApplicationTunnel) -> Result<ApplicationTunnel, FieldProblem> {
    let protocol = match pb::application_tunnel::Protocol::try_from(tunnel.protocol) {
        Ok(pb::application_tunnel::Protocol::None) => ApplicationTunnelProtocol::None,
        Ok(pb::application_tunnel::Protocol::Proxy) => ApplicationTunnelProtocol::Proxy,
        Err(_) => return Err(Problem::UnknownValue(tunnel.protocol)).field("protocol"),
    };
    let port = decode_port_number(tunnel.port).field("port")?;
    Ok(ApplicationTunnel {
        protocol,
        port: (port != 0).then_some(port),
    })
}

fn encode_application_tunnel(tunnel: ApplicationTunnel) -> pb::ApplicationTunnel {
    let protocol = match tunnel.protocol {
        ApplicationTunnelProtocol::None => pb::application_tunnel::Protocol::None,
        ApplicationTunnelProtocol::Proxy => pb::application_tunnel::Protocol::Proxy,
    };
    pb::ApplicationTunnel {
        protocol: protocol.into(),
        port: tunnel.port.unwrap_or_default().into(),
    }
}

const DEFAULT_ACCOUNT: &str = "default";
