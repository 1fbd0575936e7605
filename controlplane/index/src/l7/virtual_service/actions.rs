//! What becomes of requests beside where they go (Istio reference, "HTTPRoute").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::{
    AbortError, HeaderOperations, HttpRedirect, HttpRewrite, RedirectPath, RedirectPort as Port, StringMatch,
    UnmatchedPreflights, VsBody, VsCors, VsDirectResponse, VsFault, VsHeaders, VsHttpRoute,
};
use controlplane_k8s_api::value::Percent;
use mesh_model::l7::filter::{
    Abort, Cors, Fault, Filter, HeaderEdits, Mirror, PathRewrite, Redirect, RedirectPort, Respond, Rewrite,
    Share,
};
use mesh_model::l7::route::HttpAction;
use mesh_model::l7::{Pattern, TextMatch};
use mesh_types::Strng;

use super::destination::{Place, destination};
use super::matches::text;
use crate::l7::findings::Findings;
use crate::l7::http_route::filters::{lower, share};

/// The filters of a route, in the order in which they are carried out.
pub(super) fn filters(
    place: Place<'_, '_, '_>,
    path: &FieldPath,
    route: &VsHttpRoute,
    findings: &mut Findings,
) -> Vec<Filter> {
    let mut filters: Vec<Filter> = Vec::new();
    filters.extend(route.fault.as_ref().map(|f| Filter::Fault(fault(f))));
    filters.extend(route.cors_policy.as_ref().map(|c| Filter::Cors(cors(c))));
    let headers = headers(path, &route.headers, findings).into_iter();
    filters.extend(headers.map(|headers| match headers {
        Headers::Request(edits) => Filter::RequestHeaders(edits),
        Headers::Response(edits) => Filter::ResponseHeaders(edits),
        Headers::Invalid(why) => Filter::Invalid(why),
    }));
    filters.extend(route.rewrite.as_ref().map(|wanted| match rewrite(wanted) {
        Ok(rewrite) => Filter::Rewrite(rewrite),
        Err(why) => {
            findings.left_out(
                path.field("rewrite"),
                format!("{why}: requests are answered with 500"),
            );
            Filter::Invalid(why.into())
        }
    }));
    for (i, mirror) in route.mirrors.iter().enumerate() {
        let path = path.field("mirrors").item(i);
        let share = part(mirror.percentage);
        if share.parts().0 > 0 {
            let destination = destination(place, &path, &mirror.destination, findings);
            filters.push(Filter::Mirror(Mirror { destination, share }));
        }
    }
    filters
}

/// Changes of headers of one side.
pub(super) enum Headers {
    Request(HeaderEdits),
    Response(HeaderEdits),
    /// They cannot be carried out.
    Invalid(Strng),
}

/// Changes of headers, those of requests first.
pub(super) fn headers(path: &FieldPath, headers: &VsHeaders, findings: &mut Findings) -> Vec<Headers> {
    let mut both = Vec::new();
    if headers.request != HeaderOperations::default() {
        let edits = edits(&headers.request);
        let host = edits.set.iter().find(|(name, _)| *name == AUTHORITY);
        let strange = host.filter(|(_, value)| !is_authority(value));
        both.push(match strange {
            None => Headers::Request(edits),
            Some((_, value)) => {
                let why = format!("{:?} is no host", value.as_str());
                let field = path.field("headers").field("request").field("set");
                findings.left_out(field, format!("{why}: requests are answered with 500"));
                Headers::Invalid(why.into())
            }
        });
    }
    if headers.response != HeaderOperations::default() {
        both.push(Headers::Response(edits(&headers.response)));
    }
    both
}

fn edits(operations: &HeaderOperations) -> HeaderEdits {
    let name = |name: &Strng| match lower(name) {
        host if host == "host" => AUTHORITY.into(),
        other => other,
    };
    HeaderEdits {
        set: operations.set.iter().map(|(k, v)| (name(k), v.clone())).collect(),
        add: operations
            .add
            .iter()
            .map(|(k, v)| (lower(k), v.clone()))
            .collect(),
        remove: operations.remove.iter().map(lower).collect(),
    }
}

