//! What only a running mesh shows. Pure: what was seen goes in, messages come out.
//!
//! # Layout
//! - this file: proxies and the cluster itself. `network`: NetworkPolicies before tunnels. `strict`: mutual TLS that is demanded
//!   in vain, or of whoever has none. `gateway_api`: its CRDs. `webhooks`: what an Istio left. `listeners`: ports that are open
//!   to nobody.

mod gateway_api;
mod listeners;
pub(crate) mod network;
mod strict;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controlplane_index::MeshConfig;
use serde_json::Value;

use super::{Code, Said};
use crate::check::Verdict;
use crate::clock::seconds;
use crate::precheck::{Facts, Wanted, precheck};
use crate::validate::Validated;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the cluster says of itself.
    pub facts: Facts,
    /// The mesh's namespace.
    pub system: String,
    /// NetworkPolicies.
    pub network_policies: Vec<Value>,
    /// Pods.
    pub pods: Vec<Value>,
    /// What the ztunnel of each node knows (`/config_dump`), by the node's name.
    pub dumps: BTreeMap<String, Value>,
    /// What the ztunnel of each node counts (`/metrics`), by the node's name.
    pub metrics: BTreeMap<String, String>,
    /// Where the pods of each node listen (`/listeners` of its ztunnel).
    pub listeners: Vec<Value>,
    /// Configurations of webhooks, of both kinds.
    pub webhooks: Vec<Value>,
    /// Since the beginning of 1970.
    pub now: Duration,
}

/// Judges.
#[must_use]
pub fn judge(seen: &Seen, objects: &Validated, config: &MeshConfig) -> Vec<Said> {
    let mut said = Vec::new();
    said.extend(cluster(seen));
    said.extend(network::judge(&seen.network_policies, &seen.pods));
    said.extend(not_served(seen));
    said.extend(certificates(seen));
    said.extend(strict::judge(seen, objects, config));
    said.extend(rights(seen));
    said.extend(gateway_api::judge(&seen.facts.crds));
    said.extend(webhooks::judge(&seen.webhooks, objects));
    said.extend(listeners::judge(&seen.listeners, objects));
    said
}

/// What whoever asks may not do, and would have to for an installation. Once the mesh is there that is nobody's fault.
fn rights(seen: &Seen) -> Vec<Said> {
    let is_there = seen
        .facts
        .parts
        .iter()
        .any(|part| part.metadata.namespace == seen.system);
    let denied = seen.facts.denied.iter().filter(|_| !is_there);
    let said = denied.map(|right| {
        let group = match right.group.as_str() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let place = if right.everywhere {
            "in the cluster".to_owned()
        } else {
            format!("in namespace {}", seen.system)
        };
        let text = format!(
            "you may not create {}{group} {place}, which an installation of the mesh does; ask for the role cluster-admin, or \
             for this right",
            right.resource
        );
        (Code::InsufficientPermissions, "cluster".to_owned(), text)
    });
    said.collect()
}

/// What is told before an installation, as far as it matters afterwards.
fn cluster(seen: &Seen) -> Vec<Said> {
    let wanted = Wanted {
        system: &seen.system,
        release: "lateen",
        platform: "",
    };
    let checks = precheck(&seen.facts, &wanted);
    let bad = checks.bad();
    let said = bad.all().iter().filter_map(|check| {
        let code = match (check.matter, check.verdict) {
            ("kubernetes", Verdict::Error) => Code::UnsupportedKubernetesVersion,
            ("gateway api", _) => Code::UnsupportedGatewayApiVersion,
            ("other meshes", _) if check.found.contains("two control planes") => Code::SeveralControlPlanes,
            _ => return None,
        };
        Some((
            code,
            "cluster".to_owned(),
            format!("{}; {}", check.found, check.remedy),
        ))
    });
    said.collect()
}

pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().is_none_or(|wanted| {
        let mut wanted = wanted.iter();
        wanted.all(|(key, value)| labels[key] == *value)
    });
    let fits = selector["matchExpressions"].as_array().is_none_or(|wanted| {
        wanted.iter().all(|wanted| {
            let value = &labels[text(&wanted["key"])];
            let listed = wanted["values"]
                .as_array()
                .is_some_and(|values| values.contains(value));
            match wanted["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => false,
            }
        })
    });
    equal && fits
}

/// Pods that say that they are in the mesh, and that the ztunnel of their node does not serve.
fn not_served(seen: &Seen) -> Vec<Said> {
    let mut served = BTreeSet::new();
    for dump in seen.dumps.values() {
        let states = dump["workloadState"].as_object();
        for state in states.into_iter().flat_map(|states| states.values()) {
            if state["state"].as_str().is_none_or(|state| state == "Up") {
                served.insert((text(&state["info"]["namespace"]), text(&state["info"]["name"])));
            }
        }
    }
    let absent = seen.pods.iter().filter_map(|pod| {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let node = text(&pod["spec"]["nodeName"]);
        let running = pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        // Of a node whose ztunnel did not answer nothing is known.
        let known = seen.dumps.contains_key(node);
        (running && known && is_captured(pod) && !served.contains(&(namespace, name))).then(|| {
            let text = format!(
                "it is marked as in the mesh, and the ztunnel of node {node} does not serve it: its traffic goes nowhere; \
                 the log of the node's agent (k8s-app=istio-cni-node) says why"
            );
            (Code::PodNotServed, format!("Pod {namespace}/{name}"), text)
        })
    });
    absent.collect()
}

/// Certificates that should have been renewed: that is done when half of their life is over.
fn certificates(seen: &Seen) -> Vec<Said> {
    let mut said = Vec::new();
    for (node, dump) in &seen.dumps {
        let all = dump["certificates"].as_array();
        for certificate in all.into_iter().flatten() {
            let leaf = &certificate["certChain"][0];
            let at = |field: &str| seconds(text(&leaf[field]));
            let (Some(from), Some(until)) = (at("validFrom"), at("expirationTime")) else {
                continue;
            };
            let now = i64::try_from(seen.now.as_secs()).unwrap_or(i64::MAX);
            // A quarter is left of its life.
            if until - now < (until - from) / 4 {
                let left = until - now;
                let identity = text(&certificate["identity"]);
                let text = format!(
                    "its certificate on node {node} ends in {left} s and was not renewed: the control plane's log says why it \
                     signs none"
                );
                said.push((Code::CertificateNearExpiry, identity.to_owned(), text));
            }
        }
    }
    said
}

fn is_captured(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["ambient.istio.io/redirection"] == "enabled"
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests;
