//! The four kinds of routes.

use mesh_types::Strng;

use super::filters::{self, Route};
use super::{matches, refs, rules};
use crate::error::FieldPath;
use crate::gateway::{
    GrpcRoute, HttpRoute, HttpRouteRule, L4RouteRule, ParentRef, RouteFilter, TcpRoute, TlsRoute,
};
use crate::validate::{Check, names};

pub(in crate::validate) fn http_route(check: &mut Check, route: &HttpRoute) {
    let (spec, path) = (&route.spec, FieldPath::from("spec"));
    refs::parents(check, &path.field("parentRefs"), &spec.parent_refs);
    hostnames(
        check,
        &path.field("hostnames"),
        &spec.hostnames,
        &spec.parent_refs,
    );
    let path = path.field("rules");
    check.at_most(&path, spec.rules.len(), MAX_RULES);
    let all_matches: usize = spec.rules.iter().map(|r| r.matches.len()).sum();
    if all_matches > MAX_ALL_MATCHES {
        let reason = format!("have more than {MAX_ALL_MATCHES} matches together");
        check.refuse(path.clone(), reason);
    }
    rules::rule_names(check, &path, spec.rules.iter().map(|r| r.name.as_ref()));
    for (i, rule) in spec.rules.iter().enumerate() {
        http_rule(check, &path.item(i), rule);
    }
}

fn http_rule(check: &mut Check, path: &FieldPath, rule: &HttpRouteRule) {
    matches::http_matches(check, &path.field("matches"), &rule.matches);
    let filters = path.field("filters");
    filters::filters(check, &filters, &rule.filters, Route::Http, &rule.matches);
    let backends = path.field("backendRefs");
    rules::backends(check, &backends, &rule.backend_refs, Route::Http, &rule.matches);
    let redirects = rule
        .filters
        .iter()
        .any(|f| matches!(f, RouteFilter::RequestRedirect(_)));
    if redirects && !rule.backend_refs.is_empty() {
        check.refuse(
            backends,
            "cannot stand beside a RequestRedirect, which answers by itself",
        );
    }
    rules::timeouts(check, path, rule);
    if let Some(retry) = &rule.retry {
        rules::retry(check, &path.field("retry"), retry);
    }
    if let Some(session) = &rule.session_persistence {
        rules::session(check, &path.field("sessionPersistence"), session);
    }
}

pub(in crate::validate) fn grpc_route(check: &mut Check, route: &GrpcRoute) {
    let (spec, path) = (&route.spec, FieldPath::from("spec"));
    refs::parents(check, &path.field("parentRefs"), &spec.parent_refs);
    hostnames(
        check,
        &path.field("hostnames"),
        &spec.hostnames,
        &spec.parent_refs,
    );
    let path = path.field("rules");
    check.at_most(&path, spec.rules.len(), MAX_RULES);
    let all_matches: usize = spec.rules.iter().map(|r| r.matches.len()).sum();
    if all_matches > MAX_ALL_MATCHES {
        let reason = format!("have more than {MAX_ALL_MATCHES} matches together");
        check.refuse(path.clone(), reason);
    }
    rules::rule_names(check, &path, spec.rules.iter().map(|r| r.name.as_ref()));
    for (i, rule) in spec.rules.iter().enumerate() {
        let path = path.item(i);
        matches::grpc_matches(check, &path.field("matches"), &rule.matches);
        filters::filters(check, &path.field("filters"), &rule.filters, Route::Grpc, &[]);
        let backends = path.field("backendRefs");
        rules::backends(check, &backends, &rule.backend_refs, Route::Grpc, &[]);
        if let Some(session) = &rule.session_persistence {
            rules::session(check, &path.field("sessionPersistence"), session);
        }
    }
}

pub(in crate::validate) fn tls_route(check: &mut Check, route: &TlsRoute) {
    let (spec, path) = (&route.spec, FieldPath::from("spec"));
    refs::parents(check, &path.field("parentRefs"), &spec.parent_refs);
    let field = path.field("hostnames");
    check.at_most(&field, spec.hostnames.len(), MAX_HOSTNAMES);
    for (i, hostname) in spec.hostnames.iter().enumerate() {
        check.grammar(field.item(i), names::hostname(hostname));
    }
    l4_rules(check, &path.field("rules"), &spec.rules);
}

pub(in crate::validate) fn tcp_route(check: &mut Check, route: &TcpRoute) {
    let (spec, path) = (&route.spec, FieldPath::from("spec"));
    refs::parents(check, &path.field("parentRefs"), &spec.parent_refs);
    l4_rules(check, &path.field("rules"), &spec.rules);
}

fn l4_rules(check: &mut Check, path: &FieldPath, l4_rules: &[L4RouteRule]) {
    if l4_rules.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(path, l4_rules.len(), MAX_RULES);
    if l4_rules.len() > 1 {
        check.warn(path.clone(), "have nothing to choose by: only the first counts");
    }
    rules::rule_names(check, path, l4_rules.iter().map(|r| r.name.as_ref()));
    for (i, rule) in l4_rules.iter().enumerate() {
        let field = path.item(i).field("backendRefs");
        if rule.backend_refs.is_empty() {
            check.refuse(field.clone(), "is required");
        }
        refs::backends(check, &field, rule.backend_refs.iter());
    }
}

fn hostnames(check: &mut Check, path: &FieldPath, hostnames: &[Strng], parents: &[ParentRef]) {
    check.at_most(path, hostnames.len(), MAX_HOSTNAMES);
    for (i, hostname) in hostnames.iter().enumerate() {
        check.grammar(path.item(i), names::hostname(hostname));
    }
    if !hostnames.is_empty() && !parents.is_empty() && parents.iter().all(ParentRef::is_mesh) {
        let reason = "has no effect: a route of a Service is for every request to it, whatever host it names";
        check.warn(path.clone(), reason);
    }
}

/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_RULES: usize = 16;
const MAX_ALL_MATCHES: usize = 128;
const MAX_HOSTNAMES: usize = 16;
