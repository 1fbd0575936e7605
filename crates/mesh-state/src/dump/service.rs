//! Services and endpoints as JSON.

use std::collections::BTreeMap;

use mesh_model::Service;
use mesh_model::lb::Endpoint;
use mesh_model::service::{HealthPolicy, IpFamilies, LoadBalancing, Mode, Scope, VirtualAddress, Visibility};
use mesh_types::Strng;
use serde::Serialize;

use super::workload::status_name;
use super::{GatewayForm, port_map};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Form<'a> {
    name: &'a str,
    namespace: &'a str,
    hostname: &'a str,
    /// Each `<network>/<ip>`.
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidr_vips: Vec<RangeForm<'a>>,
    ports: BTreeMap<u16, u16>,
    endpoints: BTreeMap<&'a str, EndpointForm<'a>>,
    subject_alt_names: &'a [Strng],
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weighted_waypoints: Vec<WeightedForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_balancer: Option<BalancerForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_families: Option<&'static str>,
    canonical: bool,
    visibility: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointForm<'a> {
    workload_uid: &'a str,
    port: BTreeMap<u16, u16>,
    status: &'static str,
}

#[derive(Serialize)]
struct RangeForm<'a> {
    network: &'a str,
    cidr: String,
}

#[derive(Serialize)]
struct WeightedForm {
    destination: GatewayForm,
    weight: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BalancerForm {
    routing_preferences: Vec<&'static str>,
    mode: &'static str,
    health_policy: &'static str,
}

/// Endpoints by the uid of their workload.
pub(super) fn endpoint_forms(endpoints: &[Endpoint]) -> BTreeMap<&str, EndpointForm<'_>> {
    endpoints
        .iter()
        .map(|endpoint| (endpoint.workload.uid.as_str(), EndpointForm::of(endpoint)))
        .collect()
}

impl<'a> Form<'a> {
    pub(super) fn of(service: &'a Service, endpoints: &'a [Endpoint]) -> Self {
        let vips = service.addresses.iter().filter_map(|address| match address {
            VirtualAddress::Single(address) => Some(address.to_string()),
            VirtualAddress::Range(_) => None,
        });
        Self {
            name: &service.name,
            namespace: &service.hostname.namespace,
            hostname: &service.hostname.hostname,
            vips: vips.collect(),
            cidr_vips: service.addresses.iter().filter_map(RangeForm::of).collect(),
            ports: port_map(&service.ports),
            endpoints: endpoint_forms(endpoints),
            subject_alt_names: &service.subject_alt_names,
            waypoint: service.waypoint.as_ref().map(GatewayForm::of),
            weighted_waypoints: service.weighted_waypoints.iter().map(WeightedForm::of).collect(),
            load_balancer: BalancerForm::of(&service.load_balancing),
            ip_families: families_name(service.ip_families),
            canonical: service.canonical,
            visibility: match service.visibility {
                Visibility::Public => "Public",
                Visibility::Namespace => "Namespace",
            },
        }
    }
}

impl<'a> EndpointForm<'a> {
    fn of(endpoint: &'a Endpoint) -> Self {
        Self {
            workload_uid: endpoint.workload.uid.as_str(),
            port: port_map(endpoint.ports()),
            status: status_name(endpoint.workload.status),
        }
    }
}

impl<'a> RangeForm<'a> {
    fn of(address: &'a VirtualAddress) -> Option<Self> {
        match address {
            VirtualAddress::Single(_) => None,
            VirtualAddress::Range(range) => Some(Self {
                network: range.network(),
                cidr: range.range().to_string(),
            }),
        }
    }
}

impl WeightedForm {
    fn of(weighted: &mesh_model::service::WeightedWaypoint) -> Self {
        Self {
            destination: GatewayForm::of(&weighted.gateway),
            weight: weighted.weight,
        }
    }
}

impl BalancerForm {
    fn of(lb: &LoadBalancing) -> Option<Self> {
        (lb != &LoadBalancing::default()).then(|| Self {
            routing_preferences: lb.preference.iter().map(|s| scope_name(*s)).collect(),
            mode: match lb.mode {
                Mode::Any => "Standard",
                Mode::Strict => "Strict",
                Mode::Failover => "Failover",
                Mode::Passthrough => "Passthrough",
            },
            health_policy: match lb.health {
                HealthPolicy::OnlyHealthy => "OnlyHealthy",
                HealthPolicy::AllowAll => "AllowAll",
            },
        })
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Region => "Region",
        Scope::Zone => "Zone",
        Scope::Subzone => "Subzone",
        Scope::Node => "Node",
        Scope::Cluster => "Cluster",
        Scope::Network => "Network",
    }
}

fn families_name(families: IpFamilies) -> Option<&'static str> {
    match families {
        IpFamilies::Automatic => None,
        IpFamilies::V4Only => Some("IPv4"),
        IpFamilies::V6Only => Some("IPv6"),
        IpFamilies::Dual => Some("Dual"),
    }
}