/// A redirect; one that cannot be carried out is answered with 500.
pub(super) fn redirect(path: &FieldPath, wanted: &HttpRedirect, findings: &mut Findings) -> HttpAction {
    let target = wanted.path.as_ref().map(|path| match path {
        RedirectPath::Full(path) => PathRewrite::Full(path.clone()),
        RedirectPath::Prefix(prefix) => PathRewrite::RawPrefix(prefix.clone()),
    });
    let strange = wanted.authority.as_ref().filter(|a| !is_authority(a));
    let why = match (strange, &target) {
        (Some(host), _) => Some(format!("{:?} is no host", host.as_str())),
        (None, Some(path)) if !is_path_part(path) => Some("has control characters in its path".to_owned()),
        (None, _) => None,
    };
    if let Some(why) = why {
        findings.left_out(
            path.field("redirect"),
            format!("{why}: requests are answered with 500"),
        );
        return HttpAction::Forward(Vec::new());
    }
    let port = match (wanted.port, &wanted.scheme) {
        (Some(Port::Number(port)), _) => RedirectPort::Given(port),
        (Some(Port::OfRequest), _) => RedirectPort::Requested,
        // A scheme that is named brings its own.
        (Some(Port::OfScheme) | None, Some(_)) => RedirectPort::Derived,
        (Some(Port::OfScheme), None) => RedirectPort::Given(HTTP),
        // A host that is named stands for itself; else the host that was asked for stays whole (Envoy, `host_redirect`).
        (None, None) if wanted.authority.is_some() => RedirectPort::Given(HTTP),
        (None, None) => RedirectPort::AsNamed,
    };
    HttpAction::Redirect(Redirect {
        scheme: wanted.scheme.clone(),
        hostname: wanted.authority.clone(),
        port,
        path: target,
        status: wanted.code,
    })
}

/// An answer from the proxy.
pub(super) fn respond(response: &VsDirectResponse) -> Respond {
    let body = match &response.body {
        None => Bytes::new(),
        Some(VsBody::String(text)) => text.as_bytes().to_vec().into(),
        // Validation takes only base64.
        Some(VsBody::Bytes(text)) => STANDARD.decode(text.as_str()).unwrap_or_default().into(),
    };
    Respond {
        status: response.status,
        body,
    }
}

fn rewrite(wanted: &HttpRewrite) -> Result<Rewrite, String> {
    let path = match (&wanted.uri, &wanted.uri_regex_rewrite) {
        (Some(uri), _) => Some(PathRewrite::RawPrefix(uri.clone())),
        (None, Some(regex)) => {
            let pattern = Pattern::new(&regex.pattern).map_err(|e| e.to_string())?;
            Some(PathRewrite::Regex(pattern, regex.rewrite.clone()))
        }
        (None, None) => None,
    };
    if path.as_ref().is_some_and(|p| !is_path_part(p)) {
        return Err("has control characters in its path".to_owned());
    }
    match wanted.authority.as_ref().filter(|a| !is_authority(a)) {
        Some(host) => Err(format!("{:?} is no host", host.as_str())),
        None => Ok(Rewrite {
            authority: wanted.authority.clone(),
            path,
        }),
    }
}

fn fault(wanted: &VsFault) -> Fault {
    Fault {
        delay: wanted
            .delay
            .map(|delay| (delay.fixed_delay.0, part(delay.percentage))),
        abort: wanted.abort.map(|abort| {
            let how = match abort.error {
                AbortError::Http(status) => Abort::Http(status),
                AbortError::Grpc(status) => Abort::Grpc(status.0),
            };
            (how, part(abort.percentage))
        }),
    }
}

fn cors(wanted: &VsCors) -> Cors {
    let origins = wanted.allow_origins.iter().map(|origin| match origin {
        StringMatch::Exact(any) if *any == "*" => TextMatch::Present,
        other => text(other),
    });
    let of_old = wanted.allow_origin.iter().map(|origin| match origin {
        any if *any == "*" => TextMatch::Present,
        exact => TextMatch::Exact(exact.clone()),
    });
    Cors {
        allow_origins: origins.chain(of_old).collect(),
        allow_methods: wanted.allow_methods.clone(),
        allow_headers: wanted.allow_headers.clone(),
        expose_headers: wanted.expose_headers.clone(),
        max_age: wanted.max_age.map(|age| age.0),
        allow_credentials: wanted.allow_credentials.unwrap_or(false),
        forward_unmatched_preflights: wanted.unmatched_preflights != UnmatchedPreflights::Ignore,
    }
}

/// All where nothing is said.
fn part(percent: Option<Percent>) -> Share {
    percent.map_or(Share::ALL, |p| share(p.value))
}

/// Whether proxies take it for a host to ask for.
fn is_authority(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]%".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_path_part(path: &PathRewrite) -> bool {
    let (PathRewrite::Full(text)
    | PathRewrite::Prefix(text)
    | PathRewrite::RawPrefix(text)
    | PathRewrite::Regex(_, text)) = path;
    !text.bytes().any(|b| b.is_ascii_control())
}

const AUTHORITY: &str = ":authority";
/// The port of what is asked for within the mesh.
const HTTP: u16 = 80;
