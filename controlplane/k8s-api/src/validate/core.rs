//! Nodes, Pods, Services and EndpointSlices.

use std::collections::HashSet;

use super::{Check, names};
use crate::core::{Container, Node, Pod};
use crate::error::FieldPath;
use crate::service::{AddressType, EndpointSlice, Service, ServiceType, TargetPort};

pub(super) fn node(check: &mut Check, node: &Node) {
    let spec = FieldPath::from("spec");
    if let Some(range) = node.spec.pod_cidr.as_deref().filter(|r| !r.is_empty()) {
        check.grammar(spec.field("podCIDR"), names::ip_range(range));
    }
    for (i, range) in node.spec.pod_cidrs.iter().enumerate() {
        check.grammar(spec.field("podCIDRs").item(i), names::ip_range(range));
    }
}

pub(super) fn pod(check: &mut Check, pod: &Pod) {
    let spec = FieldPath::from("spec");
    let account = names::subdomain(&pod.spec.service_account_name.0);
    check.grammar(spec.field("serviceAccountName"), account);
    if !pod.spec.node_name.is_empty() {
        check.grammar(spec.field("nodeName"), names::subdomain(&pod.spec.node_name));
    }
    containers(check, &spec.field("containers"), &pod.spec.containers);
    containers(check, &spec.field("initContainers"), &pod.spec.init_containers);
    let status = FieldPath::from("status");
    if let Some(address) = pod.status.pod_ip.as_deref().filter(|a| !a.is_empty()) {
        check.grammar(status.field("podIP"), names::ip(address).map(drop));
    }
    for (i, address) in pod.status.pod_ips.iter().enumerate() {
        let field = status.field("podIPs").item(i).field("ip");
        check.grammar(field, names::ip(&address.ip).map(drop));
    }
}

fn containers(check: &mut Check, path: &FieldPath, containers: &[Container]) {
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in container.ports.iter().enumerate() {
            let path = path.item(i).field("ports").item(j);
            if port.container_port == 0 {
                check.refuse(
                    path.field("containerPort"),
                    "0 is not a port number from 1 to 65535",
                );
            }
            if !port.name.is_empty() {
                check.grammar(path.field("name"), names::port_name(&port.name));
            }
        }
    }
}

pub(super) fn service(check: &mut Check, service: &Service) {
    let spec = FieldPath::from("spec");
    check.labels(spec.field("selector"), &service.spec.selector);
    if let Some(address) = &service.spec.cluster_ip {
        check.grammar(spec.field("clusterIP"), virtual_address(address));
    }
    for (i, address) in service.spec.cluster_ips.iter().enumerate() {
        check.grammar(spec.field("clusterIPs").item(i), virtual_address(address));
    }
    ports(check, &spec.field("ports"), service);
}

fn ports(check: &mut Check, path: &FieldPath, service: &Service) {
    let mut seen_names = HashSet::new();
    let mut seen_ports = HashSet::new();
    for (i, port) in service.spec.ports.iter().enumerate() {
        let path = path.item(i);
        if port.port == 0 {
            check.refuse(path.field("port"), "0 is not a port number from 1 to 65535");
        }
        if !seen_ports.insert((port.port, port.protocol as u8)) {
            check.refuse(path.field("port"), format!("{} is there twice", port.port));
        }
        // Without names, an EndpointSlice's ports could not be told apart.
        if port.name.is_empty() && service.spec.ports.len() > 1 {
            check.refuse(
                path.field("name"),
                "is required where a Service has several ports",
            );
        }
        if !port.name.is_empty() {
            check.grammar(path.field("name"), names::label(&port.name));
            if !seen_names.insert(&port.name) {
                check.refuse(path.field("name"), format!("{:?} is there twice", port.name));
            }
        }
        match &port.target_port {
            // Kubernetes takes 0 as "not given".
            Some(TargetPort::Number(_)) | None => {}
            Some(TargetPort::Name(name)) => check.grammar(path.field("targetPort"), names::port_name(name)),
        }
    }
    if service.spec.ports.is_empty()
        && service.spec.kind != ServiceType::ExternalName
        && !is_headless(service)
    {
        check.refuse(
            path.clone(),
            "is required unless the Service is headless or of type ExternalName",
        );
    }
}

fn is_headless(service: &Service) -> bool {
    service.spec.cluster_ip.as_deref() == Some(NO_ADDRESS)
}

fn virtual_address(text: &str) -> Result<(), String> {
    if text.is_empty() || text == NO_ADDRESS {
        return Ok(());
    }
    names::ip(text)
        .map(drop)
        .map_err(|_| format!("{text:?} is neither an IP address nor None"))
}

pub(super) fn endpoint_slice(check: &mut Check, slice: &EndpointSlice) {
    for (i, endpoint) in slice.spec.endpoints.iter().enumerate() {
        let path = FieldPath::from("endpoints").item(i).field("addresses");
        if endpoint.addresses.is_empty() {
            check.refuse(path.clone(), "is required");
        }
        for (j, address) in endpoint.addresses.iter().enumerate() {
            let fits = match (slice.spec.address_type, names::ip(address)) {
                (AddressType::Fqdn, _) => names::subdomain(address),
                (AddressType::V4, Ok(ip)) if ip.is_ipv4() => Ok(()),
                (AddressType::V6, Ok(ip)) if ip.is_ipv6() => Ok(()),
                (AddressType::V4, _) => {
                    Err(format!("{address:?} is not an IPv4 address, as addressType says"))
                }
                (AddressType::V6, _) => {
                    Err(format!("{address:?} is not an IPv6 address, as addressType says"))
                }
            };
            check.grammar(path.item(j), fits);
        }
    }
    for (i, port) in slice.spec.ports.iter().enumerate() {
        if port.port == Some(0) {
            let field = FieldPath::from("ports").item(i).field("port");
            check.refuse(field, "0 is not a port number from 1 to 65535");
        }
    }
}

/// What `clusterIP` says on a headless Service.
const NO_ADDRESS: &str = "None";
