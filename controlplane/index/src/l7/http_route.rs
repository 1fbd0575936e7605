//! An HTTPRoute becomes a route (Gateway API, "HTTPRoute").
//!
//! # Layout
//! - this file: the rules. `matches`: what requests must be. [`filters`]: what is done to them. `extras`: retries and
//!   sessions.

mod extras;
pub(super) mod filters;
pub(super) mod matches;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::{HttpBackendRef, HttpRoute, HttpRouteRule, RouteFilter};
use controlplane_k8s_api::value::GatewayDuration;
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{HttpAction, HttpBackend, HttpRule, Order, Rules};

use super::destinations::destination;
use super::findings::Findings;
use super::lowering::{LoweredRoute, Lowering, routes};
use super::parents::Side;

pub(super) use extras::session;

/// The routes of an HTTPRoute.
pub(crate) fn routes_from_http_route(lowering: &Lowering<'_, '_>, route: &HttpRoute) -> Vec<LoweredRoute> {
    let spec = &route.spec;
    routes(
        lowering,
        &route.metadata,
        &spec.parent_refs,
        &spec.hostnames,
        |side, findings| {
            let path = FieldPath::from("spec").field("rules");
            let rules = spec.rules.iter().enumerate();
            let rules = rules.map(|(i, rule)| http_rule(lowering, side, &path.item(i), (i, rule), findings));
            Rules::Http {
                order: Order::Specificity,
                rules: rules.collect(),
            }
        },
    )
}

fn http_rule(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    (index, rule): (usize, &HttpRouteRule),
    findings: &mut Findings,
) -> HttpRule {
    let redirect = rule.filters.iter().find_map(|filter| match filter {
        RouteFilter::RequestRedirect(redirect) => Some(filters::redirect(redirect)),
        _ => None,
    });
    HttpRule {
        name: rule.name.clone(),
        matches: rule.matches.iter().map(matches::http_match).collect(),
        filters: filters::of_rule(lowering, side, path, &rule.filters, findings),
        action: match redirect {
            Some(redirect) => HttpAction::Redirect(redirect),
            None => HttpAction::Forward(backends(lowering, side, path, &rule.backend_refs, findings)),
        },
        timeouts: Timeouts {
            request: limit(rule.timeouts.request),
            per_try: limit(rule.timeouts.backend_request),
        },
        retry: rule.retry.as_ref().map(extras::retry),
        session: rule
            .session_persistence
            .as_ref()
            .map(|s| session(lowering, index, rule.name.as_ref(), s)),
    }
}

/// The destinations of a rule, with their shares.
pub(super) fn backends(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    references: &[HttpBackendRef],
    findings: &mut Findings,
) -> Vec<HttpBackend> {
    let references = references.iter().enumerate();
    let backends = references.map(|(i, reference)| {
        let path = path.field("backendRefs").item(i);
        HttpBackend {
            weight: reference.backend.weight,
            destination: destination(lowering, side, &path, &reference.backend.object, findings),
            filters: filters::of_backend(lowering, side, &path, &reference.filters, findings),
        }
    });
    backends.collect()
}

/// Zero is no limit (Gateway API, "HTTPRouteTimeouts").
fn limit(duration: Option<GatewayDuration>) -> Option<std::time::Duration> {
    duration.map(|d| d.0).filter(|d| !d.is_zero())
}

#[cfg(test)]
mod tests;
