//! What only a running mesh shows. Pure: what was seen goes in, messages come out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controlplane_k8s_api::Object;
use controlplane_k8s_api::security::MutualTlsMode;
use serde_json::Value;

use super::{Code, Said};
use crate::check::Verdict;
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
    said
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

fn selects(selector: &Value, labels: &Value) -> bool {
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
            let (Some(from), Some(until)) = (seconds(&leaf["validFrom"]), seconds(&leaf["expirationTime"]))
            else {
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Seconds since the beginning of 1970 of `2026-01-31T10:00:00Z` (RFC 3339, in UTC).
fn seconds(time: &Value) -> Option<i64> {
    let (date, rest) = time.as_str()?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut clock = rest.get(..8)?.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    // Days of the civil calendar, counted from March so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// From March 1st of the year 0 to January 1st, 1970.
const DAYS_TO_1970: i64 = 719_468;
/// HBONE.
const TUNNELS: u64 = 15008;

#[cfg(test)]
mod tests;
