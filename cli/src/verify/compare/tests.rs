use serde_json::json;

use super::*;

fn fields(rendered: &Value, live: &Value) -> Vec<String> {
    differences(rendered, live)
        .into_iter()
        .map(|difference| difference.field)
        .collect()
}

#[test]
fn what_an_api_server_adds_drops_or_writes_otherwise_is_no_difference() {
    let rendered = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "ztunnel", "labels": {"app": "ztunnel"}},
        "spec": {
            "paused": false,
            "template": {"spec": {
                "nodeSelector": {},
                "containers": [
                    {"name": "b", "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}, "env": [{"name": "E", "value": ""}]},
                    {"name": "a", "ports": [{"name": "metrics", "containerPort": 1}]},
                ],
            }},
        },
    });
    let live = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "ztunnel", "uid": "7", "labels": {"app": "ztunnel", "more": "1"}, "annotations": {"a": "b"}},
        "spec": {
            "template": {"spec": {
                "dnsPolicy": "ClusterFirst",
                "containers": [
                    {"name": "a", "ports": [{"name": "metrics", "containerPort": 1, "protocol": "TCP"}]},
                    {"name": "b", "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}, "env": [{"name": "E"}]},
                ],
            }},
        },
        "status": {"numberReady": 2},
    });
    assert_eq!(differences(&rendered, &live), []);
}

#[test]
fn what_was_changed_is_named_with_its_path() {
    let rendered = json!({"metadata": {"labels": {"app": "a"}}, "spec": {
        "replicas": 2,
        "template": {"spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "hub/c:1", "args": ["x", "y"]}]}},
    }});
    let live = json!({"metadata": {"labels": {"app": "b"}}, "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "c", "image": "hub/c:2", "args": ["x"]}, {"name": "spy"}]}},
    }});
    assert_eq!(
        fields(&rendered, &live),
        [
            "metadata.labels.app",
            "spec.replicas",
            "spec.template.spec.containers[c].args",
            "spec.template.spec.containers[c].image",
            "spec.template.spec.containers[spy]",
            "spec.template.spec.hostNetwork",
        ]
    );
    let image = &differences(&rendered, &live)[3];
    assert_eq!(
        image.to_string(),
        r#"spec.template.spec.containers[c].image is "hub/c:2" and was rendered as "hub/c:1""#
    );
}

#[test]
fn quantities_differ_when_their_amounts_do() {
    let of = |memory: &str| json!({"spec": {"hard": {"pods": memory}}});
    assert_eq!(fields(&of("5k"), &of("5000")), Vec::<String>::new());
    assert_eq!(fields(&of("64Mi"), &of("64M")), ["spec.hard.pods"]);
}
