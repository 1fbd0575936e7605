//! A GRPCRoute becomes a route: a method is a path (Gateway API, "GRPCRoute"; gRPC over HTTP/2, "Requests").

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule, ValueMatch};
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{HttpAction, HttpMatch, HttpRule, Order, PathMatch, Rules};

use super::findings::Findings;
use super::http_route::matches::{headers, regex_path};
use super::http_route::{backends, filters, session};
use super::lowering::{LoweredRoute, Lowering, routes};
use super::parents::Side;

/// The routes of a GRPCRoute.
pub(crate) fn routes_from_grpc_route(lowering: &Lowering<'_, '_>, route: &GrpcRoute) -> Vec<LoweredRoute> {
    let spec = &route.spec;
    routes(
        lowering,
        &route.metadata,
        &spec.parent_refs,
        &spec.hostnames,
        |side, findings| {
            let path = FieldPath::from("spec").field("rules");
            let rules = spec.rules.iter().enumerate();
            let rules = rules.map(|(i, rule)| grpc_rule(lowering, side, &path.item(i), (i, rule), findings));
            Rules::Http {
                order: Order::Specificity,
                rules: rules.collect(),
            }
        },
    )
}

fn grpc_rule(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    (index, rule): (usize, &GrpcRouteRule),
    findings: &mut Findings,
) -> HttpRule {
    HttpRule {
        name: rule.name.clone(),
        matches: rule.matches.iter().map(grpc_match).collect(),
        filters: filters::of_rule(lowering, side, path, &rule.filters, findings),
        action: HttpAction::Forward(backends(lowering, side, path, &rule.backend_refs, findings)),
        timeouts: Timeouts::default(),
        retry: None,
        session: rule
            .session_persistence
            .as_ref()
            .map(|s| session(lowering, index, rule.name.as_ref(), s)),
    }
}

fn grpc_match(wanted: &GrpcRouteMatch) -> HttpMatch {
    HttpMatch {
        path: wanted.method.as_ref().and_then(method),
        headers: headers(&wanted.headers),
        ..HttpMatch::default()
    }
}

/// `/<service>/<method>`.
fn method(wanted: &GrpcMethodMatch) -> Option<PathMatch> {
    use ValueMatch::{Exact, Regex};
    Some(match (&wanted.service, &wanted.method) {
        (None, None) => return None,
        (Some(Exact(service)), Some(Exact(method))) => {
            PathMatch::Exact(format!("/{service}/{method}").into())
        }
        (Some(Exact(service)), None) => PathMatch::Segments(format!("/{service}").into()),
        // Both are identifiers; a dot is the only one of their characters that means something else.
        (None, Some(Exact(method))) => regex_path(&format!("/[^/]+/{method}")),
        (Some(Regex(service)), None) => regex_path(&format!("/(?:{service})/[^/]+")),
        (None, Some(Regex(method))) => regex_path(&format!("/[^/]+/(?:{method})")),
        (Some(Regex(service)), Some(Regex(method))) => regex_path(&format!("/(?:{service})/(?:{method})")),
        (Some(Exact(service)), Some(Regex(method))) => {
            regex_path(&format!("/{}/(?:{method})", service.replace('.', "\\.")))
        }
        (Some(Regex(service)), Some(Exact(method))) => regex_path(&format!("/(?:{service})/{method}")),
    })
}

#[cfg(test)]
mod tests;
