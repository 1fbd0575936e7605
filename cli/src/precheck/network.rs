//! What other network plugins do to the mesh's (Cilium, "Integration with Istio"; Istio, "Platform-Specific
//! Prerequisites").

use super::Facts;
use crate::check::Checks;

/// Judges.
pub(super) fn judge(facts: &Facts, checks: &mut Checks) {
    const MATTER: &str = "cni";
    let Some(cilium) = &facts.cilium else {
        checks.good(MATTER, "no plugin that is known to keep others out");
        return;
    };
    let is = |key: &str, value: &str| cilium.get(key).is_some_and(|found| found == value);
    // It is the default where nothing is said.
    let exclusive = !is("cni-exclusive", "false");
    if exclusive {
        checks.error(
            MATTER,
            format!(
                "{CONFIG}: cni-exclusive is not false, so Cilium takes every other plugin out of its chain"
            ),
            "helm upgrade cilium with --set cni.exclusive=false, and restart its DaemonSet",
        );
    }
    let in_pods = is("kube-proxy-replacement", "true") && !is("bpf-lb-sock-hostns-only", "true");
    if in_pods {
        checks.warning(
            MATTER,
            format!("{CONFIG}: bpf-lb-sock-hostns-only is not true, so ztunnel does not see which Service a pod calls"),
            "helm upgrade cilium with --set socketLB.hostNamespaceOnly=true",
        );
    }
    let masquerade = is("enable-bpf-masquerade", "true");
    if masquerade {
        checks.warning(
            MATTER,
            format!(
                "{CONFIG}: enable-bpf-masquerade is true: it drops the link-local address of kubelet probes"
            ),
            "helm upgrade cilium with --set bpf.masquerade=false",
        );
    }
    if !exclusive && !in_pods && !masquerade {
        checks.good(MATTER, "Cilium, which lets others into its chain");
    }
}

const CONFIG: &str = "ConfigMap kube-system/cilium-config";
