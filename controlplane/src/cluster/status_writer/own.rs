//! What of a status is applied (Kubernetes, "Server-Side Apply"): the entries that are ours, where the API server knows a list's
//! entries by their keys. Pure.
//!
//! That is certain of Kubernetes' own kinds, of Gateway API's and of ours. It is not of Istio's: whose CRDs are installed may be
//! upstream's of any age, whose lists are one value each, and whoever applies that takes everybody's entries away. Routes' `parents`
//! and policies' `ancestors` are such lists everywhere.

use controlplane_index::ObjectStatus;
use controlplane_k8s_api::Kind;
use serde_json::{Map, Value};

use crate::cluster::conditions;

/// Whether the status of this kind is applied.
#[must_use]
pub(super) fn is_applied(kind: Kind) -> bool {
    fields(kind).is_some()
}

/// Ours of what an object's status is to be, given what is said of it.
#[must_use]
pub(super) fn part(said: &ObjectStatus, whole: &Value) -> Value {
    // Of ours that is not said now, only what is left as it stands is in the whole.
    let is_ours = |condition: &Value| {
        let kind = condition["type"].as_str().unwrap_or_default();
        conditions::is_ours(kind) || said.conditions.iter().any(|said| said.kind.as_str() == kind)
    };
    let mut own = Map::new();
    for field in fields(said.object.kind).into_iter().flatten() {
        let value = match whole.get(*field) {
            Some(Value::Array(all)) if *field == CONDITIONS => {
                Value::Array(all.iter().filter(|c| is_ours(c)).cloned().collect())
            }
            Some(value) => value.clone(),
            None => continue,
        };
        own.insert((*field).to_owned(), value);
    }
    Value::Object(own)
}

/// The fields that are ours, all or in part, where a status is applied.
fn fields(kind: Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Service => Some(&[CONDITIONS]),
        Kind::FaultFilter | Kind::ExternalProcessorFilter => Some(&[CONDITIONS]),
        Kind::GatewayClass => Some(&[CONDITIONS, "supportedFeatures"]),
        Kind::Gateway => Some(&[CONDITIONS, "addresses", "listeners"]),
        _ => None,
    }
}

const CONDITIONS: &str = "conditions";

#[cfg(test)]
mod tests;
