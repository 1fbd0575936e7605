//! What each platform changes: where the files of CNI are, and whether its runtime takes the plugin as one of a chain.

use serde_json::Value;

use super::{find, helm, objects};

/// Platform, the directory of plugins, of configurations and of network namespaces, the plugin's file, whether it is chained.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    bool,
);

const ROWS: &[Row] = &[
    ("", "/opt/cni/bin", "/etc/cni/net.d", "/var/run/netns", None, true),
    (
        "gke",
        "/home/kubernetes/bin",
        "/etc/cni/net.d",
        "/var/run/netns",
        None,
        true,
    ),
    (
        "k3s",
        "/var/lib/rancher/k3s/data/cni",
        "/var/lib/rancher/k3s/agent/etc/cni/net.d",
        "/var/run/netns",
        None,
        true,
    ),
    (
        "k3d",
        "/bin",
        "/var/lib/rancher/k3s/agent/etc/cni/net.d",
        "/var/run/netns",
        None,
        true,
    ),
    (
        "microk8s",
        "/var/snap/microk8s/current/opt/cni/bin",
        "/var/snap/microk8s/current/args/cni-network",
        "/var/run/netns",
        None,
        true,
    ),
    (
        "minikube",
        "/opt/cni/bin",
        "/etc/cni/net.d",
        "/var/run/docker/netns",
        None,
        true,
    ),
    (
        "openshift",
        "/var/lib/cni/bin",
        "/etc/cni/multus/net.d",
        "/var/run/netns",
        Some("istio-cni.conf"),
        false,
    ),
];

#[test]
fn every_platform_has_its_paths() {
    let Some(helm) = helm() else { return };
    let schema = std::fs::read_to_string(super::charts().join("cni/values.schema.json")).expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let known = super::strings(&schema["properties"]["global"]["properties"]["platform"]["enum"]);
    let mut listed: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
    listed.sort_unstable();
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(listed, known, "each platform that there is has a row");
    for (platform, bin, conf, netns, file, chained) in ROWS {
        let all = objects(&helm.render("cni", &format!("global: {{platform: '{platform}'}}")));
        let volumes = &find(&all, "DaemonSet", "istio-cni-node")["spec"]["template"]["spec"]["volumes"];
        let path = |name: &str| {
            let volume = volumes
                .as_array()
                .expect("volumes")
                .iter()
                .find(|v| v["name"] == name);
            volume.expect("it is there")["hostPath"]["path"].clone()
        };
        assert_eq!(path("cni-bin-dir"), *bin, "{platform}");
        assert_eq!(path("cni-net-dir"), *conf, "{platform}");
        assert_eq!(path("cni-netns-dir"), *netns, "{platform}");
        let config = &find(&all, "ConfigMap", "istio-cni-config")["data"];
        assert_eq!(config["CHAINED_CNI_PLUGIN"], chained.to_string(), "{platform}");
        assert_eq!(config["CNI_CONF_NAME"].as_str(), *file, "{platform}");
    }
}

/// What somebody says counts before what the platform has.
#[test]
fn a_path_that_is_named_counts_on_every_platform() {
    let Some(helm) = helm() else { return };
    for (platform, ..) in ROWS {
        let values = format!(
            "{{global: {{platform: '{platform}'}}, cniBinDir: /a, cniConfDir: /b, cniNetnsDir: /c, cniConfFileName: d, \
             chained: {}}}",
            *platform == "openshift"
        );
        let all = objects(&helm.render("cni", &values));
        let pod = &find(&all, "DaemonSet", "istio-cni-node")["spec"]["template"]["spec"];
        for path in ["/a", "/b", "/c"] {
            assert!(
                pod["volumes"]
                    .to_string()
                    .contains(&format!(r#"{{"path":"{path}""#)),
                "{platform}: {path}"
            );
        }
        let config = &find(&all, "ConfigMap", "istio-cni-config")["data"];
        assert_eq!(config["CNI_CONF_NAME"], "d", "{platform}");
        assert_eq!(
            config["CHAINED_CNI_PLUGIN"],
            (*platform == "openshift").to_string(),
            "{platform}"
        );
    }
}

/// GKE says itself what it is, in the version of its API server.
#[test]
fn gke_is_known_by_its_version() {
    let Some(helm) = helm() else { return };
    for chart in ["cni", "controlplane", "ztunnel"] {
        let quotas = |version: &str| {
            let out = helm.run(&["template", "lateen", chart, "--kube-version", version]);
            assert!(out.status.success(), "{}", super::text(&out));
            let all = objects(&String::from_utf8_lossy(&out.stdout));
            all.iter().filter(|o| o["kind"] == "ResourceQuota").count()
        };
        assert_eq!(quotas("v1.33.5-gke.1"), 1, "{chart}");
        assert_eq!(quotas("v1.33.5"), 0, "{chart}");
    }
}
