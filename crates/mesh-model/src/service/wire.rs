//! A service on the wire: `istio.workload.Service`.

use ipnet::IpNet;
use mesh_proto::istio::workload as pb;
use mesh_proto::istio::workload::load_balancing as pb_lb;
use mesh_types::{NamespacedHostname, Strng};

use super::{
    HealthPolicy, IpFamilies, LoadBalancing, Mode, Scope, Service, VirtualAddress, Visibility,
    WeightedWaypoint,
};
use crate::gateway::{decode_gateway, decode_ip, encode_gateway, encode_ip};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind, items};
use crate::policy::decode_range;
use crate::port::{decode_ports, encode_ports};

impl TryFrom<pb::Service> for Service {
    type Error = InvalidResource;

    fn try_from(service: pb::Service) -> Result<Self, Self::Error> {
        decode(&service).map_err(|e| {
            let name = format!("{}/{}", service.namespace, service.hostname);
            e.of(ResourceKind::Service, name)
        })
    }
}

impl From<&Service> for pb::Service {
    /// Canonical: what has its default value is absent.
    fn from(service: &Service) -> Self {
        encode(service)
    }
}

fn decode(service: &pb::Service) -> Result<Service, FieldProblem> {
    Ok(Service {
        hostname: decode_name(service)?,
        name: Strng::from(&service.name),
        addresses: items("addresses", &service.addresses, decode_address)?,
        ports: decode_ports("ports", &service.ports)?,
        subject_alt_names: items("subject_alt_names", &service.subject_alt_names, |name| {
            non_empty(name).map(Strng::from)
        })?,
        waypoint: service
            .waypoint
            .as_ref()
            .map(decode_gateway)
            .transpose()
            .field("waypoint")?,
        weighted_waypoints: items("weighted_waypoints", &service.weighted_waypoints, decode_weighted)?,
        load_balancing: service
            .load_balancing
            .as_ref()
            .map_or_else(|| Ok(LoadBalancing::default()), decode_load_balancing)
            .field("load_balancing")?,
        ip_families: decode_families(service.ip_families).field("ip_families")?,
        canonical: service.canonical,
        ingress_use_waypoint: service.ingress_use_waypoint,
        visibility: decode_visibility(service.visibility).field("visibility")?,
    })
}

fn encode(service: &Service) -> pb::Service {
    pb::Service {
        name: service.name.to_string(),
        namespace: service.hostname.namespace.to_string(),
        hostname: service.hostname.hostname.to_string(),
        addresses: service.addresses.iter().map(encode_address).collect(),
        ports: encode_ports(&service.ports),
        subject_alt_names: service
            .subject_alt_names
            .iter()
            .map(ToString::to_string)
            .collect(),
        waypoint: service.waypoint.as_ref().map(encode_gateway),
        load_balancing: encode_load_balancing(&service.load_balancing),
        ip_families: encode_families(service.ip_families).into(),
        extensions: Vec::new(),
        canonical: service.canonical,
        ingress_use_waypoint: service.ingress_use_waypoint,
        weighted_waypoints: service.weighted_waypoints.iter().map(encode_weighted).collect(),
        visibility: encode_visibility(service.visibility).into(),
    }
}

/// Neither part may hold the separator: the name of one service must not read as another's.
fn decode_name(service: &pb::Service) -> Result<NamespacedHostname, FieldProblem> {
    for (field, value) in [("namespace", &service.namespace), ("hostname", &service.hostname)] {
        non_empty(value).field(field)?;
        if value.contains('/') {
            return Err(Problem::NamespacedName(value.clone())).field(field);
        }
    }
    Ok(NamespacedHostname::new(
        service.namespace.as_str(),
        service.hostname.as_str(),
    ))
}

fn non_empty(value: &str) -> Result<&str, Problem> {
    match value {
        "" => Err(Problem::Empty),
        value => Ok(value),
    }
}

fn decode_address(address: &pb::NetworkAddress) -> Result<VirtualAddress, FieldProblem> {
    let network = Strng::from(&address.network);
    match address.length {
        None => Ok(VirtualAddress::single(
            network,
            decode_ip(&address.address).field("address")?,
        )),
        Some(length) => Ok(VirtualAddress::range(
            network,
            decode_range(&address.address, length)?,
        )),
    }
}

fn encode_address(address: &VirtualAddress) -> pb::NetworkAddress {
    match address {
        VirtualAddress::Single(single) => pb::NetworkAddress {
            network: single.network.to_string(),
            address: encode_ip(single.address),
            length: None,
        },
        VirtualAddress::Range(range) => pb::NetworkAddress {
            network: range.network().to_string(),
            address: encode_ip(IpNet::addr(&range.range())),
            length: Some(range.range().prefix_len().into()),
        },
    }
}

fn decode_weighted(weighted: &pb::WeightedWaypoint) -> Result<WeightedWaypoint, FieldProblem> {
    let gateway = weighted.destination.as_ref().ok_or(Problem::Missing);
    Ok(WeightedWaypoint {
        gateway: decode_gateway(gateway.field("destination")?).field("destination")?,
        weight: weighted.weight,
    })
}

