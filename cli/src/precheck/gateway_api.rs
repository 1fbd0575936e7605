//! Which kinds of Gateway API are there. All are optional: what is missing is not served, and nothing else suffers.

use super::{Facts, minor};
use crate::check::{Checks, some};

/// Judges.
pub(super) fn judge(facts: &Facts, checks: &mut Checks) {
    const MATTER: &str = "gateway api";
    let find = |plural: &str| {
        let mut crds = facts.crds.iter();
        crds.find(|crd| crd.spec.group == GATEWAY_API && crd.spec.names.plural == plural)
    };
    let Some(gateways) = find("gateways") else {
        checks.warning(
            MATTER,
            "its CRDs are not installed: no waypoints, and no routes",
            INSTALL,
        );
        return;
    };
    let annotation = |key: &str| {
        gateways
            .metadata
            .annotations
            .get(key)
            .map_or("unknown", String::as_str)
    };
    let (version, channel) = (annotation(BUNDLE_VERSION), annotation(BUNDLE_CHANNEL));
    let found = format!("version {version}, channel {channel}");
    if minor(version).is_some_and(|version| version < OLDEST) {
        checks.warning(MATTER, format!("{found} is older than 1.1"), INSTALL);
        return;
    }
    let lacks = |&(plural, versions): &(&str, &[&str])| {
        let is_served = find(plural).is_some_and(|crd| {
            let mut served = crd.spec.versions.iter().filter(|version| version.served);
            served.any(|version| versions.contains(&version.name.as_str()))
        });
        (!is_served).then(|| format!("{plural} ({})", versions.join(" or ")))
    };
    let missing: Vec<String> = NEEDED.iter().filter_map(lacks).collect();
    let absent: Vec<String> = LATER.iter().filter_map(lacks).collect();
    if !absent.is_empty() {
        checks.good(
            MATTER,
            format!(
                "without {}, which are in the experimental channel only, or in later versions",
                absent.join(", ")
            ),
        );
    }
    if missing.is_empty() {
        checks.good(MATTER, found);
    } else {
        checks.warning(MATTER, format!("{found}, without {}", some(&missing)), INSTALL);
    }
}

/// The first with GRPCRoute in `v1`.
const OLDEST: (u32, u32) = (1, 1);
/// Kinds that the control plane reads, and the versions of each that it understands: those that every bundle has,
const NEEDED: [(&str, &[&str]); 5] = [
    ("gatewayclasses", &["v1"]),
    ("gateways", &["v1"]),
    ("httproutes", &["v1"]),
    ("grpcroutes", &["v1"]),
    ("referencegrants", &["v1", "v1beta1"]),
];
/// and those that came to the standard channel later, or are not in it.
const LATER: [(&str, &[&str]); 3] = [
    ("backendtlspolicies", &["v1", "v1alpha3"]),
    ("tlsroutes", &["v1", "v1alpha3", "v1alpha2"]),
    ("tcproutes", &["v1", "v1alpha2"]),
];
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";
const BUNDLE_CHANNEL: &str = "gateway.networking.k8s.io/channel";
const INSTALL: &str = "https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api has the CRDs";
