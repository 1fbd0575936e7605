//! Whether a pod is a member of the mesh, and how it is captured: its labels, its namespace's, its annotations.

use std::collections::BTreeSet;

use mesh_register::Options;

use super::object::{Labels, PodObject};
use super::selector::Enablement;

/// What membership depends on beside the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which pods belong to the mesh.
    pub enablement: Enablement,
    /// The namespaces that never do.
    pub excluded: BTreeSet<String>,
    /// The namespace of the mesh's own pods.
    pub own_namespace: String,
    /// The DaemonSet of the node agent there.
    pub own_daemonset: String,
}

impl Rules {
    /// Whether this pod, in a namespace with these labels, is to be in the mesh.
    ///
    /// Never are pods that share the node's network, refuse by their label, have a sidecar, live in an excluded namespace, or
    /// are the node proxy or the node agent, which are known only where nobody else may make pods. Both say `none` by their
    /// labels; but captured they would have to wait for themselves, whatever somebody makes of those.
    #[must_use]
    pub fn is_member(&self, pod: &PodObject, namespace: &Labels) -> bool {
        let metadata = &pod.metadata;
        let is_own = metadata.namespace == self.own_namespace
            && (metadata.labels.get("app").is_some_and(|app| app == "ztunnel")
                || metadata.is_of("DaemonSet", &self.own_daemonset));
        let refuses = metadata.labels.get(MODE).is_some_and(|mode| mode == "none");
        let never = pod.spec.host_network
            || is_own
            || refuses
            || metadata.annotations.contains_key(SIDECAR_STATUS)
            || self.excluded.contains(&metadata.namespace);
        !never && self.enablement.selects(&metadata.labels, namespace)
    }
}

/// How a pod is captured, and what of its annotations is without effect.
#[must_use]
pub fn options(pod: &PodObject) -> (Options, Vec<String>) {
    let annotations = &pod.metadata.annotations;
    let mut warnings = Vec::new();
    let mut flag = |name: &str| {
        let text = annotations.get(name)?;
        let value = boolean(text);
        if value.is_none() {
            warnings.push(format!("annotation {name}: {text:?} is neither true nor false"));
        }
        value
    };
    let bypass_inbound_capture = flag(BYPASS_INBOUND).unwrap_or(false);
    let dns_capture = flag(DNS_CAPTURE);
    let interfaces = annotations
        .get(REROUTE_INTERFACES)
        .map(String::as_str)
        .unwrap_or_default();
    let mut reroute_virtual_interfaces = Vec::new();
    for interface in interfaces
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match cni_rules::rule::InterfaceName::new(interface) {
            Ok(_) => reroute_virtual_interfaces.push(interface.to_owned()),
            Err(error) => warnings.push(format!("annotation {REROUTE_INTERFACES}: {error}")),
        }
    }
    let options = Options {
        bypass_inbound_capture,
        dns_capture,
        reroute_virtual_interfaces,
    };
    (options, warnings)
}

/// As Go reads it (`strconv.ParseBool`).
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

const MODE: &str = "istio.io/dataplane-mode";
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
const BYPASS_INBOUND: &str = "ambient.istio.io/bypass-inbound-capture";
const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
