//! What requests must be (Istio reference, "HTTPMatchRequest"), and what two matches have in common.

use std::collections::BTreeMap;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::{PresenceMatch, StringMatch, VsHttpMatch};
use mesh_model::l7::route::{ClaimMatch, HttpMatch, NamedMatch, PathMatch};
use mesh_model::l7::{Pattern, TextMatch};
use mesh_types::Strng;

use crate::l7::findings::Findings;
use crate::l7::http_route::matches::regex_path;

/// One match; one that no request can fit takes nothing, rather than everything.
pub(super) fn http_match(path: &FieldPath, wanted: &VsHttpMatch, findings: &mut Findings) -> HttpMatch {
    let mut lowered = HttpMatch {
        path: wanted
            .uri
            .as_ref()
            .map(|uri| uri_match(uri, wanted.ignore_uri_case)),
        method: wanted.method.as_ref().map(text),
        authority: wanted.authority.as_ref().map(without_port),
        scheme: wanted.scheme.as_ref().map(text),
        query: named(&wanted.query_params, Strng::clone),
        source_namespace: Some(wanted.source_namespace.clone()).filter(|n| !n.is_empty()),
        source_labels: wanted
            .source_labels
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        ..HttpMatch::default()
    };
    // Waypoints are told of clients who they are, and not what they are labelled with.
    if !wanted.source_labels.is_empty() {
        let field = path.field("sourceLabels");
        findings.left_out(field, "is not known of clients here: the match takes no request");
    }
    for (name, value) in &wanted.headers {
        let further = header(name, presence(value));
        match further.and_then(|further| both(&lowered, &further)) {
            Some(together) => lowered = together,
            None => {
                let field = path.field("headers").field(name);
                findings.left_out(field, "cannot be compared with: the match takes no request");
                return never();
            }
        }
    }
    for (name, value) in &wanted.without_headers {
        // Names of what is no header cannot be asked for here.
        if name.starts_with(['@', ':']) {
            let field = path.field("withoutHeaders").field(name);
            findings.left_out(field, "is no header: the match takes no request");
            return never();
        }
        lowered.without_headers.push(NamedMatch {
            name: name.to_ascii_lowercase().into(),
            value: presence(value),
        });
    }
    lowered
}

/// A match that takes no request.
pub(in crate::l7) fn never() -> HttpMatch {
    HttpMatch {
        path: Some(PathMatch::Exact(NOWHERE.into())),
        ..HttpMatch::default()
    }
}

/// A match of those requests that two take; nothing where there are none, or they cannot be said.
fn both(a: &HttpMatch, b: &HttpMatch) -> Option<HttpMatch> {
    let namespace = either(
        a.source_namespace.as_ref(),
        b.source_namespace.as_ref(),
        |a, b| (a == b).then(|| a.clone()),
    );
    Some(HttpMatch {
        path: either(a.path.as_ref(), b.path.as_ref(), both_paths)?,
        method: either(a.method.as_ref(), b.method.as_ref(), both_texts)?,
        authority: either(a.authority.as_ref(), b.authority.as_ref(), both_texts)?,
        scheme: either(a.scheme.as_ref(), b.scheme.as_ref(), both_texts)?,
        headers: [a.headers.clone(), b.headers.clone()].concat(),
        without_headers: [a.without_headers.clone(), b.without_headers.clone()].concat(),
        query: [a.query.clone(), b.query.clone()].concat(),
        claims: [a.claims.clone(), b.claims.clone()].concat(),
        source_namespace: namespace?,
        source_labels: [a.source_labels.clone(), b.source_labels.clone()].concat(),
    })
}

/// Of two conditions the one that is there, or both together; nothing where they exclude each other.
fn either<T: Clone>(
    a: Option<&T>,
    b: Option<&T>,
    together: impl Fn(&T, &T) -> Option<T>,
) -> Option<Option<T>> {
    match (a, b) {
        (Some(a), Some(b)) => together(a, b).map(Some),
        (one, other) => Some(one.or(other).cloned()),
    }
}

fn both_paths(a: &PathMatch, b: &PathMatch) -> Option<PathMatch> {
    use PathMatch::{Exact, ExactIgnoringCase, Prefix, PrefixIgnoringCase, Regex};
    let narrower = match (a, b) {
        _ if a == b => a,
        (Exact(path), other) if other.matches(path) => a,
        (other, Exact(path)) if other.matches(path) => b,
        // What begins so or is so in any case of letters begins with less of it as well.
        (Prefix(text), Prefix(_) | PrefixIgnoringCase(_)) if b.matches(text) => a,
        (Prefix(_) | PrefixIgnoringCase(_), Prefix(text)) if a.matches(text) => b,
        (PrefixIgnoringCase(text) | ExactIgnoringCase(text), PrefixIgnoringCase(_)) if b.matches(text) => a,
        (PrefixIgnoringCase(_), PrefixIgnoringCase(text) | ExactIgnoringCase(text)) if a.matches(text) => b,
        // A root takes every path.
        (Regex(_), Prefix(root) | PrefixIgnoringCase(root)) if *root == "/" => a,
        (Prefix(root) | PrefixIgnoringCase(root), Regex(_)) if *root == "/" => b,
        _ => return None,
    };
    Some(narrower.clone())
}

