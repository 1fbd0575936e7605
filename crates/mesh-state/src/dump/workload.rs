//! Workloads as JSON.

use std::net::IpAddr;

use mesh_model::Workload;
use mesh_model::workload::{
    ApplicationTunnel, ApplicationTunnelProtocol, HealthStatus, Locality, NetworkMode, TunnelProtocol,
    WorkloadType,
};
use mesh_types::{NamespacedHostname, NamespacedName, TrustDomain};
use serde::Serialize;

use super::{GatewayForm, is_empty};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Form<'a> {
    workload_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_gateway: Option<GatewayForm>,
    protocol: &'static str,
    network_mode: &'static str,
    uid: &'a str,
    name: &'a str,
    namespace: &'a str,
    trust_domain: &'a TrustDomain,
    service_account: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    network: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    workload_name: &'a str,
    workload_type: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    canonical_name: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    canonical_revision: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    native_tunnel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_tunnel: Option<TunnelForm>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    authorization_policies: &'a [NamespacedName],
    status: &'static str,
    cluster_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locality: Option<LocalityForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<&'a NamespacedHostname>,
    capacity: u32,
}

#[derive(Serialize)]
struct LocalityForm<'a> {
    region: &'a str,
    zone: &'a str,
    subzone: &'a str,
}

#[derive(Serialize)]
struct TunnelForm {
    protocol: &'static str,
    port: Option<u16>,
}

impl<'a> Form<'a> {
    pub(super) fn of(workload: &'a Workload) -> Self {
        Self {
            workload_ips: &workload.addresses,
            waypoint: workload.waypoint.as_ref().map(GatewayForm::of),
            network_gateway: workload.network_gateway.as_ref().map(GatewayForm::of),
            protocol: match workload.tunnel_protocol {
                TunnelProtocol::None => "TCP",
                TunnelProtocol::Hbone => "HBONE",
            },
            network_mode: match workload.network_mode {
                NetworkMode::Standard => "Standard",
                NetworkMode::HostNetwork => "HostNetwork",
            },
            uid: workload.uid.as_str(),
            name: &workload.name,
            namespace: workload.namespace(),
            trust_domain: workload.identity.trust_domain(),
            service_account: workload.identity.service_account(),
            network: &workload.network,
            workload_name: &workload.workload_name,
            workload_type: type_name(workload.workload_type),
            canonical_name: &workload.canonical_name,
            canonical_revision: &workload.canonical_revision,
            hostname: &workload.hostname,
            node: &workload.node,
            native_tunnel: workload.native_tunnel,
            application_tunnel: workload.application_tunnel.map(TunnelForm::of),
            authorization_policies: &workload.authorization_policies,
            status: status_name(workload.status),
            cluster_id: &workload.cluster_id,
            locality: LocalityForm::of(&workload.locality),
            services: workload.services.keys().collect(),
            capacity: workload.capacity,
        }
    }
}

impl<'a> LocalityForm<'a> {
    fn of(locality: &'a Locality) -> Option<Self> {
        (locality != &Locality::default()).then(|| Self {
            region: &locality.region,
            zone: &locality.zone,
            subzone: &locality.subzone,
        })
    }
}

impl TunnelForm {
    fn of(tunnel: ApplicationTunnel) -> Self {
        Self {
            protocol: match tunnel.protocol {
                ApplicationTunnelProtocol::None => "NONE",
                ApplicationTunnelProtocol::Proxy => "PROXY",
            },
            port: tunnel.port,
        }
    }
}

pub(super) fn status_name(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "Healthy",
        HealthStatus::Unhealthy => "Unhealthy",
    }
}

fn type_name(workload_type: WorkloadType) -> &'static str {
    match workload_type {
        WorkloadType::Deployment => "deployment",
        WorkloadType::CronJob => "cronjob",
        WorkloadType::Pod => "pod",
        WorkloadType::Job => "job",
    }
}
