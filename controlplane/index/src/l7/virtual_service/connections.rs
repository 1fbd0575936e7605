//! TLS and TCP routes of a VirtualService, for one port.

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::{RouteDestination, VsL4Match, VsTcpRoute, VsTlsMatch, VsTlsRoute};
use controlplane_k8s_api::validate::names;
use ipnet::IpNet;
use mesh_model::l7::route::{TcpBackend, TcpRule, TlsRule};
use mesh_types::Strng;

use super::destination::{Place, destination, shares};
use super::is_for_mesh;
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;
use crate::service_entry::normal;

/// The TLS routes that count on a port.
pub(super) fn tls_rules(
    lowering: &Lowering<'_, '_>,
    port: u16,
    routes: &[VsTlsRoute],
    findings: &mut Findings,
) -> Vec<TlsRule> {
    let place = own(lowering, port);
    let mut rules = Vec::new();
    for (i, route) in routes.iter().enumerate() {
        let path = FieldPath::from("spec").field("tls").item(i);
        let counting = route
            .matches
            .iter()
            .enumerate()
            .filter(|(_, m)| (m.port == 0 || m.port == port) && is_for_mesh(&m.gateways));
        let mut names: Vec<Strng> = Vec::new();
        let mut any = false;
        for (j, wanted) in counting {
            if let Some(what) = unsupported_tls(wanted) {
                let field = path.field("match").item(j).field(what);
                findings.left_out(field, "is not known of connections here: the match takes none");
                continue;
            }
            any |= wanted.sni_hosts.iter().any(|host| *host == "*");
            names.extend(wanted.sni_hosts.iter().map(normal));
        }
        if names.is_empty() {
            continue;
        }
        rules.push(TlsRule {
            name: None,
            server_names: if any { Vec::new() } else { names },
            backends: backends(place, &path, &route.route, findings),
        });
    }
    rules
}

/// The TCP routes that count on a port.
pub(super) fn tcp_rules(
    lowering: &Lowering<'_, '_>,
    port: u16,
    routes: &[VsTcpRoute],
    findings: &mut Findings,
) -> Vec<TcpRule> {
    let place = own(lowering, port);
    let mut rules = Vec::new();
    for (i, route) in routes.iter().enumerate() {
        let path = FieldPath::from("spec").field("tcp").item(i);
        let counting = route
            .matches
            .iter()
            .enumerate()
            .filter(|(_, m)| (m.port == 0 || m.port == port) && is_for_mesh(&m.gateways));
        let mut ranges = Vec::new();
        let (mut any, mut counts) = (route.matches.is_empty(), route.matches.is_empty());
        for (j, wanted) in counting {
            if let Some(what) = unsupported_l4(wanted) {
                let field = path.field("match").item(j).field(what);
                findings.left_out(field, "is not known of connections here: the match takes none");
                continue;
            }
            counts = true;
            any |= wanted.destination_subnets.is_empty();
            ranges.extend(wanted.destination_subnets.iter().filter_map(|s| range(s)));
        }
        if !counts {
            continue;
        }
        rules.push(TcpRule {
            name: None,
            destinations: if any { Vec::new() } else { ranges },
            backends: backends(place, &path, &route.route, findings),
        });
    }
    rules
}

/// Proxies know IPv4 addresses as such, however they were written.
fn range(text: &str) -> Option<IpNet> {
    let range = names::ip_block(text).ok()?;
    let mapped = match range {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED => v6.addr().to_ipv4_mapped(),
        _ => None,
    };
    match mapped {
        Some(v4) => IpNet::new(v4.into(), range.prefix_len() - MAPPED).ok(),
        None => Some(range),
    }
}

fn own<'l, 'f, 'a>(lowering: &'l Lowering<'f, 'a>, port: u16) -> Place<'l, 'f, 'a> {
    Place {
        lowering,
        namespace: &lowering.name.namespace,
        port,
    }
}

/// A condition that rules for TLS cannot have.
fn unsupported_tls(wanted: &VsTlsMatch) -> Option<&'static str> {
    let found = [
        ("destinationSubnets", !wanted.destination_subnets.is_empty()),
        ("sourceLabels", !wanted.source_labels.is_empty()),
        ("sourceNamespace", !wanted.source_namespace.is_empty()),
    ];
    found.iter().find(|(_, there)| *there).map(|(name, _)| *name)
}

/// A condition that rules for TCP cannot have.
fn unsupported_l4(wanted: &VsL4Match) -> Option<&'static str> {
    let found = [
        ("sourceSubnet", !wanted.source_subnet.is_empty()),
        ("sourceLabels", !wanted.source_labels.is_empty()),
        ("sourceNamespace", !wanted.source_namespace.is_empty()),
    ];
    found.iter().find(|(_, there)| *there).map(|(name, _)| *name)
}

fn backends(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    to: &[RouteDestination],
    findings: &mut Findings,
) -> Vec<TcpBackend> {
    let weights: Vec<u32> = to.iter().map(|t| t.weight).collect();
    let to = to.iter().zip(shares(&weights)).enumerate();
    to.map(|(i, (to, weight))| TcpBackend {
        weight,
        destination: destination(place, &path.field("route").item(i), &to.destination, findings),
    })
    .collect()
}

/// The length of the prefix of IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
const MAPPED: u8 = 96;
