//! What only a running mesh shows. Pure: what was seen goes in, messages come out.
//!
//! # Layout
//! - this file: tunnels, proxies and the cluster itself. `webhooks`: what an Istio left. `listeners`: ports that are open to
//!   nobody.

mod listeners;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controlplane_k8s_api::security::MutualTlsMode;
use controlplane_k8s_api::{Group, Object};
use controlplane_kube::resources::WATCHED;
use serde_json::Value;

use super::{Code, Said};
use crate::check::Verdict;
use crate::clock::seconds;
use crate::precheck::{Crd, Facts, Wanted, precheck};
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
    /// Where the pods of each node listen (`/listeners` of its ztunnel).
    pub listeners: Vec<Value>,
    /// Configurations of webhooks, of both kinds.
    pub webhooks: Vec<Value>,
    /// Since the beginning of 1970.
    pub now: Duration,
}

/// Judges.
#[must_use]
pub fn judge(seen: &Seen, objects: &Validated) -> Vec<Said> {
    let mut said = Vec::new();
    said.extend(cluster(seen));
    said.extend(network_policies(seen));
    said.extend(not_served(seen));
    said.extend(certificates(seen));
    said.extend(strict(seen, objects));
    said.extend(rights(seen));
    said.extend(later_gateway_api(seen));
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

/// Kinds of Gateway API that are there in versions only that came before `v1`.
fn later_gateway_api(seen: &Seen) -> Vec<Said> {
    let read = |crd: &&Crd| {
        let mut kinds = WATCHED.iter();
        kinds.any(|kind| kind.group().name() == crd.spec.group && kind.plural == crd.spec.names.plural)
    };
    let crds = seen.facts.crds.iter();
    let crds = crds
        .filter(|crd| crd.spec.group == Group::Gateway.name())
        .filter(read);
    let old = crds.filter_map(|crd| {
        let served = crd.spec.versions.iter().filter(|version| version.served);
        let served: Vec<&str> = served.map(|version| version.name.as_str()).collect();
        let understood = served.iter().any(|version| Group::Gateway.versions().contains(version));
        (understood && !served.contains(&"v1")).then(|| {
            let text = format!(
                "spec.versions: {} is served, and v1 is not; a later version of the mesh will read v1 only: upgrade the CRDs of \
                 Gateway API (https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api)",
                served.join(", ")
            );
            let object = format!("CustomResourceDefinition {}", crd.metadata.name);
            (Code::FutureUnsupportedGatewayApiVersion, object, text)
        })
    });
    old.collect()
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

/// NetworkPolicies that select pods of the mesh and do not let its tunnels in.
fn network_policies(seen: &Seen) -> Vec<Said> {
    let blocking = seen.network_policies.iter().filter_map(|policy| {
        let namespace = text(&policy["metadata"]["namespace"]);
        let spec = &policy["spec"];
        let types = spec["policyTypes"].as_array();
        // Ingress is always one of them where nothing is said.
        let ingress = types.is_none_or(|types| types.iter().any(|kind| kind == "Ingress"));
        if !ingress || lets_in(spec) {
            return None;
        }
        let pod = seen.pods.iter().find(|pod| {
            text(&pod["metadata"]["namespace"]) == namespace
                && is_captured(pod)
                && selects(&spec["podSelector"], &pod["metadata"]["labels"])
        })?;
        let name = text(&policy["metadata"]["name"]);
        let text = format!(
            "it selects pods of the mesh, such as {}, and lets nobody in at port 15008, where the mesh's tunnels end; add \
             an ingress rule for TCP 15008",
            text(&pod["metadata"]["name"])
        );
        Some((Code::NetworkPolicyBlocksTunnels, format!("NetworkPolicy {namespace}/{name}"), text))
    });
    blocking.collect()
}

/// Whether some rule for what comes in admits the port of tunnels.
fn lets_in(spec: &Value) -> bool {
    let rules = spec["ingress"].as_array().map_or(&[][..], Vec::as_slice);
    rules
        .iter()
        .any(|rule| match rule["ports"].as_array().map(Vec::as_slice) {
            None | Some([]) => true,
            Some(ports) => ports.iter().any(|port| {
                let tcp = port["protocol"].as_str().is_none_or(|protocol| protocol == "TCP");
                let from = port["port"].as_u64();
                let to = port["endPort"].as_u64().or(from);
                let within = from.is_none_or(|from| from <= TUNNELS && to.is_some_and(|to| TUNNELS <= to));
                // A name is that of a container's port, and no container has this one.
                tcp && within && !port["port"].is_string()
            }),
        })
}

pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
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

/// Pods for which STRICT means nothing, since nobody looks at what comes to them.
fn strict(seen: &Seen, objects: &Validated) -> Vec<Said> {
    let namespaces: BTreeMap<&str, &str> = objects
        .objects
        .iter()
        .filter_map(|(_, object)| match &object.value {
            Object::PeerAuthentication(policy)
                if policy.spec.selector.is_none()
                    && policy
                        .spec
                        .mtls
                        .is_some_and(|mtls| mtls.mode == MutualTlsMode::Strict) =>
            {
                Some((&*policy.metadata.namespace, &*policy.metadata.name))
            }
            _ => None,
        })
        .collect();
    let outside = seen.pods.iter().filter_map(|pod| {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let policy = namespaces.get(namespace)?;
        let host = pod["spec"]["hostNetwork"] == true;
        let waypoint = !pod["metadata"]["labels"][super::objects::GATEWAY_NAME].is_null();
        let own = namespace == seen.system;
        let running = pod["status"]["phase"] == "Running";
        (running && !host && !waypoint && !own && !is_captured(pod)).then(|| {
            let text = format!(
                "PeerAuthentication {namespace}/{policy} demands mutual TLS, and this pod is not in the mesh: it takes plaintext \
                 from everybody; label its namespace istio.io/dataplane-mode=ambient"
            );
            (Code::StrictOutsideMesh, format!("Pod {namespace}/{name}"), text)
        })
    });
    outside.collect()
}

fn is_captured(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["ambient.istio.io/redirection"] == "enabled"
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// HBONE.
const TUNNELS: u64 = 15008;

#[cfg(test)]
mod tests;
