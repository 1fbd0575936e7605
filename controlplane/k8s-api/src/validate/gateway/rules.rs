//! What rules of HTTPRoutes and GRPCRoutes have beside matches and filters.

use std::collections::HashSet;

use mesh_types::Strng;

use super::filters::{self, Route};
use super::refs;
use crate::error::FieldPath;
use crate::gateway::{
    CookieLifetime, HttpBackendRef, HttpRetry, HttpRouteMatch, HttpRouteRule, SessionPersistence, SessionType,
};
use crate::validate::{Check, http, names};

pub(super) fn timeouts(check: &mut Check, path: &FieldPath, rule: &HttpRouteRule) {
    let timeouts = &rule.timeouts;
    if let (Some(request), Some(backend)) = (timeouts.request, timeouts.backend_request)
        && !request.0.is_zero()
        && backend > request
    {
        check.refuse(
            path.field("timeouts").field("backendRequest"),
            "is longer than the whole request may take",
        );
    }
}

pub(super) fn retry(check: &mut Check, path: &FieldPath, retry: &HttpRetry) {
    for (i, code) in retry.codes.iter().enumerate() {
        if !(400..=599).contains(code) {
            let reason = format!("{code} is no status from 400 to 599");
            check.refuse(path.field("codes").item(i), reason);
        }
    }
    if retry.attempts == Some(0) {
        check.refuse(
            path.field("attempts"),
            "0 would try nothing again; leave retry out instead",
        );
    }
}

pub(super) fn session(check: &mut Check, path: &FieldPath, session: &SessionPersistence) {
    if let Some(name) = &session.session_name {
        let too_long = name.len() > 128;
        check.grammar(path.field("sessionName"), http::header_name(name));
        if too_long {
            check.refuse(path.field("sessionName"), "is longer than 128 characters");
        }
    }
    let permanent = session
        .cookie_config
        .is_some_and(|c| c.lifetime_type == CookieLifetime::Permanent);
    if permanent && session.absolute_timeout.is_none() {
        check.refuse(
            path.field("absoluteTimeout"),
            "is required for a permanent cookie",
        );
    }
    if session.kind == SessionType::Header && session.cookie_config.is_some() {
        check.refuse(path.field("cookieConfig"), "is only for the type Cookie");
    }
    for (name, timeout) in [
        ("absoluteTimeout", session.absolute_timeout),
        ("idleTimeout", session.idle_timeout),
    ] {
        if timeout.is_some_and(|t| t.0.is_zero()) {
            check.refuse(path.field(name), "is zero: every session would have ended");
        }
    }
}

pub(super) fn backends(
    check: &mut Check,
    path: &FieldPath,
    backends: &[HttpBackendRef],
    route: Route,
    matches: &[HttpRouteMatch],
) {
    refs::backends(check, path, backends.iter().map(|b| &b.backend));
    for (i, backend) in backends.iter().enumerate() {
        let path = path.item(i).field("filters");
        filters::filters(check, &path, &backend.filters, route, matches);
    }
}

pub(super) fn rule_names<'a>(
    check: &mut Check,
    path: &FieldPath,
    rule_names: impl Iterator<Item = Option<&'a Strng>>,
) {
    let mut seen = HashSet::new();
    for (i, name) in rule_names.enumerate() {
        let Some(name) = name else { continue };
        let field = path.item(i).field("name");
        check.grammar(field.clone(), names::subdomain(name));
        if !seen.insert(name) {
            check.refuse(field, format!("{:?} is there twice", name.as_str()));
        }
    }
}
