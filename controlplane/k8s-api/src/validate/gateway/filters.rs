//! What rules do to requests and responses.

use std::collections::HashSet;

use super::refs;
use crate::error::FieldPath;
use crate::gateway::{
    Cors, ExternalAuth, ExternalAuthProtocol, HeaderModifier, HttpRouteMatch, PathMatch, PathModifier,
    RequestRedirect, RouteFilter, UrlRewrite,
};
use crate::validate::{Check, http, names};

/// Which route a filter stands in.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Route {
    Http,
    Grpc,
}

pub(super) fn filters(
    check: &mut Check,
    path: &FieldPath,
    filters: &[RouteFilter],
    route: Route,
    matches: &[HttpRouteMatch],
) {
    check.at_most(path, filters.len(), MAX_FILTERS);
    let mut seen = HashSet::new();
    for (i, filter) in filters.iter().enumerate() {
        let path = path.item(i);
        let several = matches!(
            filter,
            RouteFilter::RequestMirror(_) | RouteFilter::ExtensionRef(_)
        );
        if !seen.insert(filter.kind()) && !several {
            check.refuse(path.clone(), format!("{} is there twice", filter.kind()));
        }
        if route == Route::Grpc && !is_for_grpc(filter) {
            let reason = format!("{} is no filter of GRPCRoutes", filter.kind());
            check.refuse(path.field("type"), reason);
        }
        one(check, &path.field(filter.field()), filter, matches);
    }
    if seen.contains("RequestRedirect") && seen.contains("URLRewrite") {
        check.refuse(
            path.clone(),
            "may have only one of RequestRedirect and URLRewrite",
        );
    }
}

fn is_for_grpc(filter: &RouteFilter) -> bool {
    matches!(
        filter,
        RouteFilter::RequestHeaderModifier(_)
            | RouteFilter::ResponseHeaderModifier(_)
            | RouteFilter::RequestMirror(_)
            | RouteFilter::ExtensionRef(_)
    )
}

fn one(check: &mut Check, path: &FieldPath, filter: &RouteFilter, matches: &[HttpRouteMatch]) {
    match filter {
        RouteFilter::RequestHeaderModifier(m) | RouteFilter::ResponseHeaderModifier(m) => {
            header_modifier(check, path, m);
        }
        RouteFilter::RequestRedirect(redirect) => self::redirect(check, path, redirect, matches),
        RouteFilter::UrlRewrite(rewrite) => self::rewrite(check, path, rewrite, matches),
        RouteFilter::RequestMirror(mirror) => {
            refs::backend(check, &path.field("backendRef"), &mirror.backend)
        }
        RouteFilter::Cors(cors) => self::cors(check, path, cors),
        RouteFilter::ExternalAuth(auth) => external_auth(check, path, auth),
        RouteFilter::ExtensionRef(reference) => refs::local(check, path, reference),
    }
}

fn header_modifier(check: &mut Check, path: &FieldPath, modifier: &HeaderModifier) {
    for (name, headers) in [("set", &modifier.set), ("add", &modifier.add)] {
        let path = path.field(name);
        check.at_most(&path, headers.len(), MAX_HEADERS);
        let mut seen = HashSet::new();
        for (i, header) in headers.iter().enumerate() {
            let path = path.item(i);
            check.grammar(path.field("name"), http::changeable_header(&header.name));
            check.grammar(path.field("value"), http::header_value(&header.value));
            if !seen.insert(header.name.to_ascii_lowercase()) {
                let reason = format!("{:?} is there twice: only the first counts", header.name.as_str());
                check.warn(path.field("name"), reason);
            }
        }
    }
    check.at_most(&path.field("remove"), modifier.remove.len(), MAX_HEADERS);
    for (i, name) in modifier.remove.iter().enumerate() {
        check.grammar(path.field("remove").item(i), http::changeable_header(name));
    }
}

fn redirect(check: &mut Check, path: &FieldPath, redirect: &RequestRedirect, matches: &[HttpRouteMatch]) {
    if let Some(hostname) = &redirect.hostname {
        check.grammar(path.field("hostname"), precise_hostname(hostname));
    }
    if let Some(port) = redirect.port {
        check.port(path.field("port"), port);
    }
    if let Some(modifier) = &redirect.path {
        path_modifier(check, &path.field("path"), modifier, matches);
    }
}

