//! TLSRoutes and TCPRoutes become routes for connections (Gateway API, "TLSRoute", "TCPRoute").
//!
//! Of several rules the first counts: they have nothing to choose by.

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::{BackendRef, L4RouteRule, TcpRoute, TlsRoute};
use mesh_model::l7::route::{Rules, TcpBackend, TcpRule, TlsRule};
use mesh_types::Strng;

use super::destinations::destination;
use super::findings::Findings;
use super::lowering::{LoweredRoute, Lowering, routes};
use super::parents::Side;

/// The routes of a TLSRoute.
pub(crate) fn routes_from_tls_route(lowering: &Lowering<'_, '_>, route: &TlsRoute) -> Vec<LoweredRoute> {
    let spec = &route.spec;
    let names: Vec<Strng> = spec
        .hostnames
        .iter()
        .map(|h| h.to_ascii_lowercase().into())
        .collect();
    routes(
        lowering,
        &route.metadata,
        &spec.parent_refs,
        &spec.hostnames,
        |side, findings| {
            let rule = first(&spec.rules, findings).map(|(path, rule)| TlsRule {
                name: rule.name.clone(),
                server_names: names.clone(),
                backends: backends(lowering, side, &path, &rule.backend_refs, findings),
            });
            Rules::Tls(rule.into_iter().collect())
        },
    )
}

/// The routes of a TCPRoute.
pub(crate) fn routes_from_tcp_route(lowering: &Lowering<'_, '_>, route: &TcpRoute) -> Vec<LoweredRoute> {
    let spec = &route.spec;
    routes(
        lowering,
        &route.metadata,
        &spec.parent_refs,
        &[],
        |side, findings| {
            let rule = first(&spec.rules, findings).map(|(path, rule)| TcpRule {
                name: rule.name.clone(),
                destinations: Vec::new(),
                backends: backends(lowering, side, &path, &rule.backend_refs, findings),
            });
            Rules::Tcp(rule.into_iter().collect())
        },
    )
}

fn first<'r>(rules: &'r [L4RouteRule], findings: &mut Findings) -> Option<(FieldPath, &'r L4RouteRule)> {
    let path = FieldPath::from("spec").field("rules");
    if rules.len() > 1 {
        findings.left_out(path.clone(), "have nothing to choose by: only the first counts");
    }
    rules.first().map(|rule| (path.item(0), rule))
}

fn backends(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    references: &[BackendRef],
    findings: &mut Findings,
) -> Vec<TcpBackend> {
    let references = references.iter().enumerate();
    let backends = references.map(|(i, reference)| TcpBackend {
        weight: reference.weight,
        destination: destination(
            lowering,
            side,
            &path.field("backendRefs").item(i),
            &reference.object,
            findings,
        ),
    });
    backends.collect()
}

#[cfg(test)]
mod tests;
