//! HTTP routes of a VirtualService.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_types::Strng;

use super::virtual_service::{destination, gateways, labels, weights};
use crate::error::FieldPath;
use crate::networking::{
    AbortError, HeaderOperations, HttpRedirect, HttpRewrite, PresenceMatch, RedirectPort, StringMatch,
    VsBody, VsCors, VsDirectResponse, VsFault, VsHeaders, VsHttpAction, VsHttpMatch, VsHttpRoute, VsRetry,
};
use crate::validate::{Check, http, names, patterns};

pub(super) fn http_route(check: &mut Check, path: &FieldPath, route: &VsHttpRoute, delegated: bool) {
    for (i, wanted) in route.matches.iter().enumerate() {
        http_match(check, &path.field("match").item(i), wanted);
    }
    action(check, path, &route.action, delegated);
    if let Some(rewrite) = &route.rewrite {
        self::rewrite(check, &path.field("rewrite"), rewrite);
        if matches!(route.action, VsHttpAction::Redirect(_)) {
            check.refuse(path.field("rewrite"), "cannot stand beside redirect");
        }
    }
    if let Some(retries) = &route.retries {
        retry(check, &path.field("retries"), retries);
    }
    if let Some(fault) = &route.fault {
        self::fault(check, &path.field("fault"), fault);
    }
    for (i, mirror) in route.mirrors.iter().enumerate() {
        let path = path.field("mirrors").item(i);
        destination(check, &path.field("destination"), &mirror.destination);
        if let Some(percent) = mirror.percentage {
            check.percent(path.field("percentage").field("value"), percent.value);
        }
    }
    if let Some(cors) = &route.cors_policy {
        self::cors(check, &path.field("corsPolicy"), cors);
    }
    headers(check, &path.field("headers"), &route.headers);
}

fn action(check: &mut Check, path: &FieldPath, action: &VsHttpAction, delegated: bool) {
    match action {
        VsHttpAction::Route(routes) => {
            let path = path.field("route");
            for (i, route) in routes.iter().enumerate() {
                let path = path.item(i);
                destination(check, &path.field("destination"), &route.destination);
                headers(check, &path.field("headers"), &route.headers);
            }
            weights(check, &path, routes.iter().map(|r| r.weight));
        }
        VsHttpAction::Redirect(redirect) => self::redirect(check, &path.field("redirect"), redirect),
        VsHttpAction::DirectResponse(response) => {
            direct_response(check, &path.field("directResponse"), response);
        }
        VsHttpAction::Delegate(delegate) => {
            let path = path.field("delegate");
            if delegated {
                let reason = "cannot stand in an object that others delegate to, which is one without hosts";
                check.refuse(path.clone(), reason);
            }
            check.grammar(path.field("name"), names::subdomain(&delegate.name));
            if !delegate.namespace.is_empty() {
                check.grammar(path.field("namespace"), names::label(&delegate.namespace));
            }
        }
    }
}

fn http_match(check: &mut Check, path: &FieldPath, wanted: &VsHttpMatch) {
    for (name, text) in [
        ("uri", &wanted.uri),
        ("scheme", &wanted.scheme),
        ("method", &wanted.method),
        ("authority", &wanted.authority),
    ] {
        if let Some(text) = text {
            string_match(check, &path.field(name), text);
        }
    }
    for (name, headers) in [
        ("headers", &wanted.headers),
        ("withoutHeaders", &wanted.without_headers),
    ] {
        for (header, value) in headers {
            let field = path.field(name).field(header);
            let is_claim = header.starts_with("@request.auth.claims");
            if !is_claim {
                let bare = header.strip_prefix(':').unwrap_or(header);
                check.grammar(field.clone(), http::header_name(bare));
            }
            presence(check, &field, value);
        }
    }
    for (parameter, value) in &wanted.query_params {
        let field = path.field("queryParams").field(parameter);
        if parameter.is_empty() {
            check.refuse(field.clone(), "has an empty name");
        }
        presence(check, &field, value);
    }
    labels(check, path, &wanted.source_labels, &wanted.source_namespace);
    gateways(check, &path.field("gateways"), &wanted.gateways);
    if !wanted.stat_prefix.is_empty() {
        check.warn(
            path.field("statPrefix"),
            "has no effect: it names Envoy's own metrics",
        );
    }
}

fn presence(check: &mut Check, path: &FieldPath, wanted: &PresenceMatch) {
    if let PresenceMatch::Value(text) = wanted {
        string_match(check, path, text);
    }
}

fn string_match(check: &mut Check, path: &FieldPath, wanted: &StringMatch) {
    match wanted {
        StringMatch::Exact(_) => {}
        StringMatch::Prefix(text) if text.is_empty() => {
            check.refuse(path.field("prefix"), "is empty: it would match everything");
        }
        StringMatch::Prefix(_) => {}
        StringMatch::Regex(pattern) => check.grammar(path.field("regex"), patterns::regex(pattern)),
    }
}

fn redirect(check: &mut Check, path: &FieldPath, redirect: &HttpRedirect) {
    if ![301, 302, 303, 307, 308].contains(&redirect.code) {
        let reason = format!("{} is none of 301, 302, 303, 307, 308", redirect.code);
        check.refuse(path.field("redirectCode"), reason);
    }
    if let Some(RedirectPort::Number(port)) = redirect.port {
        check.port(path.field("port"), port);
    }
    if let Some(scheme) = &redirect.scheme
        && !["http", "https"].contains(&scheme.as_str())
    {
        let reason = format!("{:?} is neither http nor https", scheme.as_str());
        check.refuse(path.field("scheme"), reason);
    }
    let nothing = redirect.path.is_none()
        && redirect.authority.is_none()
        && redirect.scheme.is_none()
        && redirect.port.is_none();
    if nothing {
        check.refuse(
            path.clone(),
            "redirects to where the request was: needs uri, authority, scheme or port",
        );
    }
}

