use controlplane_index::status::{ConditionType, StatusReason};
use controlplane_k8s_api::{Kind, ObjectKey};

use super::*;

#[test]
fn a_status_reads_as_it_does_on_an_api_server() {
    let condition = |holds| {
        StatusCondition::new(
            ConditionType::WaypointBound,
            holds,
            StatusReason::WaypointAccepted,
            "m",
        )
    };
    let status = ObjectStatus {
        observed_generation: Some(3),
        conditions: vec![condition(true)],
        parents: vec![ParentStatus {
            parent: Parent {
                group: "gateway.networking.k8s.io".into(),
                kind: "Gateway".into(),
                namespace: "shop".into(),
                name: "wp".into(),
                section_name: None,
                port: Some(80),
            },
            conditions: vec![condition(false)],
        }],
        addresses: vec![("a.example.com".into(), "240.240.0.1".parse().unwrap())],
        listeners: vec![ListenerStatus {
            name: "web".into(),
            supported_kinds: vec!["HTTPRoute"],
            attached_routes: 2,
            conditions: vec![condition(true)],
        }],
        ..ObjectStatus::new(ObjectKey {
            kind: Kind::ServiceEntry,
            namespace: "shop".into(),
            name: "ext".into(),
        })
    };
    let json = serde_json::to_value(StatusView::from(status)).unwrap();
    let expected = serde_json::json!({
        "kind": "ServiceEntry", "namespace": "shop", "name": "ext", "observedGeneration": 3,
        "conditions": [{"type": "istio.io/WaypointBound", "status": "True", "reason": "WaypointAccepted", "message": "m"}],
        "parents": [{
            "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop", "name": "wp", "port": 80},
            "conditions": [{"type": "istio.io/WaypointBound", "status": "False", "reason": "WaypointAccepted", "message": "m"}],
        }],
        "addresses": [{"host": "a.example.com", "value": "240.240.0.1"}],
        "listeners": [{
            "name": "web", "supportedKinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}], "attachedRoutes": 2,
            "conditions": [{"type": "istio.io/WaypointBound", "status": "True", "reason": "WaypointAccepted", "message": "m"}],
        }],
    });
    assert_eq!(json, expected);
}
