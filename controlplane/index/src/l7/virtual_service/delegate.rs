//! Routes that another VirtualService has (Istio reference, "Delegate"): their matches must be part of the root's, and
//! where both say something else, the one that is delegated to counts.

mod merge;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::{Delegate, VirtualService, VsHeaders, VsHttpAction, VsHttpRoute};
use mesh_model::l7::route::{HttpAction, HttpMatch, HttpRule};
use mesh_types::{NamespacedName, Strng};

use super::destination::Place;
use super::rule::{http_rule, matches_on};
use crate::l7::findings::Findings;
use crate::l7::virtual_service::matches::never;
use crate::status::StatusReason;

/// The rules that a route delegates to, narrowed to what the route itself takes. Where they are not to be had, requests
/// that the route takes are answered with 500.
pub(super) fn rules(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    (root, taken): (&VsHttpRoute, Vec<HttpMatch>),
    to: &Delegate,
    findings: &mut Findings,
) -> Vec<HttpRule> {
    let own = &place.lowering.name.namespace;
    let namespace = if to.namespace.is_empty() {
        own
    } else {
        &to.namespace
    };
    let name = NamespacedName::new(namespace.clone(), to.name.clone());
    let found = place
        .lowering
        .fetch
        .get(place.lowering.lookups.virtual_services, &name);
    let delegated = match found {
        None => Err(format!("there is no VirtualService {name}")),
        Some(found) if !found.spec.hosts.is_empty() => Err(format!(
            "VirtualService {name} has hosts of its own, and cannot be delegated to"
        )),
        Some(found) if !is_exported(found, &name, own) => Err(format!(
            "VirtualService {name} is not exported to namespace {own}"
        )),
        Some(found) => Ok(found),
    };
    let delegated = match delegated {
        Ok(delegated) => delegated,
        Err(message) => {
            findings.unresolved(path.field("delegate"), StatusReason::DelegateNotFound, message);
            return vec![http_rule(place, path, root, taken, findings)];
        }
    };
    let place = Place { namespace, ..place };
    let mut within = Findings::default();
    let mut rules = Vec::with_capacity(delegated.spec.http.len());
    for (i, route) in delegated.spec.http.iter().enumerate() {
        let path = FieldPath::from("spec").field("http").item(i);
        let matches = match merge::matches(&root.matches, &route.matches) {
            Some(joined) => matches_on(place, &path, &joined, &mut within),
            None => {
                let message = "is no part of what is delegated: the route takes no request";
                within.left_out(path.field("match"), message);
                // A rule all the same: without any, requests would go straight to the service.
                Some(vec![never()])
            }
        };
        let Some(matches) = matches else {
            continue;
        };
        let merged = merged(root, route);
        let mut rule = http_rule(place, &path, &merged, matches, &mut within);
        if matches!(route.action, VsHttpAction::Delegate(_)) {
            rule.action = HttpAction::Forward(Vec::new());
            within.left_out(path.field("delegate"), "cannot be delegated further");
        }
        rules.push(rule);
    }
    findings.take_from(within, &path.field("delegate"), &format!("VirtualService {name}"));
    rules
}

/// Whether it may be named from a namespace.
fn is_exported(service: &VirtualService, name: &NamespacedName, to: &Strng) -> bool {
    let export_to = &service.spec.export_to;
    export_to.is_empty()
        || export_to
            .iter()
            .any(|e| *e == "*" || e == to || (*e == "." && name.namespace == *to))
}

/// The route, with what the other one says where it says nothing.
fn merged(root: &VsHttpRoute, route: &VsHttpRoute) -> VsHttpRoute {
    let name = match (root.name.is_empty(), route.name.is_empty()) {
        (false, false) => Strng::from(format!("{}-{}", root.name, route.name)),
        (false, true) => root.name.clone(),
        (true, _) => route.name.clone(),
    };
    let is_redirect = matches!(route.action, VsHttpAction::Redirect(_));
    VsHttpRoute {
        name,
        matches: Vec::new(),
        action: route.action.clone(),
        rewrite: route
            .rewrite
            .clone()
            .or_else(|| root.rewrite.clone().filter(|_| !is_redirect)),
        timeout: route.timeout.or(root.timeout),
        retries: route.retries.clone().or_else(|| root.retries.clone()),
        fault: route.fault.clone().or_else(|| root.fault.clone()),
        mirrors: match route.mirrors.is_empty() {
            true => root.mirrors.clone(),
            false => route.mirrors.clone(),
        },
        cors_policy: route.cors_policy.clone().or_else(|| root.cors_policy.clone()),
        headers: match route.headers == VsHeaders::default() {
            true => root.headers.clone(),
            false => route.headers.clone(),
        },
    }
}
