//! Pods: from where their images come, as which user they run, on which nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{INSTALLS, containers, find, helm, objects, pod_of, strings};

fn install(name: &str) -> &'static str {
    let install = INSTALLS.iter().find(|i| i.name == name);
    install.expect("it is there").values
}

/// `restricted-v2` gives each namespace users of its own, and refuses a pod that names another.
#[test]
fn on_openshift_only_who_may_names_a_user() {
    let Some(helm) = helm() else { return };
    let all = objects(&helm.render("lateen", install("openshift")));
    let privileged = |role: &&Value| {
        let rules = role["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        rules
            .iter()
            .any(|r| r["resourceNames"] == json!(["privileged"]) && r["verbs"] == json!(["use"]))
    };
    let roles = all
        .iter()
        .filter(privileged)
        .map(|role| &role["metadata"]["name"]);
    let roles: Vec<&Value> = roles.collect();
    let bound = all
        .iter()
        .filter(|o| o["kind"] == "ClusterRoleBinding" && roles.contains(&&o["roleRef"]["name"]));
    let accounts: Vec<&Value> = bound.map(|o| &o["subjects"][0]["name"]).collect();
    assert_eq!(accounts.len(), 2, "{accounts:?}");
    let mut without = 0;
    for object in &all {
        let Some((_, pod)) = pod_of(object) else { continue };
        let name = &object["metadata"]["name"];
        if accounts.contains(&&pod["serviceAccountName"]) {
            continue;
        }
        for container in containers(pod) {
            for context in [&container["securityContext"], &pod["securityContext"]] {
                for field in ["runAsUser", "runAsGroup", "fsGroup"] {
                    assert!(context[field].is_null(), "{name}: {context}");
                }
                assert_eq!(context["runAsNonRoot"], true, "{name}");
            }
            without += 1;
        }
    }
    // Control plane, the server and three clients of the test, and the one that takes everybody out.
    assert_eq!(without, 6);
    let control = find(&all, "Deployment", "istiod").to_string();
    assert!(
        control.contains(r#"{"name":"WAYPOINT_PLATFORM","value":"openshift"}"#),
        "{control}"
    );
}

/// In a cluster that reaches a mirror only, a removal would wait for an image that never comes.
#[test]
fn hooks_run_the_very_image_of_the_control_plane_where_it_may_run() {
    let Some(helm) = helm() else { return };
    for name in ["default", "configured"] {
        let all = objects(&helm.render("lateen", install(name)));
        let mut images = BTreeSet::new();
        let mut policies = BTreeSet::new();
        let mut seen = 0;
        for object in &all {
            let Some((_, pod)) = pod_of(object) else { continue };
            let what = format!("{name}: {}", object["metadata"]["name"]);
            let of_control_plane = ["discovery", "unenroll", "server", "client"];
            for container in containers(pod) {
                if !of_control_plane.iter().any(|n| container["name"] == *n) {
                    continue;
                }
                seen += 1;
                images.insert(container["image"].to_string());
                policies.insert(container["imagePullPolicy"].to_string());
                let mut expected = json!({"kubernetes.io/os": "linux"});
                if name == "configured" {
                    expected["pool"] = "infra".into();
                    let tolerated = pod["tolerations"].to_string();
                    let all = container["name"] == "unenroll";
                    assert!(all || tolerated.contains("infra"), "{what}: {tolerated}");
                }
                assert_eq!(pod["nodeSelector"], expected, "{what}");
            }
        }
        assert_eq!(seen, 6, "{name}");
        assert_eq!(images.len(), 1, "{name}: {images:?}");
        assert_eq!(policies.len(), 1, "{name}: {policies:?}");
        let job = &find(&all, "Job", "lateen-unenroll")["spec"]["template"]["spec"];
        assert_eq!(job["tolerations"], json!([{"operator": "Exists"}]), "{name}");
    }
}

/// Who may fetch the mesh's images may fetch those of waypoints.
#[test]
fn waypoints_are_told_with_which_secrets_their_image_is_fetched() {
    let Some(helm) = helm() else { return };
    let all = objects(&helm.render("lateen", "global: {imagePullSecrets: [one, two]}"));
    let control = &find(&all, "Deployment", "istiod")["spec"]["template"]["spec"];
    let env = containers(control)[0]["env"].as_array().expect("variables");
    let named = |name: &str| env.iter().find(|v| v["name"] == name).map(|v| v["value"].clone());
    assert_eq!(named("WAYPOINT_IMAGE_PULL_SECRETS"), Some(json!("one,two")));
}

/// Kubernetes keeps room for whom nothing works without; on GKE only where a quota says so.
#[test]
fn parts_that_nothing_works_without_are_of_critical_priority() {
    let Some(helm) = helm() else { return };
    for name in ["default", "gke"] {
        let all = objects(&helm.render("lateen", install(name)));
        let mut wanted = BTreeSet::new();
        for (kind, object, class) in [
            ("Deployment", "istiod", "system-cluster-critical"),
            ("DaemonSet", "istio-cni-node", "system-node-critical"),
            ("DaemonSet", "ztunnel", "system-node-critical"),
            ("Job", "lateen-unenroll", "system-cluster-critical"),
        ] {
            let pod = &find(&all, kind, object)["spec"]["template"]["spec"];
            assert_eq!(pod["priorityClassName"], class, "{name}: {object}");
            wanted.insert(class.to_owned());
        }
        let quotas = all.iter().filter(|o| o["kind"] == "ResourceQuota");
        let admitted = quotas.flat_map(|o| {
            let scopes = o["spec"]["scopeSelector"]["matchExpressions"].as_array();
            strings(&scopes.expect("scopes")[0]["values"])
        });
        let admitted: BTreeSet<String> = admitted.collect();
        let expected = if name == "gke" { wanted } else { BTreeSet::new() };
        assert_eq!(admitted, expected, "{name}");
    }
    // A quota that admits no class at all would be an object that the API server refuses.
    let none = "{global: {platform: gke}, cni: {priorityClassName: ''}, ztunnel: {priorityClassName: ''}, \
                controlplane: {priorityClassName: ''}}";
    let all = objects(&helm.render("lateen", none));
    assert!(all.iter().all(|o| o["kind"] != "ResourceQuota"));
}
