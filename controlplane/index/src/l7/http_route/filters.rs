//! What a rule does to requests and answers (Gateway API, "HTTPRouteFilter").
//!
//! A filter that cannot be carried out is never passed over: what would have gone through it is answered with 500.

mod external_auth;
mod external_processor;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::{
    self, HeaderModifier, LocalObjectRef, PathModifier, RedirectScheme, RequestMirror, RequestRedirect,
    RouteFilter, UrlRewrite,
};
use controlplane_k8s_api::lateen::{FaultError, FaultFilterSpec};
use mesh_model::l7::filter::{
    Abort, BackendFilter, Cors, Fault, Filter, HeaderEdits, Mirror, PathRewrite, Redirect, RedirectPort,
    Rewrite, Share,
};
use mesh_model::l7::{Pattern, TextMatch};
use mesh_types::{NamespacedName, Strng};

use crate::l7::destinations::destination;
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;
use crate::l7::parents::Side;
use crate::status::StatusReason;

/// The filters of a rule; a redirect is its action instead.
pub(in crate::l7) fn of_rule(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    filters: &[RouteFilter],
    findings: &mut Findings,
) -> Vec<Filter> {
    let filters = filters.iter().enumerate();
    let lowered = filters.filter_map(|(i, filter)| {
        let path = path.field("filters").item(i).field(filter.field());
        Some(match filter {
            RouteFilter::RequestHeaderModifier(edits) => Filter::RequestHeaders(header_edits(edits)),
            RouteFilter::ResponseHeaderModifier(edits) => Filter::ResponseHeaders(header_edits(edits)),
            RouteFilter::UrlRewrite(rewrite) => Filter::Rewrite(self::rewrite(rewrite)),
            RouteFilter::RequestMirror(mirror) => {
                Filter::Mirror(self::mirror(lowering, side, &path, mirror, findings)?)
            }
            RouteFilter::Cors(cors) => Filter::Cors(self::cors(cors)),
            RouteFilter::ExternalAuth(auth) => {
                external_auth::external_auth(lowering, side, &path, auth, findings)
            }
            RouteFilter::ExtensionRef(reference) => extension(lowering, side, &path, reference, findings),
            RouteFilter::RequestRedirect(_) => return None,
        })
    });
    external_processor::at_most_one(path, lowered.collect(), findings)
}

/// The filters of one destination of a rule.
pub(in crate::l7) fn of_backend(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    filters: &[RouteFilter],
    findings: &mut Findings,
) -> Vec<BackendFilter> {
    let filters = filters.iter().enumerate();
    let lowered = filters.filter_map(|(i, filter)| {
        let path = path.field("filters").item(i);
        Some(match filter {
            RouteFilter::RequestHeaderModifier(edits) => BackendFilter::RequestHeaders(header_edits(edits)),
            RouteFilter::ResponseHeaderModifier(edits) => BackendFilter::ResponseHeaders(header_edits(edits)),
            RouteFilter::UrlRewrite(rewrite) => BackendFilter::Rewrite(self::rewrite(rewrite)),
            RouteFilter::RequestRedirect(redirect) => BackendFilter::Redirect(self::redirect(redirect)),
            RouteFilter::RequestMirror(mirror) => {
                let path = path.field(filter.field());
                BackendFilter::Mirror(self::mirror(lowering, side, &path, mirror, findings)?)
            }
            RouteFilter::Cors(_) | RouteFilter::ExternalAuth(_) | RouteFilter::ExtensionRef(_) => {
                let message = format!("{} is only carried out for whole rules", filter.kind());
                findings.left_out(path, format!("{message}: its share is answered with 500"));
                BackendFilter::Invalid(message.into())
            }
        })
    });
    lowered.collect()
}

/// A redirect; 302 where it does not say.
pub(in crate::l7) fn redirect(redirect: &RequestRedirect) -> Redirect {
    Redirect {
        scheme: redirect.scheme.map(|scheme| match scheme {
            RedirectScheme::Http => "http".into(),
            RedirectScheme::Https => "https".into(),
        }),
        hostname: redirect.hostname.clone(),
        port: redirect.port.map_or(RedirectPort::Derived, RedirectPort::Given),
        path: redirect.path.as_ref().map(path_rewrite),
        status: redirect.status_code.0,
    }
}