fn direct_response(check: &mut Check, path: &FieldPath, response: &VsDirectResponse) {
    check.grammar(path.field("status"), http::status(u32::from(response.status)));
    let length = match &response.body {
        Some(VsBody::String(text)) => text.len(),
        Some(VsBody::Bytes(text)) => {
            let bytes = STANDARD.decode(text.as_str());
            let grammar = bytes.as_ref().map(drop).map_err(|_| "is not base64".to_owned());
            check.grammar(path.field("body").field("bytes"), grammar);
            bytes.map_or(0, |b| b.len())
        }
        None => 0,
    };
    if length > MAX_BODY {
        check.refuse(path.field("body"), format!("is longer than {MAX_BODY} bytes"));
    }
}

fn rewrite(check: &mut Check, path: &FieldPath, rewrite: &HttpRewrite) {
    if rewrite.uri.is_some() && rewrite.uri_regex_rewrite.is_some() {
        check.refuse(path.clone(), "may have only one of uri and uriRegexRewrite");
    }
    if rewrite.uri.is_none() && rewrite.authority.is_none() && rewrite.uri_regex_rewrite.is_none() {
        check.refuse(path.clone(), "needs uri, uriRegexRewrite or authority");
    }
    if let Some(regex) = &rewrite.uri_regex_rewrite {
        let grammar = patterns::regex(&regex.pattern);
        check.grammar(path.field("uriRegexRewrite").field("match"), grammar);
    }
}

pub(in crate::validate) fn retry(check: &mut Check, path: &FieldPath, retry: &VsRetry) {
    check.positive(path.field("perTryTimeout"), retry.per_try_timeout);
    check.positive(path.field("backoff"), retry.backoff);
    for condition in retry.retry_on.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let status = condition.parse::<u32>().is_ok_and(|s| http::status(s).is_ok());
        if !status && !RETRY_ON.contains(&condition) {
            let reason = match crate::decode::nearest(condition, &RETRY_ON) {
                Some(nearest) => format!("{condition:?} is not known; did you mean {nearest:?}?"),
                None => format!("{condition:?} is neither a status nor a known condition"),
            };
            check.refuse(path.field("retryOn"), reason);
        }
    }
}

fn fault(check: &mut Check, path: &FieldPath, fault: &VsFault) {
    if fault.delay.is_none() && fault.abort.is_none() {
        check.refuse(path.clone(), "needs delay or abort");
    }
    if let Some(delay) = &fault.delay {
        let path = path.field("delay");
        check.positive(path.field("fixedDelay"), Some(delay.fixed_delay));
        if let Some(percent) = delay.percentage {
            check.percent(path.field("percentage").field("value"), percent.value);
        }
    }
    if let Some(abort) = &fault.abort {
        let path = path.field("abort");
        if let AbortError::Http(status) = abort.error {
            check.grammar(path.field("httpStatus"), http::status(u32::from(status)));
        }
        if let Some(percent) = abort.percentage {
            check.percent(path.field("percentage").field("value"), percent.value);
        }
    }
}

fn cors(check: &mut Check, path: &FieldPath, cors: &VsCors) {
    if !cors.allow_origin.is_empty() && !cors.allow_origins.is_empty() {
        check.refuse(path.field("allowOrigin"), "cannot stand beside allowOrigins");
    }
    for (i, origin) in cors.allow_origins.iter().enumerate() {
        string_match(check, &path.field("allowOrigins").item(i), origin);
    }
    for (i, method) in cors.allow_methods.iter().enumerate() {
        check.grammar(path.field("allowMethods").item(i), http::method(method));
    }
    for (name, headers) in [
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        header_names(check, &path.field(name), headers);
    }
}

fn headers(check: &mut Check, path: &FieldPath, headers: &VsHeaders) {
    operations(check, &path.field("request"), &headers.request, Side::Request);
    operations(check, &path.field("response"), &headers.response, Side::Response);
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Request,
    Response,
}

fn operations(check: &mut Check, path: &FieldPath, operations: &HeaderOperations, side: Side) {
    for (name, headers) in [("set", &operations.set), ("add", &operations.add)] {
        for (header, value) in headers {
            let field = path.field(name).field(header);
            // Istio allows the host to be set here, and a rewrite does the same.
            let host = side == Side::Request
                && name == "set"
                && matches!(header.as_str(), "host" | "Host" | ":authority");
            if !host {
                check.grammar(field.clone(), http::changeable_header(header));
            }
            check.grammar(field, http::header_value(value));
        }
    }
    for (i, header) in operations.remove.iter().enumerate() {
        check.grammar(path.field("remove").item(i), http::changeable_header(header));
    }
}

fn header_names(check: &mut Check, path: &FieldPath, headers: &[Strng]) {
    for (i, header) in headers.iter().enumerate() {
        check.grammar(path.item(i), http::header_name(header));
    }
}

/// Istio's limit.
const MAX_BODY: usize = 1024 * 1024;
/// Envoy documentation, "Router", `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
