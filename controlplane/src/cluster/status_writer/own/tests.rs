use controlplane_index::status::{ConditionType, StatusCondition, StatusReason};
use controlplane_k8s_api::ObjectKey;
use serde_json::json;

use super::*;

fn said(kind: Kind, conditions: &[ConditionType]) -> ObjectStatus {
    let conditions = conditions
        .iter()
        .map(|kind| StatusCondition::new(*kind, true, StatusReason::Accepted, String::new()));
    ObjectStatus {
        conditions: conditions.collect(),
        ..ObjectStatus::new(ObjectKey {
            kind,
            namespace: "shop".into(),
            name: "cart".into(),
        })
    }
}

#[test]
fn of_a_service_only_our_conditions_are_applied() {
    let whole = json!({
        "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]},
        "conditions": [{"type": "theirs"}, {"type": "istio.io/WaypointBound"}, {"type": "lateen.dev/Delivered"}],
    });
    let own = part(&said(Kind::Service, &[ConditionType::WaypointBound]), &whole);
    // What was counted is left as it stands while nobody counts: it is ours all the same.
    assert_eq!(
        own,
        json!({"conditions": [{"type": "istio.io/WaypointBound"}, {"type": "lateen.dev/Delivered"}]})
    );
}

#[test]
fn of_a_gateway_all_that_its_controller_says_is_applied() {
    let whole = json!({
        "conditions": [{"type": "Accepted"}, {"type": "example.com/Billed"}],
        "addresses": [{"value": "10.96.0.1"}],
        "listeners": [{"name": "mesh"}],
        "attachedListenerSets": 3,
    });
    let own = part(&said(Kind::Gateway, &[ConditionType::Accepted]), &whole);
    assert_eq!(
        own,
        json!({
            "conditions": [{"type": "Accepted"}],
            "addresses": [{"value": "10.96.0.1"}],
            "listeners": [{"name": "mesh"}],
        })
    );
}

#[test]
fn a_list_that_is_one_value_is_never_applied() {
    for kind in [
        Kind::HttpRoute,
        Kind::BackendTlsPolicy,
        Kind::AuthorizationPolicy,
        Kind::ServiceEntry,
    ] {
        assert!(!is_applied(kind), "{kind}");
    }
    for kind in [
        Kind::Service,
        Kind::Gateway,
        Kind::GatewayClass,
        Kind::FaultFilter,
    ] {
        assert!(is_applied(kind), "{kind}");
    }
}