fn rewrite(check: &mut Check, path: &FieldPath, rewrite: &UrlRewrite, matches: &[HttpRouteMatch]) {
    if let Some(hostname) = &rewrite.hostname {
        check.grammar(path.field("hostname"), precise_hostname(hostname));
    }
    if let Some(modifier) = &rewrite.path {
        path_modifier(check, &path.field("path"), modifier, matches);
    }
}

fn path_modifier(check: &mut Check, path: &FieldPath, modifier: &PathModifier, matches: &[HttpRouteMatch]) {
    let (field, value) = match modifier {
        PathModifier::ReplaceFullPath(value) => (path.field("replaceFullPath"), value),
        PathModifier::ReplacePrefixMatch(value) => (path.field("replacePrefixMatch"), value),
    };
    if value.len() > 1024 {
        check.refuse(field.clone(), "is longer than 1024 characters");
    }
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        let reason = format!("{:?} has characters that no path has", value.as_str());
        check.refuse(field.clone(), reason);
    }
    let replaces_prefix = matches!(modifier, PathModifier::ReplacePrefixMatch(_));
    // Without matches the rule has the prefix `/`.
    let prefixes = matches.iter().filter(|m| matches!(m.path, PathMatch::Prefix(_)));
    if replaces_prefix && !matches.is_empty() && (matches.len() != 1 || prefixes.count() != 1) {
        check.refuse(
            field,
            "needs a rule with exactly one match, whose path is a PathPrefix",
        );
    }
}

fn precise_hostname(name: &str) -> Result<(), String> {
    if name.starts_with('*') {
        return Err(format!("{name:?} is a wildcard, where one host is needed"));
    }
    names::hostname(name)
}

fn cors(check: &mut Check, path: &FieldPath, cors: &Cors) {
    let field = path.field("allowOrigins");
    check.at_most(&field, cors.allow_origins.len(), MAX_CORS);
    for (i, origin) in cors.allow_origins.iter().enumerate() {
        check.grammar(field.item(i), self::origin(origin));
        if origin.as_str() == "*" && cors.allow_origins.len() > 1 {
            check.refuse(field.item(i), "\"*\" cannot stand beside other origins");
        }
    }
    let field = path.field("allowMethods");
    for (i, method) in cors.allow_methods.iter().enumerate() {
        check.grammar(field.item(i), http::method(method));
        if method.as_str() == "*" && cors.allow_methods.len() > 1 {
            check.refuse(field.item(i), "\"*\" cannot stand beside other methods");
        }
    }
    for (name, headers) in [
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        check.at_most(&path.field(name), headers.len(), MAX_CORS);
        for (i, header) in headers.iter().enumerate() {
            check.grammar(path.field(name).item(i), http::header_name(header));
        }
    }
    if cors.max_age == 0 {
        check.refuse(path.field("maxAge"), "must be at least 1");
    }
}

/// `*`, or `<scheme>://<host>[:<port>]`, whose host may begin with `*.`.
fn origin(origin: &str) -> Result<(), String> {
    let parts = origin.split_once("://");
    let well_formed = parts.is_some_and(|(scheme, rest)| {
        let (host, port) = rest.rsplit_once(':').map_or((rest, None), |(h, p)| (h, Some(p)));
        let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        scheme_ok && names::wildcard_domain(host).is_ok() && port.is_none_or(|p| names::port(p).is_ok())
    });
    if origin == "*" || well_formed {
        return Ok(());
    }
    Err(format!(
        "{origin:?} is neither `*` nor an origin like https://example.com"
    ))
}

fn external_auth(check: &mut Check, path: &FieldPath, auth: &ExternalAuth) {
    refs::backend(check, &path.field("backendRef"), &auth.backend);
    let headers = match &auth.protocol {
        ExternalAuthProtocol::Grpc(grpc) => vec![("grpc", "allowedHeaders", &grpc.allowed_headers)],
        ExternalAuthProtocol::Http(settings) => {
            if let Some(prefix) = settings.path.as_deref().filter(|p| !p.is_empty()) {
                check.grammar(path.field("http").field("path"), http::path(prefix));
            }
            vec![
                ("http", "allowedHeaders", &settings.allowed_headers),
                (
                    "http",
                    "allowedResponseHeaders",
                    &settings.allowed_response_headers,
                ),
            ]
        }
    };
    for (protocol, name, headers) in headers {
        let path = path.field(protocol).field(name);
        check.at_most(&path, headers.len(), MAX_CORS);
        for (i, header) in headers.iter().enumerate() {
            check.grammar(path.item(i), http::header_name(header));
        }
    }
}

/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_FILTERS: usize = 16;
const MAX_HEADERS: usize = 16;
const MAX_CORS: usize = 64;
