//! What two matches come to, the root's and that of the route which it delegates to, as Istio joins them: the second must
//! be a part of the first, field by field, and one that is part of none makes its whole route count for nothing.

use std::collections::BTreeMap;

use controlplane_k8s_api::networking::{PresenceMatch, StringMatch, VsHttpMatch};
use mesh_types::Strng;

/// The matches of a route that is delegated to, within those of the root; nothing where they are at odds.
pub(super) fn matches(root: &[VsHttpMatch], part: &[VsHttpMatch]) -> Option<Vec<VsHttpMatch>> {
    if root.is_empty() {
        return Some(part.to_vec());
    }
    if part.is_empty() {
        return Some(root.to_vec());
    }
    let mut joined = Vec::with_capacity(part.len());
    for part in part {
        let before = joined.len();
        let fitting = root.iter().filter(|root| !at_odds(root, part));
        joined.extend(fitting.map(|root| join(root, part)));
        if joined.len() == before {
            return None;
        }
    }
    Some(joined)
}

/// Whether a match takes something that the root's does not, as far as Istio can tell.
fn at_odds(root: &VsHttpMatch, part: &VsHttpMatch) -> bool {
    let texts = [
        (&root.uri, &part.uri),
        (&root.scheme, &part.scheme),
        (&root.method, &part.method),
        (&root.authority, &part.authority),
    ];
    let texts = texts.into_iter().filter_map(|(r, p)| r.as_ref().zip(p.as_ref()));
    let named = [
        (&root.headers, &part.headers),
        (&root.without_headers, &part.without_headers),
        (&root.query_params, &part.query_params),
    ];
    let mut labels = part.source_labels.iter();
    texts.into_iter().any(|(r, p)| !includes(r, p))
        || named.into_iter().any(|(r, p)| at_odds_by_name(r, p))
        || root.ignore_uri_case != part.ignore_uri_case
        || (root.port != 0 && part.port != 0 && root.port != part.port)
        || (!root.source_namespace.is_empty() && root.source_namespace != part.source_namespace)
        || labels.any(|(name, value)| root.source_labels.get(name).is_some_and(|r| r != value))
        || at_odds_by_gateway(&root.gateways, &part.gateways)
}

fn at_odds_by_name(root: &BTreeMap<Strng, PresenceMatch>, part: &BTreeMap<Strng, PresenceMatch>) -> bool {
    part.iter().any(|(name, part)| match (root.get(name), part) {
        (None, _) => false,
        (Some(PresenceMatch::Value(root)), PresenceMatch::Value(part)) => !includes(root, part),
        // Istio compares nothing with what only has to be there.
        (Some(_), _) => true,
    })
}

fn at_odds_by_gateway(root: &[Strng], part: &[Strng]) -> bool {
    let several = !root.is_empty() && !part.is_empty();
    several && (root.len() < part.len() || part.iter().any(|gateway| !root.contains(gateway)))
}

/// Whether a text takes whatever another one takes; of expressions that cannot be told.
fn includes(root: &StringMatch, part: &StringMatch) -> bool {
    match (root, part) {
        (StringMatch::Exact(root), StringMatch::Exact(part)) => root == part,
        (StringMatch::Prefix(root), StringMatch::Exact(part) | StringMatch::Prefix(part)) => {
            part.starts_with(root.as_str())
        }
        (StringMatch::Exact(_), StringMatch::Prefix(_))
        | (StringMatch::Regex(_), _)
        | (_, StringMatch::Regex(_)) => false,
    }
}

/// What the part says, and where it says nothing, the root.
fn join(root: &VsHttpMatch, part: &VsHttpMatch) -> VsHttpMatch {
    let name = match (root.name.is_empty(), part.name.is_empty()) {
        (false, false) => Strng::from(format!("{}-{}", root.name, part.name)),
        (false, true) => root.name.clone(),
        (true, _) => part.name.clone(),
    };
    let stated = |part: &Strng, root: &Strng| match part.is_empty() {
        true => root.clone(),
        false => part.clone(),
    };
    VsHttpMatch {
        name,
        uri: part.uri.clone().or_else(|| root.uri.clone()),
        scheme: part.scheme.clone().or_else(|| root.scheme.clone()),
        method: part.method.clone().or_else(|| root.method.clone()),
        authority: part.authority.clone().or_else(|| root.authority.clone()),
        headers: together(&root.headers, &part.headers),
        without_headers: together(&root.without_headers, &part.without_headers),
        query_params: together(&root.query_params, &part.query_params),
        port: if part.port == 0 { root.port } else { part.port },
        source_labels: together(&root.source_labels, &part.source_labels).into(),
        source_namespace: stated(&part.source_namespace, &root.source_namespace),
        gateways: match part.gateways.is_empty() {
            true => root.gateways.clone(),
            false => part.gateways.clone(),
        },
        ignore_uri_case: part.ignore_uri_case,
        stat_prefix: stated(&part.stat_prefix, &root.stat_prefix),
    }
}

fn together<V: Clone>(root: &BTreeMap<Strng, V>, part: &BTreeMap<Strng, V>) -> BTreeMap<Strng, V> {
    let both = root.iter().chain(part);
    both.map(|(name, value)| (name.clone(), value.clone())).collect()
}
