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
