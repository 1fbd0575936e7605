//! One HTTP route of a VirtualService, for one port.

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::{VsHttpAction, VsHttpDestination, VsHttpMatch, VsHttpRoute};
use mesh_model::l7::filter::BackendFilter;
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{HttpAction, HttpBackend, HttpMatch, HttpRule};
use mesh_types::Strng;

use super::destination::{Place, destination, shares};
use super::{actions, delegate, is_for_mesh, matches, retry};
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;

/// The rules that count on a port, in order.
pub(super) fn http_rules(
    lowering: &Lowering<'_, '_>,
    port: u16,
    routes: &[VsHttpRoute],
    findings: &mut Findings,
) -> Vec<HttpRule> {
    let place = Place {
        lowering,
        namespace: &lowering.name.namespace,
        port,
    };
    let mut rules = Vec::with_capacity(routes.len());
    for (i, route) in routes.iter().enumerate() {
        let path = FieldPath::from("spec").field("http").item(i);
        let Some(matches) = matches_on(place, &path, &route.matches, findings) else {
            continue;
        };
        match &route.action {
            VsHttpAction::Delegate(to) => {
                rules.extend(delegate::rules(place, &path, (route, matches), to, findings));
            }
            _ => rules.push(http_rule(place, &path, route, matches, findings)),
        }
    }
    rules
}

/// The matches that count on a port; nothing where the route has some and none does.
pub(super) fn matches_on(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    wanted: &[VsHttpMatch],
    findings: &mut Findings,
) -> Option<Vec<HttpMatch>> {
    let counts = |m: &VsHttpMatch| (m.port == 0 || m.port == place.port) && is_for_mesh(&m.gateways);
    let counting = wanted.iter().enumerate().filter(|(_, m)| counts(m));
    let lowered: Vec<_> = counting
        .map(|(i, m)| matches::http_match(&path.field("match").item(i), m, findings))
        .collect();
    (wanted.is_empty() || !lowered.is_empty()).then_some(lowered)
}

/// A rule, with what it matches known already.
pub(super) fn http_rule(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    route: &VsHttpRoute,
    matches: Vec<HttpMatch>,
    findings: &mut Findings,
) -> HttpRule {
    let action = match &route.action {
        VsHttpAction::Route(to) => HttpAction::Forward(backends(place, path, to, findings)),
        VsHttpAction::Redirect(to) => actions::redirect(path, to, findings),
        VsHttpAction::DirectResponse(response) => HttpAction::Respond(actions::respond(response)),
        // Whoever asks for this has no other way to go: nothing that is not written happens.
        VsHttpAction::Delegate(_) => HttpAction::Forward(Vec::new()),
    };
    HttpRule {
        name: name(&route.name),
        matches,
        filters: actions::filters(place, path, route, findings),
        action,
        timeouts: Timeouts {
            request: route.timeout.map(|t| t.0).filter(|t| !t.is_zero()),
            per_try: None,
        },
        retry: route.retries.as_ref().map(retry::retry),
        session: None,
    }
}

fn name(name: &Strng) -> Option<Strng> {
    Some(name.clone()).filter(|n| !n.is_empty())
}

fn backends(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    to: &[VsHttpDestination],
    findings: &mut Findings,
) -> Vec<HttpBackend> {
    let weights: Vec<u32> = to.iter().map(|t| t.weight).collect();
    let shares = shares(&weights);
    let to = to.iter().zip(shares).enumerate();
    let backends = to.map(|(i, (to, weight))| {
        let path = path.field("route").item(i);
        let headers = actions::headers(&path, &to.headers, findings);
        let filters = headers.into_iter().map(|headers| match headers {
            actions::Headers::Request(edits) => BackendFilter::RequestHeaders(edits),
            actions::Headers::Response(edits) => BackendFilter::ResponseHeaders(edits),
            actions::Headers::Invalid(why) => BackendFilter::Invalid(why),
        });
        HttpBackend {
            weight,
            destination: destination(place, &path, &to.destination, findings),
            filters: filters.collect(),
        }
    });
    backends.collect()
}