fn both_texts(a: &TextMatch, b: &TextMatch) -> Option<TextMatch> {
    use TextMatch::{Exact, Prefix, Present};
    let narrower = match (a, b) {
        _ if a == b => a,
        (Exact(text), other) if other.matches(text) => a,
        (other, Exact(text)) if other.matches(text) => b,
        (Prefix(text), Prefix(shorter)) if text.starts_with(shorter.as_str()) => a,
        (Prefix(shorter), Prefix(text)) if text.starts_with(shorter.as_str()) => b,
        (Present, other) | (other, Present) => other,
        _ => return None,
    };
    Some(narrower.clone())
}

fn uri_match(uri: &StringMatch, ignore_case: bool) -> PathMatch {
    let is_path = |text: &str| text.starts_with('/') && !text.bytes().any(|b| b.is_ascii_control());
    match (uri, ignore_case) {
        (StringMatch::Regex(text), _) => regex_path(text),
        (StringMatch::Exact(text), _) if !is_path(text) => PathMatch::Exact(NOWHERE.into()),
        (StringMatch::Exact(text), true) => PathMatch::ExactIgnoringCase(text.clone()),
        (StringMatch::Exact(text), false) => PathMatch::Exact(text.clone()),
        (StringMatch::Prefix(text), true) => PathMatch::PrefixIgnoringCase(text.clone()),
        (StringMatch::Prefix(text), false) => PathMatch::Prefix(text.clone()),
    }
}

/// What a header, or what goes by a header's name, must be; nothing where no request has it.
fn header(name: &Strng, value: TextMatch) -> Option<HttpMatch> {
    let mut wanted = HttpMatch::default();
    if let Some(claim) = name.strip_prefix(CLAIMS) {
        let path = claim_path(claim)?;
        wanted.claims.push(ClaimMatch { path, value });
        return Some(wanted);
    }
    match name.as_str() {
        // Istio passes over these: their own fields are to be used.
        "uri" | "scheme" | "method" | "authority" => {}
        ":authority" => wanted.authority = Some(value),
        ":method" => wanted.method = Some(value),
        ":scheme" => wanted.scheme = Some(value),
        ":path" => {
            wanted.path = match value {
                TextMatch::Exact(text) => Some(uri_match(&StringMatch::Exact(text), false)),
                TextMatch::Prefix(text) => Some(PathMatch::Prefix(text)),
                TextMatch::Regex(pattern) => Some(PathMatch::Regex(pattern)),
                TextMatch::Present => None,
                TextMatch::Suffix(_) => return None,
            }
        }
        other if other.starts_with([':', '@']) => return None,
        other => wanted.headers.push(NamedMatch {
            name: other.to_ascii_lowercase().into(),
            value,
        }),
    }
    Some(wanted)
}

/// `.a.b` or `[a][b]`: the names on the way to a claim.
fn claim_path(claim: &str) -> Option<Vec<Strng>> {
    let parts: Vec<Strng> = match claim.strip_prefix('.') {
        Some(dotted) => dotted.split('.').map(Strng::from).collect(),
        None => {
            let inner = claim.strip_prefix('[')?.strip_suffix(']')?;
            inner.split("][").map(Strng::from).collect()
        }
    };
    let whole = parts.iter().all(|p| !p.is_empty() && !p.contains(['[', ']']));
    whole.then_some(parts)
}

fn named(wanted: &BTreeMap<Strng, PresenceMatch>, name_of: impl Fn(&Strng) -> Strng) -> Vec<NamedMatch> {
    let wanted = wanted.iter();
    wanted
        .map(|(name, value)| NamedMatch {
            name: name_of(name),
            value: presence(value),
        })
        .collect()
}

fn presence(wanted: &PresenceMatch) -> TextMatch {
    match wanted {
        PresenceMatch::Present => TextMatch::Present,
        PresenceMatch::Value(value) => text(value),
    }
}

/// A text to compare with.
pub(super) fn text(wanted: &StringMatch) -> TextMatch {
    match wanted {
        StringMatch::Exact(text) => TextMatch::Exact(text.clone()),
        StringMatch::Prefix(text) => TextMatch::Prefix(text.clone()),
        StringMatch::Regex(text) => match Pattern::new(text) {
            Ok(pattern) => TextMatch::Regex(pattern),
            // Validation takes only what compiles; no header and no parameter holds a line feed.
            Err(_) => TextMatch::Exact("\n".into()),
        },
    }
}

/// Hosts are compared without the port that a client may have named.
fn without_port(wanted: &StringMatch) -> TextMatch {
    match text(wanted) {
        TextMatch::Exact(host) => match host.rsplit_once(':') {
            Some((name, port)) if !name.ends_with(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
                TextMatch::Exact(name.into())
            }
            _ => TextMatch::Exact(host),
        },
        other => other,
    }
}

/// A path that no request has: a fragment is never sent.
const NOWHERE: &str = "/#";
const CLAIMS: &str = "@request.auth.claims";