fn rewrite(rewrite: &UrlRewrite) -> Rewrite {
    Rewrite {
        authority: rewrite.hostname.clone(),
        path: rewrite.path.as_ref().map(path_rewrite),
    }
}

fn path_rewrite(path: &PathModifier) -> PathRewrite {
    match path {
        PathModifier::ReplaceFullPath(path) => PathRewrite::Full(path.clone()),
        PathModifier::ReplacePrefixMatch(path) => PathRewrite::Prefix(path.clone()),
    }
}

/// Of equal names the first counts (Gateway API, "HTTPHeaderFilter").
fn header_edits(modifier: &HeaderModifier) -> HeaderEdits {
    let pairs = |headers: &[gateway::Header]| {
        let mut seen = HashSet::new();
        let pairs = headers.iter().map(|h| (lower(&h.name), h.value.clone()));
        pairs.filter(|(name, _)| seen.insert(name.clone())).collect()
    };
    HeaderEdits {
        set: pairs(&modifier.set),
        add: pairs(&modifier.add),
        remove: modifier.remove.iter().map(lower).collect(),
    }
}

/// A copy; none where its share is nothing.
fn mirror(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    mirror: &RequestMirror,
    findings: &mut Findings,
) -> Option<Mirror> {
    let share = Share::new(mirror.fraction.numerator, mirror.fraction.denominator)?;
    let field = path.field("backendRef");
    Some(Mirror {
        destination: destination(lowering, side, &field, &mirror.backend, findings),
        share,
    })
}

fn cors(cors: &gateway::Cors) -> Cors {
    Cors {
        allow_origins: cors.allow_origins.iter().map(origin).collect(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age: Some(Duration::from_secs(cors.max_age.into())),
        allow_credentials: cors.allow_credentials,
        forward_unmatched_preflights: false,
    }
}

/// `*`, or an origin whose host may begin with `*`, which stands for one label or more.
fn origin(origin: &Strng) -> TextMatch {
    if *origin == "*" {
        return TextMatch::Present;
    }
    if !origin.contains('*') {
        return TextMatch::Exact(origin.clone());
    }
    let parts: Vec<String> = origin.split('*').map(escape).collect();
    match Pattern::new(&parts.join("[^/]+")) {
        Ok(pattern) => TextMatch::Regex(pattern),
        // What is escaped compiles, and a star alone is nobody's origin.
        Err(_) => TextMatch::Exact(origin.clone()),
    }
}

/// A text as a regular expression that matches it and nothing else.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A filter of a kind of its own: ours make faults, or let somebody else change requests.
fn extension(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    reference: &LocalObjectRef,
    findings: &mut Findings,
) -> Filter {
    let name = NamespacedName::new(lowering.name.namespace.clone(), reference.name.clone());
    let (reason, message) = match (reference.group.as_str(), reference.kind.as_str()) {
        ("lateen.dev", "ExternalProcessorFilter") => {
            match external_processor::external_processing(lowering, side, &name) {
                Ok(processing) => return Filter::ExternalProcessing(Arc::new(processing)),
                Err(wrong) => wrong,
            }
        }
        ("lateen.dev", "FaultFilter") => match lowering.fetch.get(lowering.lookups.faults, &name) {
            Some(filter) => return Filter::Fault(fault(&filter.spec)),
            None => (
                StatusReason::FilterNotFound,
                format!("there is no FaultFilter {name}"),
            ),
        },
        (group, kind) => (
            StatusReason::InvalidKind,
            format!("{kind} of group {group:?} is no filter that is known here"),
        ),
    };
    findings.unresolved(path.clone(), reason, message.clone());
    Filter::Invalid(message.into())
}

fn fault(spec: &FaultFilterSpec) -> Fault {
    Fault {
        delay: spec
            .delay
            .map(|delay| (delay.fixed_delay.0, share(delay.percentage))),
        abort: spec.abort.map(|abort| {
            let how = match abort.error {
                FaultError::Http(status) => Abort::Http(status),
                FaultError::Grpc(status) => Abort::Grpc(status.0),
            };
            (how, share(abort.percentage))
        }),
    }
}

/// A percentage, to a ten-thousandth of a per cent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits before"
)]
pub(in crate::l7) fn share(percent: f64) -> Share {
    let millionths = (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    Share::new(millionths, 1_000_000).unwrap_or(Share::ALL)
}

pub(in crate::l7) fn lower(name: &Strng) -> Strng {
    match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.clone(),
    }
}
