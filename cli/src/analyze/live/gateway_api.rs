//! Kinds of Gateway API that are there in versions that are too old, or soon will be.

use controlplane_k8s_api::Group;
use controlplane_kube::resources::{WATCHED, Watched};

use super::{Code, Said};
use crate::precheck::Crd;

/// Judges.
pub(super) fn judge(crds: &[Crd]) -> Vec<Said> {
    let read = crds.iter().filter_map(|crd| Some((crd, watched(crd)?)));
    let said = read.filter_map(|(crd, watched)| {
        let (code, text) = too_old(crd, watched)
            .map(|text| (Code::GatewayApiCrdVersionBelowMinimum, text))
            .or_else(|| later(crd).map(|text| (Code::FutureUnsupportedGatewayApiVersion, text)))?;
        let object = format!("CustomResourceDefinition {}", crd.metadata.name);
        Some((code, object, text))
    });
    said.collect()
}

/// The kind, if the control plane reads it.
fn watched(crd: &Crd) -> Option<&'static Watched> {
    if crd.spec.group != Group::Gateway.name() {
        return None;
    }
    let mut kinds = WATCHED.iter();
    kinds.find(|kind| kind.group().name() == crd.spec.group && kind.plural == crd.spec.names.plural)
}

/// What is not read, or comes from before the oldest release that is supported.
fn too_old(crd: &Crd, watched: &Watched) -> Option<String> {
    let served = served(crd);
    let bundle = crd.metadata.annotations.get(BUNDLE_VERSION);
    let bundle = bundle.map_or("unknown", String::as_str);
    if watched.version(&served).is_none() {
        return Some(format!(
            "spec.versions: {} is served, and the mesh reads {} of this kind: its objects are passed over (it is of Gateway \
             API {bundle}); upgrade the CRDs ({GUIDE})",
            list(&served),
            Group::Gateway.versions().join(", ")
        ));
    }
    release(bundle).filter(|release| *release < OLDEST).map(|_| {
        format!(
            "metadata.annotations[{BUNDLE_VERSION}]: it is of Gateway API {bundle}, and the oldest that is supported is {}.{}; \
             upgrade the CRDs ({GUIDE})",
            OLDEST.0, OLDEST.1
        )
    })
}

/// Kinds that are there in versions only that came before `v1`.
fn later(crd: &Crd) -> Option<String> {
    let served = served(crd);
    (!served.contains(&"v1")).then(|| {
        format!(
            "spec.versions: {} is served, and v1 is not; a later version of the mesh will read v1 only: upgrade the CRDs of \
             Gateway API ({GUIDE})",
            served.join(", ")
        )
    })
}

fn served(crd: &Crd) -> Vec<&str> {
    let served = crd.spec.versions.iter().filter(|version| version.served);
    served.map(|version| version.name.as_str()).collect()
}

fn list(versions: &[&str]) -> String {
    match versions {
        [] => "no version".to_owned(),
        versions => versions.join(", "),
    }
}

/// Major and minor number of `v1.4.0`.
fn release(bundle: &str) -> Option<(u32, u32)> {
    let mut numbers = bundle.trim_start_matches('v').split('.');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

/// The first with GRPCRoute in `v1`, as the check before an installation has it.
const OLDEST: (u32, u32) = (1, 1);
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";
const GUIDE: &str = "https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api";

#[cfg(test)]
mod tests;
