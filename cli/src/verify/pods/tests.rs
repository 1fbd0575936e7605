use serde_json::json;

use super::*;

#[test]
fn a_pod_says_what_keeps_it() {
    let pod = |status: Value| json!({ "status": status });
    for (status, why) in [
        (json!({"conditions": [{"type": "Ready", "status": "True"}]}), None),
        (json!({"phase": "Succeeded"}), None),
        (
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes\n are available"}]}),
            Some("it has no node: 0/2 nodes are available"),
        ),
        (
            json!({"containerStatuses": [{"name": "istio-proxy", "state": {"waiting": {
                "reason": "ImagePullBackOff", "message": "no such image"}}}]}),
            Some("container istio-proxy: ImagePullBackOff: no such image"),
        ),
        (
            json!({"containerStatuses": [{"name": "a", "state": {"terminated": {"reason": "Error", "exitCode": 1}}}]}),
            Some("container a: Error"),
        ),
        (
            json!({"containerStatuses": [{"name": "a", "state": {"running": {}}}]}),
            Some("its readiness probe has not succeeded"),
        ),
    ] {
        assert_eq!(why_not_ready(&pod(status.clone())).as_deref(), why, "{status}");
    }
}

#[test]
fn counts_of_an_older_generation_do_not_count() {
    let daemonset = |observed: u64, updated: u64| {
        json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": {
            "observedGeneration": observed, "desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": updated}})
    };
    assert_eq!(wanted_and_ready(&daemonset(2, 3)), Some((3, 3)));
    assert!(is_current(&daemonset(2, 3)));
    assert!(!is_current(&daemonset(1, 3)));
    assert!(!is_current(&daemonset(2, 1)));
    let deployment = json!({"kind": "Deployment", "spec": {"replicas": 2}, "status": {"readyReplicas": 1}});
    assert_eq!(wanted_and_ready(&deployment), Some((2, 1)));
    assert_eq!(wanted_and_ready(&json!({"kind": "Service"})), None);
}

fn event(kind: &str, name: &str, time: &str, message: &str) -> Value {
    json!({"involvedObject": {"kind": kind, "name": name}, "lastTimestamp": time, "message": message})
}

fn told(workloads: &[Value], pods: &[Value], events: &[Value]) -> Vec<String> {
    let waiting = waiting(workloads, pods, events);
    waiting.iter().map(ToString::to_string).collect()
}

#[test]
fn workloads_whose_pods_are_refused_say_by_whom() {
    let meta = |name: &str| json!({"name": name, "namespace": "istio-system"});
    let daemonset = json!({"kind": "DaemonSet", "metadata": meta("ztunnel"), "status": {
        "desiredNumberScheduled": 2, "currentNumberScheduled": 0}});
    let deployment = json!({"kind": "Deployment", "metadata": meta("istiod"), "spec": {"replicas": 1}, "status": {
        "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "pods \"istiod-\" is forbidden:\n no quota"}]}});
    let events = [
        event("DaemonSet", "ztunnel", "2026-11-22T10:00:00Z", "earlier"),
        event(
            "DaemonSet",
            "ztunnel",
            "2026-11-22T10:00:09Z",
            "exceeded quota: pods",
        ),
        event(
            "DaemonSet",
            "istio-cni-node",
            "2026-11-22T10:00:30Z",
            "of another one",
        ),
    ];
    assert_eq!(
        told(&[daemonset.clone(), deployment], &[], &events),
        [
            "DaemonSet istio-system/ztunnel: 0 of 2 pods could be made: exceeded quota: pods",
            "Deployment istio-system/istiod: 0 of 1 pods could be made: pods \"istiod-\" is forbidden: no quota",
        ]
    );
    assert_eq!(
        told(std::slice::from_ref(&daemonset), &[], &[]),
        ["DaemonSet istio-system/ztunnel: 0 of 2 pods could be made"]
    );
    // What was made and is not ready yet says so itself.
    let mut made = daemonset;
    made["status"]["currentNumberScheduled"] = 2.into();
    assert_eq!(told(&[made], &[], &events), Vec::<String>::new());
}

#[test]
fn where_a_pod_says_too_little_the_newest_warning_about_it_says_more() {
    let pod = |state: Value| {
        json!({"metadata": {"name": "z", "namespace": "istio-system"}, "status": {"containerStatuses": [
            {"name": "istio-proxy", "state": state}]}})
    };
    let events = [event(
        "Pod",
        "z",
        "2026-11-22T10:00:00Z",
        "MountVolume.SetUp failed: no such ConfigMap",
    )];
    let creating = pod(json!({"waiting": {"reason": "ContainerCreating"}}));
    assert_eq!(
        told(&[], &[creating], &events),
        [
            "Pod istio-system/z is not ready: container istio-proxy: ContainerCreating: MountVolume.SetUp failed: no such ConfigMap"
        ]
    );
    let pulling = pod(json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}));
    assert_eq!(
        told(&[], &[pulling], &events),
        ["Pod istio-system/z is not ready: container istio-proxy: ErrImagePull: not found"]
    );
    assert_eq!(
        waiting(&[], &[pod(json!({"running": {}}))], &[])[0]
            .object
            .describe(),
        "kubectl -n istio-system describe pod z"
    );
}
