//! A second control plane beside the first, in the same namespace: neither takes the other's pods or objects.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{find, helm, objects};

const CANARY: &str =
    "{name: istiod-canary, global: {revision: canary, networkPolicy: true, podMonitor: true}}";
const DEFAULT: &str = "global: {networkPolicy: true, podMonitor: true}";

#[test]
fn two_revisions_select_their_own_pods_alone() {
    let Some(helm) = helm() else { return };
    let both = [DEFAULT, CANARY].map(|values| objects(&helm.render("controlplane", values)));
    for (own, other) in [(0, 1), (1, 0)] {
        let labels = |of: usize| {
            let name = ["istiod", "istiod-canary"][of];
            &find(&both[of], "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        };
        let mut selectors = 0;
        for object in &both[own] {
            let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
            if name.contains("-waypoints") {
                continue;
            }
            let spec = &object["spec"];
            let selector = match object["kind"].as_str() {
                Some("Service") => &spec["selector"],
                Some("NetworkPolicy") => &spec["podSelector"]["matchLabels"],
                Some("Deployment" | "PodDisruptionBudget" | "PodMonitor") => &spec["selector"]["matchLabels"],
                _ => continue,
            };
            let fits = |labels: &Value| {
                let mut wanted = selector.as_object().expect("labels").iter();
                wanted.all(|(key, value)| &labels[key] == value)
            };
            assert!(fits(labels(own)) && !fits(labels(other)), "{name}: {selector}");
            selectors += 1;
        }
        assert_eq!(selectors, 5);
        let spread =
            &find(&both[own], "Deployment", ["istiod", "istiod-canary"][own])["spec"]["template"]["spec"];
        let spread = &spread["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
        let fits = |labels: &Value| {
            let mut wanted = spread.as_object().expect("labels").iter();
            wanted.all(|(key, value)| &labels[key] == value)
        };
        assert!(fits(labels(own)) && !fits(labels(other)), "{spread}");
    }
}

/// Helm installs neither over an object of the other.
#[test]
fn two_revisions_share_no_object() {
    let Some(helm) = helm() else { return };
    let [one, other] = [DEFAULT, CANARY].map(|values| {
        let all = objects(&helm.render("controlplane", values));
        let names = all
            .iter()
            .map(|o| format!("{} {}", o["kind"], o["metadata"]["name"]));
        names.collect::<BTreeSet<_>>()
    });
    assert_eq!(one.len(), other.len());
    let shared: Vec<_> = one.intersection(&other).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

/// Under the name by which the control plane looks for it.
#[test]
fn each_revision_has_a_configuration_of_its_own() {
    let Some(helm) = helm() else { return };
    for (values, revision, name) in [
        ("{}", "default", "istio"),
        ("global: {revision: ''}", "default", "istio"),
        ("{name: c, global: {revision: canary}}", "canary", "istio-canary"),
    ] {
        let all = objects(&helm.render("controlplane", values));
        let map = find(&all, "ConfigMap", name);
        assert!(map["data"]["mesh"].is_string());
        assert!(controlplane_k8s_api::mesh::is_of_revision(name, revision));
        let deployment = all
            .iter()
            .find(|o| o["kind"] == "Deployment")
            .expect("there is one");
        let told = format!(r#"{{"name":"REVISION","value":"{revision}"}}"#);
        assert!(deployment.to_string().contains(&told), "{values}: {deployment}");
    }
}
