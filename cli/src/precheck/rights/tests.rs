use std::collections::BTreeMap;

use mesh_kube::fake::FakeApi;

use super::*;
use crate::objects;

/// An API server that serves every kind of these objects, but those that are named.
fn serving(objects: &[Value], but: &str) -> FakeApi {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects {
        let text = |field: &str| object[field].as_str().expect("a field").to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let namespaced = !CLUSTER_WIDE.contains(&kind.as_str());
        let served = groups.entry(version).or_default();
        if kind != but {
            served.push(json!({"name": plural(&kind), "kind": kind, "namespaced": namespaced}));
        }
    }
    let api = FakeApi::new();
    for (version, resources) in groups {
        let root = if version.contains('/') { "/apis" } else { "/api" };
        let page = json!({ "resources": resources }).to_string();
        api.page(&format!("{root}/{version}"), &page);
    }
    api
}

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn golden(name: &str) -> Vec<Value> {
    let path = format!("{}/../charts/golden/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("a golden file");
    objects::read(&text).expect("objects")
}

const CLUSTER_WIDE: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

#[tokio::test]
async fn every_kind_that_the_charts_render_is_asked_for_with_everything_that_helm_does() {
    for name in ["default", "l4-only", "openshift", "gke", "configured"] {
        let rendered = golden(name);
        let api = serving(&rendered, "");
        let needs = needs(&rendered, &mut Kinds::of(&api.client()))
            .await
            .expect("needs");
        assert_eq!(needs.unserved, Vec::<String>::new());
        for object in &rendered {
            let kind = object["kind"].as_str().expect("a kind");
            let version = object["apiVersion"].as_str().expect("a version");
            for verb in VERBS {
                let right = Right {
                    group: group(version).to_owned(),
                    resource: plural(kind),
                    verb,
                    everywhere: CLUSTER_WIDE.contains(&kind),
                };
                assert!(needs.rights.contains(&right), "{name}: {right:?}");
            }
        }
    }
}

#[test]
fn what_is_asked_without_helm_is_every_built_in_kind_of_the_charts() {
    let usual = usual();
    for name in ["default", "gke", "configured"] {
        for object in golden(name) {
            let version = object["apiVersion"].as_str().expect("a version");
            let kind = plural(object["kind"].as_str().expect("a kind"));
            // Of CRDs: our own, and Prometheus' where it is there.
            let custom = ["istio.io", "coreos.com"];
            if !custom.iter().any(|custom| group(version).ends_with(custom)) {
                let is_asked = usual
                    .iter()
                    .any(|right| right.group == group(version) && right.resource == kind);
                assert!(is_asked, "{kind} of {version}");
            }
        }
    }
}

#[tokio::test]
async fn a_kind_that_the_cluster_lacks_is_named_unless_the_charts_bring_it() {
    let mut rendered = golden("gke");
    let api = serving(&rendered, "PodMonitor");
    let needed = needs(&rendered, &mut Kinds::of(&api.client()))
        .await
        .expect("needs");
    assert_eq!(needed.unserved, ["PodMonitor (monitoring.coreos.com/v1)"]);
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": {"group": "monitoring.coreos.com", "names": {"kind": "PodMonitor"}}});
    rendered.push(crd);
    let needed = needs(&rendered, &mut Kinds::of(&api.client()))
        .await
        .expect("needs");
    // The API server of this test has no CRDs.
    assert_eq!(
        needed.unserved,
        ["CustomResourceDefinition (apiextensions.k8s.io/v1)"]
    );
}

#[tokio::test]
async fn rights_that_are_refused_are_given_back() {
    let api = FakeApi::new();
    let usual = usual();
    api.review(&REVIEWS, json!({"allowed": false}));
    let denied_all = denied(&api.client(), &usual, "istio-system").await;
    assert_eq!(denied_all.expect("answers"), usual);
    api.review(&REVIEWS, json!({"allowed": true}));
    let denied_none = denied(&api.client(), &usual, "istio-system").await;
    assert_eq!(denied_none.expect("answers"), []);
}
