use super::*;
use crate::fixture::objects;
use controlplane_k8s_api::Object;

fn name_of(metadata: &str) -> String {
    let yaml =
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p-abc-x, namespace: a, {metadata}}}}}");
    match objects(&yaml).remove(0) {
        Object::Pod(pod) => workload_name(&pod).to_string(),
        other => panic!("{other:?}"),
    }
}

fn owned(kind: &str, owner: &str, labels: &str) -> String {
    name_of(&format!(
        "generateName: p-abc-, labels: {{{labels}}}, ownerReferences: [{{apiVersion: x/v1, kind: Other, name: no, uid: a}}, \
         {{apiVersion: x/v1, kind: {kind}, name: {owner}, uid: a, controller: true}}]"
    ))
}

#[test]
fn owners_are_told_from_the_habits_of_controllers() {
    assert_eq!(
        owned("ReplicaSet", "web-6d4b75cb6d", "pod-template-hash: 6d4b75cb6d"),
        "web"
    );
    assert_eq!(
        owned("ReplicaSet", "web-6d4b75cb6d", "pod-template-hash: other"),
        "web-6d4b75cb6d"
    );
    assert_eq!(
        owned("ReplicaSet", "web-77", "rollouts-pod-template-hash: \"77\""),
        "web"
    );
    assert_eq!(
        owned("ReplicationController", "web-1", "deploymentconfig: web"),
        "web"
    );
    assert_eq!(owned("Job", "nightly-28930000", ""), "nightly");
    assert_eq!(owned("Job", "nightly-1754000000", ""), "nightly");
    assert_eq!(owned("Job", "nightly-1234567", ""), "nightly-1234567");
    assert_eq!(owned("Job", "nightly-12345678901", ""), "nightly-12345678901");
    assert_eq!(owned("StatefulSet", "db", ""), "db");
    assert_eq!(owned("DaemonSet", "agent", ""), "agent");
}

#[test]
fn pods_made_by_hand_are_called_by_their_own_name() {
    assert_eq!(name_of(""), "p-abc-x");
    let owner =
        "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: a, controller: true}]";
    assert_eq!(name_of(owner), "p-abc-x", "the name was not generated");
}

#[test]
fn label_wins() {
    assert_eq!(
        owned("DaemonSet", "agent", "service.istio.io/workload-name: mine"),
        "mine"
    );
}
