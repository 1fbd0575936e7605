//! VirtualService.

use std::collections::HashSet;

use mesh_types::Strng;

use crate::error::FieldPath;
use crate::networking::{
    Destination, RouteDestination, VirtualService, VsL4Match, VsTcpRoute, VsTlsMatch, VsTlsRoute,
};
use crate::object::Labels;
use crate::validate::networking::http_rule;
use crate::validate::{Check, names};

pub(in crate::validate) fn virtual_service(check: &mut Check, service: &VirtualService) {
    let (spec, path) = (&service.spec, FieldPath::from("spec"));
    hosts(check, &path.field("hosts"), &spec.hosts);
    if spec.hosts.is_empty() && !(spec.tls.is_empty() && spec.tcp.is_empty()) {
        let reason = "is required: only HTTP routes can be delegated to";
        check.refuse(path.field("hosts"), reason);
    }
    gateways(check, &path.field("gateways"), &spec.gateways);
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        check.refuse(path.clone(), "needs http, tls or tcp");
    }
    for (i, route) in spec.http.iter().enumerate() {
        http_rule::http_route(check, &path.field("http").item(i), route, spec.hosts.is_empty());
    }
    for (i, route) in spec.tls.iter().enumerate() {
        tls_route(check, &path.field("tls").item(i), route, &spec.hosts);
    }
    for (i, route) in spec.tcp.iter().enumerate() {
        tcp_route(check, &path.field("tcp").item(i), route);
    }
    for (i, visible) in spec.export_to.iter().enumerate() {
        check.grammar(path.field("exportTo").item(i), names::export_to(visible));
    }
}

fn hosts(check: &mut Check, path: &FieldPath, hosts: &[Strng]) {
    let mut seen = HashSet::new();
    for (i, host) in hosts.iter().enumerate() {
        if names::ip_block(host).is_err() {
            check.grammar(path.item(i), names::wildcard_domain(host));
        }
        if !seen.insert(host.to_ascii_lowercase()) {
            check.refuse(path.item(i), format!("{:?} is there twice", host.as_str()));
        }
    }
}

/// Only `mesh` is served: Istio's own Gateways are refused as a kind.
pub(super) fn gateways(check: &mut Check, path: &FieldPath, gateways: &[Strng]) {
    for (i, gateway) in gateways.iter().enumerate() {
        if gateway.is_empty() {
            check.refuse(path.item(i), "is empty");
        } else if gateway.as_str() != "mesh" {
            let reason = format!(
                "{:?} is no Gateway of this mesh: only `mesh` counts",
                gateway.as_str()
            );
            check.warn(path.item(i), reason);
        }
    }
}

fn tls_route(check: &mut Check, path: &FieldPath, route: &VsTlsRoute, hosts: &[Strng]) {
    if route.matches.is_empty() {
        check.refuse(path.field("match"), "is required");
    }
    for (i, wanted) in route.matches.iter().enumerate() {
        tls_match(check, &path.field("match").item(i), wanted, hosts);
    }
    destinations(check, &path.field("route"), &route.route);
}

fn tls_match(check: &mut Check, path: &FieldPath, wanted: &VsTlsMatch, hosts: &[Strng]) {
    let field = path.field("sniHosts");
    if wanted.sni_hosts.is_empty() {
        check.refuse(field.clone(), "is required");
    }
    for (i, sni) in wanted.sni_hosts.iter().enumerate() {
        check.grammar(field.item(i), names::wildcard_domain(sni));
        if !hosts.iter().any(|h| includes(h, sni)) {
            let reason = format!("{:?} is none of the hosts that this object is for", sni.as_str());
            check.refuse(field.item(i), reason);
        }
    }
    subnets(
        check,
        &path.field("destinationSubnets"),
        &wanted.destination_subnets,
    );
    labels(check, path, &wanted.source_labels, &wanted.source_namespace);
    gateways(check, &path.field("gateways"), &wanted.gateways);
}

/// Whether one host, perhaps a wildcard, includes another.
fn includes(host: &str, other: &str) -> bool {
    let (host, other) = (host.to_ascii_lowercase(), other.to_ascii_lowercase());
    match host.strip_prefix('*') {
        Some(end) => other.ends_with(end),
        None => host == other,
    }
}

fn tcp_route(check: &mut Check, path: &FieldPath, route: &VsTcpRoute) {
    for (i, wanted) in route.matches.iter().enumerate() {
        l4_match(check, &path.field("match").item(i), wanted);
    }
    destinations(check, &path.field("route"), &route.route);
}

fn l4_match(check: &mut Check, path: &FieldPath, wanted: &VsL4Match) {
    subnets(
        check,
        &path.field("destinationSubnets"),
        &wanted.destination_subnets,
    );
    if !wanted.source_subnet.is_empty() {
        let field = path.field("sourceSubnet");
        check.grammar(field, names::ip_block(&wanted.source_subnet).map(drop));
    }
    labels(check, path, &wanted.source_labels, &wanted.source_namespace);
    gateways(check, &path.field("gateways"), &wanted.gateways);
}

pub(super) fn labels(check: &mut Check, path: &FieldPath, source_labels: &Labels, source_namespace: &str) {
    check.labels(path.field("sourceLabels"), source_labels);
    if !source_namespace.is_empty() {
        check.grammar(path.field("sourceNamespace"), names::label(source_namespace));
    }
}

fn subnets(check: &mut Check, path: &FieldPath, subnets: &[Strng]) {
    for (i, subnet) in subnets.iter().enumerate() {
        check.grammar(path.item(i), names::ip_block(subnet).map(drop));
    }
}

fn destinations(check: &mut Check, path: &FieldPath, routes: &[RouteDestination]) {
    if routes.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    for (i, route) in routes.iter().enumerate() {
        destination(check, &path.item(i).field("destination"), &route.destination);
    }
    weights(check, path, routes.iter().map(|r| r.weight));
}

pub(super) fn destination(check: &mut Check, path: &FieldPath, destination: &Destination) {
    if destination.host.is_empty() {
        check.refuse(path.field("host"), "is required");
    } else if destination.host.starts_with('*') {
        check.refuse(path.field("host"), "is a wildcard, where one host is needed");
    } else {
        check.grammar(path.field("host"), names::domain(&destination.host));
    }
    if !destination.subset.is_empty() {
        check.grammar(path.field("subset"), names::label(&destination.subset));
    }
    if let Some(port) = destination.port {
        check.port(path.field("port").field("number"), port.number);
    }
}

/// Several destinations need shares; a single one takes everything.
pub(super) fn weights(check: &mut Check, path: &FieldPath, weights: impl ExactSizeIterator<Item = u32>) {
    let several = weights.len() > 1;
    let sum: u64 = weights.map(u64::from).sum();
    if several && sum == 0 {
        check.refuse(path.clone(), "has several items and no weight above 0");
    }
    if sum > u64::from(u32::MAX) {
        check.refuse(path.clone(), "has weights that add up to more than 4294967295");
    }
}
