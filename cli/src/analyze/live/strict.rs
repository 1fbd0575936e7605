//! STRICT mutual TLS where it does not do what it says: pods that nobody guards, and clients that it keeps out.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_index::MeshConfig;
use controlplane_index::peer_authentication::deciding::{Deciding, Level, deciding};
use controlplane_k8s_api::security::{MutualTlsMode, PeerAuthentication};
use controlplane_k8s_api::{Labels, Object};
use mesh_types::Strng;
use serde_json::Value;

use super::{Code, Said, Seen, is_captured, text};
use crate::metrics::{Sample, samples};
use crate::validate::Validated;

/// Judges.
pub(super) fn judge(seen: &Seen, objects: &Validated, config: &MeshConfig) -> Vec<Said> {
    let peers = objects
        .objects
        .iter()
        .filter_map(|(_, object)| match &object.value {
            Object::PeerAuthentication(peer) => Some(peer),
            _ => None,
        });
    let rules = Rules {
        peers: peers.collect(),
        config,
    };
    let mut said = unguarded(seen, &rules);
    said.extend(refused(seen, &rules));
    said
}

struct Rules<'a> {
    peers: Vec<&'a PeerAuthentication>,
    config: &'a MeshConfig,
}

impl<'a> Rules<'a> {
    /// The object that demands mutual TLS at this port of a pod; nothing where none does.
    fn strict_at(&self, pod: &Value, port: u16) -> Option<Deciding<'a>> {
        let metadata = &pod["metadata"];
        let labels = metadata["labels"].as_object();
        let labels: Labels = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| (Strng::from(key.as_str()), Strng::from(text(value))))
            .collect();
        let decided = deciding(
            &self.peers,
            self.config,
            text(&metadata["namespace"]),
            &labels,
            port,
        );
        decided.filter(|decided| decided.mode == MutualTlsMode::Strict)
    }

    /// The same, at any port.
    fn strict(&self, pod: &Value) -> Option<Deciding<'a>> {
        let named = self
            .peers
            .iter()
            .flat_map(|peer| peer.spec.port_level_mtls.keys());
        let named = named.filter_map(|port| u16::try_from(port.0).ok());
        // No application has port 0: what holds there holds wherever no port is named.
        [0].into_iter()
            .chain(named)
            .find_map(|port| self.strict_at(pod, port))
    }
}

/// Pods for which STRICT means nothing, since nobody looks at what comes to them.
fn unguarded(seen: &Seen, rules: &Rules<'_>) -> Vec<Said> {
    let mut said = Vec::new();
    // What holds for the whole mesh would be told of every pod that somebody left outside.
    let mut wide: BTreeMap<&str, (String, Vec<&str>)> = BTreeMap::new();
    for pod in seen.pods.iter().filter(|pod| is_left_out(pod, seen)) {
        let (namespace, name) = (
            text(&pod["metadata"]["namespace"]),
            text(&pod["metadata"]["name"]),
        );
        let Some(decided) = rules.strict_at(pod, 0) else {
            continue;
        };
        let policy = called(&decided);
        if decided.level == Level::Mesh {
            let is_excluded = rules.config.excluded_namespaces.contains(namespace);
            if !is_excluded {
                let (_, pods) = wide.entry(namespace).or_insert_with(|| (policy, Vec::new()));
                pods.push(name);
            }
            continue;
        }
        let text = format!(
            "{policy} demands mutual TLS, and this pod is not in the mesh: it takes plaintext from everybody; label its \
             namespace istio.io/dataplane-mode=ambient"
        );
        said.push((Code::StrictOutsideMesh, format!("Pod {namespace}/{name}"), text));
    }
    said.extend(wide.into_iter().map(|(namespace, (policy, pods))| {
        let such = pods.first().copied().unwrap_or_default();
        let text = format!(
            "{policy} demands mutual TLS of the whole mesh, and {} of this namespace, such as {such}, are not in it: they take \
             plaintext from everybody; label the namespace istio.io/dataplane-mode=ambient",
            crate::check::counted(pods.len(), "pod")
        );
        (Code::StrictOutsideMesh, format!("Namespace {namespace}"), text)
    }));
    said
}

/// Whether a pod is one that could be in the mesh, and is not.
fn is_left_out(pod: &Value, seen: &Seen) -> bool {
    let host = pod["spec"]["hostNetwork"] == true;
    let waypoint = !pod["metadata"]["labels"][super::super::objects::GATEWAY_NAME].is_null();
    let own = text(&pod["metadata"]["namespace"]) == seen.system;
    let running = pod["status"]["phase"] == "Running";
    running && !host && !waypoint && !own && !is_captured(pod)
}

/// Who came in the clear to a workload, and how often it was refused.
#[derive(Default)]
struct Refused {
    count: f64,
    clients: BTreeSet<String>,
}

/// Workloads that refused plaintext where STRICT asks for it: their clients are outside of the mesh. Of plaintext that was
/// refused where nobody asks for mutual TLS a policy of its author's decided.
fn refused(seen: &Seen, rules: &Rules<'_>) -> Vec<Said> {
    let mut all: BTreeMap<(String, String), Refused> = BTreeMap::new();
    for page in seen.metrics.values() {
        let failed = samples(page, FAILED);
        for sample in failed.filter(is_refused_plaintext) {
            let workload = sample.label("destination_workload").to_owned();
            let namespace = sample.label("destination_workload_namespace").to_owned();
            let refused = all.entry((namespace, workload)).or_default();
            refused.count += sample.value;
            refused.clients.insert(client(&sample));
        }
    }
    let told = all.iter().filter_map(|((namespace, workload), refused)| {
        let mut pods = seen.pods.iter().filter(|pod| {
            text(&pod["metadata"]["namespace"]) == namespace
                && is_of(text(&pod["metadata"]["name"]), workload)
        });
        let decided = pods.find_map(|pod| rules.strict(pod))?;
        let clients: Vec<&str> = refused.clients.iter().map(String::as_str).collect();
        let text = format!(
            "connections in the clear were refused here, {} of them since its ztunnel started, from {}: {} demands mutual TLS, \
             and whoever is outside of the mesh has none; take the clients in (label of their namespace \
             istio.io/dataplane-mode=ambient), or let it be PERMISSIVE; lateen explain FROM TO says which object refuses one",
            refused.count,
            crate::check::some(&clients),
            called(&decided)
        );
        let object = format!("Workload {namespace}/{workload}");
        Some((Code::StrictRefusesPlaintext, object, text))
    });
    told.collect()
}

fn is_refused_plaintext(sample: &Sample) -> bool {
    sample.value > 0.0
        && sample.label("reporter") == "destination"
        && sample.label("connection_security_policy") == "unknown"
        && sample.label("response_flags") == "DENY"
}

fn client(sample: &Sample) -> String {
    match (
        sample.label("source_workload_namespace"),
        sample.label("source_workload"),
    ) {
        (_, UNKNOWN | "") => "whoever the mesh does not know".to_owned(),
        (namespace, workload) => format!("{namespace}/{workload}"),
    }
}

/// Whether a pod's name is one that a workload of this name gives its pods.
fn is_of(pod: &str, workload: &str) -> bool {
    pod.strip_prefix(workload)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn called(decided: &Deciding<'_>) -> String {
    let metadata = &decided.object.metadata;
    format!("PeerAuthentication {}/{}", metadata.namespace, metadata.name)
}

const FAILED: &str = "istio_tcp_connections_failed_total";
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests;
