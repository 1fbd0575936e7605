//! Services, and whom they choose.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::core::Protocol;
use controlplane_k8s_api::service::{Service, ServicePort, ServiceType, TargetPort};
use controlplane_k8s_api::{Labels, Object};
use serde_json::Value;

use super::{Code, Said};
use crate::objects::shown;

/// Judges; `makers` make Pods.
pub(super) fn judge(objects: &[&Object], makers: &[Value]) -> Vec<Said> {
    let mut said: Vec<Said> = services(objects).flat_map(external_names).collect();
    for maker in makers {
        if !is_in_mesh(maker, objects) {
            continue;
        }
        let chosen_by: Vec<&Service> = services(objects)
            .filter(|service| chooses(service, maker))
            .collect();
        said.extend(several_protocols(maker, &chosen_by));
        said.extend(several_ports(maker, &chosen_by));
    }
    said
}

fn services<'a>(objects: &[&'a Object]) -> impl Iterator<Item = &'a Service> {
    objects.iter().filter_map(|object| match object {
        Object::Service(service) => Some(service),
        _ => None,
    })
}

/// Whether its Pods are to be in the mesh. Waypoints are part of it, and have Services of their own.
fn is_in_mesh(maker: &Value, objects: &[&Object]) -> bool {
    if maker["metadata"]["labels"][MANAGED].is_string() {
        return false;
    }
    let own = maker["spec"]["template"]["metadata"]["labels"][MODE].as_str();
    let namespace = objects.iter().find_map(|object| match object {
        Object::Namespace(namespace) if *namespace.metadata.name == *namespace_of(maker) => Some(namespace),
        _ => None,
    });
    let inherited = namespace.and_then(|namespace| namespace.metadata.labels.get(MODE));
    own.or_else(|| inherited.map(|mode| &**mode)) == Some("ambient")
}

fn namespace_of(maker: &Value) -> &str {
    maker["metadata"]["namespace"].as_str().unwrap_or("default")
}

fn chooses(service: &Service, maker: &Value) -> bool {
    let selector: &Labels = &service.spec.selector;
    let labels = &maker["spec"]["template"]["metadata"]["labels"];
    let mut wanted = selector.iter();
    *service.metadata.namespace == *namespace_of(maker)
        && !selector.is_empty()
        && wanted.all(|(key, value)| labels[key.as_str()] == value.as_str())
}

/// One port, several transport protocols.
fn several_protocols(maker: &Value, services: &[&Service]) -> Vec<Said> {
    let mut by_port: BTreeMap<u16, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for service in services {
        for port in &service.spec.ports {
            let of_port = by_port.entry(port.port).or_default();
            let protocol = match port.protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            of_port
                .entry(protocol)
                .or_default()
                .insert(&service.metadata.name);
        }
    }
    let several = by_port.into_iter().filter(|(_, protocols)| protocols.len() > 1);
    let said = several.map(|(port, protocols)| {
        let names: Vec<&str> = protocols.keys().copied().collect();
        let services: BTreeSet<&str> = protocols.into_values().flatten().collect();
        let text = format!(
            "spec.template.metadata.labels: Services {} choose its pods, and their port {port} is {}; give each protocol a port of \
             its own",
            joined(&services),
            names.join(" and ")
        );
        (Code::DeploymentAssociatedToMultipleServices, shown(maker), text)
    });
    said.collect()
}

/// One port of the pods, several of Services.
fn several_ports(maker: &Value, services: &[&Service]) -> Vec<Said> {
    let mut by_target: BTreeMap<String, BTreeMap<u16, &str>> = BTreeMap::new();
    for service in services {
        for port in &service.spec.ports {
            let of_target = by_target.entry(target(port)).or_default();
            of_target.insert(port.port, &service.metadata.name);
        }
    }
    let several = by_target.into_iter().filter(|(_, ports)| ports.len() > 1);
    let said = several.map(|(target, ports)| {
        let numbers: Vec<String> = ports.keys().map(u16::to_string).collect();
        let services: BTreeSet<&str> = ports.into_values().collect();
        let text = format!(
            "spec.template.metadata.labels: Services {} choose its pods, and reach their port {target} by the ports {}; for one \
             targetPort, give all of them the same port",
            joined(&services),
            numbers.join(" and ")
        );
        (Code::DeploymentConflictingPorts, shown(maker), text)
    });
    said.collect()
}

fn target(port: &ServicePort) -> String {
    match &port.target_port {
        None | Some(TargetPort::Number(0)) => port.port.to_string(),
        Some(TargetPort::Number(number)) => number.to_string(),
        Some(TargetPort::Name(name)) => name.to_string(),
    }
}

/// What goes to an ExternalName Service is known by nothing but the name of its port.
fn external_names(service: &Service) -> Vec<Said> {
    let managed = service.metadata.labels.contains_key(MANAGED);
    if service.spec.kind != ServiceType::ExternalName || managed {
        return Vec::new();
    }
    let ports = service.spec.ports.iter().enumerate();
    let bad =
        ports.filter(|(_, port)| port.protocol == Protocol::Tcp && (!is_known(port) || *port.name == *"tcp"));
    let said = bad.map(|(at, port)| {
        let name = match &*port.name {
            "" => "no name".to_owned(),
            name => format!("the name {name:?}"),
        };
        let text = format!(
            "spec.ports[{at}].name: port {} of an ExternalName Service has {name}, by which nobody knows what it carries; begin the \
             name with the protocol, such as http-{}, or set appProtocol",
            port.port, port.port
        );
        let object = format!("Service {}/{}", service.metadata.namespace, service.metadata.name);
        (Code::ExternalNameServiceTypeInvalidPortName, object, text)
    });
    said.collect()
}

/// Whether a port says what it carries (istio.io, "Protocol Selection").
fn is_known(port: &ServicePort) -> bool {
    let said = port
        .app_protocol
        .as_deref()
        .unwrap_or(&port.name)
        .to_ascii_lowercase();
    if port.app_protocol.is_some() && KUBERNETES.contains(&said.as_str()) || said.starts_with("grpc-web") {
        return true;
    }
    let first = said.split('-').next().unwrap_or_default();
    PROTOCOLS.contains(&first)
}

fn joined(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

const MODE: &str = "istio.io/dataplane-mode";
const MANAGED: &str = "gateway.istio.io/managed";
const PROTOCOLS: [&str; 10] = [
    "tcp", "udp", "grpc", "http", "http2", "https", "tls", "mongo", "redis", "mysql",
];
const KUBERNETES: [&str; 3] = ["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];

#[cfg(test)]
mod tests;