fn encode_weighted(weighted: &WeightedWaypoint) -> pb::WeightedWaypoint {
    pb::WeightedWaypoint {
        destination: Some(encode_gateway(&weighted.gateway)),
        weight: weighted.weight,
    }
}

fn decode_load_balancing(lb: &pb::LoadBalancing) -> Result<LoadBalancing, FieldProblem> {
    let mode = match pb_lb::Mode::try_from(lb.mode) {
        Ok(pb_lb::Mode::UnspecifiedMode) => Mode::Any,
        Ok(pb_lb::Mode::Strict) => Mode::Strict,
        Ok(pb_lb::Mode::Failover) => Mode::Failover,
        Ok(pb_lb::Mode::Passthrough) => Mode::Passthrough,
        Err(_) => return Err(Problem::UnknownValue(lb.mode)).field("mode"),
    };
    let health = match pb_lb::HealthPolicy::try_from(lb.health_policy) {
        Ok(pb_lb::HealthPolicy::OnlyHealthy) => HealthPolicy::OnlyHealthy,
        Ok(pb_lb::HealthPolicy::AllowAll) => HealthPolicy::AllowAll,
        Err(_) => return Err(Problem::UnknownValue(lb.health_policy)).field("health_policy"),
    };
    Ok(LoadBalancing {
        preference: items("routing_preference", &lb.routing_preference, |s| decode_scope(*s))?,
        mode,
        health,
    })
}

fn encode_load_balancing(lb: &LoadBalancing) -> Option<pb::LoadBalancing> {
    let mode = match lb.mode {
        Mode::Any => pb_lb::Mode::UnspecifiedMode,
        Mode::Strict => pb_lb::Mode::Strict,
        Mode::Failover => pb_lb::Mode::Failover,
        Mode::Passthrough => pb_lb::Mode::Passthrough,
    };
    let health_policy = match lb.health {
        HealthPolicy::OnlyHealthy => pb_lb::HealthPolicy::OnlyHealthy,
        HealthPolicy::AllowAll => pb_lb::HealthPolicy::AllowAll,
    };
    (lb != &LoadBalancing::default()).then(|| pb::LoadBalancing {
        routing_preference: lb.preference.iter().map(|s| encode_scope(*s).into()).collect(),
        mode: mode.into(),
        health_policy: health_policy.into(),
    })
}

fn decode_scope(scope: i32) -> Result<Scope, Problem> {
    match pb_lb::Scope::try_from(scope) {
        Ok(pb_lb::Scope::Region) => Ok(Scope::Region),
        Ok(pb_lb::Scope::Zone) => Ok(Scope::Zone),
        Ok(pb_lb::Scope::Subzone) => Ok(Scope::Subzone),
        Ok(pb_lb::Scope::Node) => Ok(Scope::Node),
        Ok(pb_lb::Scope::Cluster) => Ok(Scope::Cluster),
        Ok(pb_lb::Scope::Network) => Ok(Scope::Network),
        Ok(pb_lb::Scope::UnspecifiedScope) | Err(_) => Err(Problem::UnknownValue(scope)),
    }
}

fn encode_scope(scope: Scope) -> pb_lb::Scope {
    match scope {
        Scope::Region => pb_lb::Scope::Region,
        Scope::Zone => pb_lb::Scope::Zone,
        Scope::Subzone => pb_lb::Scope::Subzone,
        Scope::Node => pb_lb::Scope::Node,
        Scope::Cluster => pb_lb::Scope::Cluster,
        Scope::Network => pb_lb::Scope::Network,
    }
}

fn decode_families(families: i32) -> Result<IpFamilies, Problem> {
    match pb::IpFamilies::try_from(families) {
        Ok(pb::IpFamilies::Automatic) => Ok(IpFamilies::Automatic),
        Ok(pb::IpFamilies::Ipv4Only) => Ok(IpFamilies::V4Only),
        Ok(pb::IpFamilies::Ipv6Only) => Ok(IpFamilies::V6Only),
        Ok(pb::IpFamilies::Dual) => Ok(IpFamilies::Dual),
        Err(_) => Err(Problem::UnknownValue(families)),
    }
}

fn encode_families(families: IpFamilies) -> pb::IpFamilies {
    match families {
        IpFamilies::Automatic => pb::IpFamilies::Automatic,
        IpFamilies::V4Only => pb::IpFamilies::Ipv4Only,
        IpFamilies::V6Only => pb::IpFamilies::Ipv6Only,
        IpFamilies::Dual => pb::IpFamilies::Dual,
    }
}

/// A visibility of tomorrow is refused: taken for public, it would show the service to those it hides from.
fn decode_visibility(visibility: i32) -> Result<Visibility, Problem> {
    match pb::Visibility::try_from(visibility) {
        Ok(pb::Visibility::Public) => Ok(Visibility::Public),
        Ok(pb::Visibility::Namespace) => Ok(Visibility::Namespace),
        Err(_) => Err(Problem::UnknownValue(visibility)),
    }
}

fn encode_visibility(visibility: Visibility) -> pb::Visibility {
    match visibility {
        Visibility::Public => pb::Visibility::Public,
        Visibility::Namespace => pb::Visibility::Namespace,
    }
}
