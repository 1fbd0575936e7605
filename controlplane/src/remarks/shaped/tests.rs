use controlplane_index::status::ListenerStatus;
use controlplane_k8s_api::RawObject;
use controlplane_kube::{Mirror, Scope, Texts};
use mesh_kube::Event;
use serde_json::{Value, json};

use super::super::state;
use super::*;
use crate::cluster::conditions::At;
use crate::cluster::gateway_api;
use crate::delivery::Count;

const NOW: &str = "2026-11-21T15:00:00Z";

fn object(kind: Kind, spec: &Value) -> Value {
    let namespace = if kind.is_namespaced() { "shop" } else { "" };
    json!({
        "metadata": {"name": "web", "namespace": namespace, "generation": 4, "uid": "u-1"},
        "spec": spec,
    })
}

/// What is to be said of an object that an API server has, after these were there before it.
fn remarks(kind: Kind, specs: &[&Value]) -> Vec<Remark> {
    let (mut mirror, scope) = (Mirror::new(kind), Scope::default());
    for spec in specs {
        let raw: RawObject = serde_json::from_value(object(kind, spec)).expect("any JSON will do");
        mirror.take(Event::Applied(raw), &scope, &mut Texts::default());
    }
    let remarks: Vec<_> = mirror.remarks().collect();
    assert_eq!(remarks.len(), 1, "something is to be said of {specs:?}");
    remarks
}

/// What is written into the object then.
fn written(kind: Kind, spec: &Value, statuses: &[ObjectStatus]) -> Value {
    let said = statuses.iter().find(|status| status.object.kind == kind);
    let said = said.expect("something is said");
    assert_eq!(said.uid.as_deref(), Some("u-1"));
    let at = At {
        now: NOW,
        count: Count::Done,
    };
    gateway_api::status(&object(kind, spec), said, at).expect("it is ours to say")
}

fn condition<'v>(conditions: &'v Value, kind: &str) -> (&'v str, &'v str, &'v str) {
    let mut all = conditions.as_array().into_iter().flatten();
    let found = all
        .find(|condition| condition["type"] == kind)
        .expect("it is said");
    assert_eq!(found["observedGeneration"], 4);
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    (text("status"), text("reason"), text("message"))
}

#[test]
fn a_route_that_is_not_understood_says_so_at_each_parent_that_it_names() {
    let spec = json!({
        "parentRefs": [
            {"group": "", "kind": "Service", "name": "cart", "port": 80},
            {"group": "", "kind": "Service", "name": "web"},
        ],
        "rules": [{"filters": [{"type": "Teleport"}]}],
    });
    for kind in [Kind::HttpRoute, Kind::GrpcRoute] {
        let mut statuses = Vec::new();
        state(&remarks(kind, &[&spec]), &mut statuses);
        let written = written(kind, &spec, &statuses);
        let parents = written["parents"].as_array().expect("a list");
        assert_eq!(parents.len(), 2);
        for parent in parents {
            let (status, reason, message) = condition(&parent["conditions"], "Accepted");
            assert_eq!((status, reason), ("False", "UnsupportedValue"));
            let wanted = "it is not understood; nothing of it counts: spec.rules[0].filters[0]";
            assert!(message.starts_with(wanted), "{message}");
            assert!(message.contains("Teleport"), "{message}");
        }
    }
    for kind in [Kind::TlsRoute, Kind::TcpRoute] {
        let spec = json!({"parentRefs": spec["parentRefs"], "rules": "none"});
        let mut statuses = Vec::new();
        state(&remarks(kind, &[&spec]), &mut statuses);
        let written = written(kind, &spec, &statuses);
        let (status, reason, _) = condition(&written["parents"][1]["conditions"], "Accepted");
        assert_eq!((status, reason), ("False", "UnsupportedValue"));
    }
}

#[test]
fn what_an_earlier_content_of_a_route_came_to_is_not_said_of_the_present_one() {
    let parents = json!([{"group": "", "kind": "Service", "name": "cart"}]);
    let good = json!({"parentRefs": parents, "rules": [{"backendRefs": [{"name": "cart", "port": 80}]}]});
    let broken = json!({"parentRefs": parents, "rules": [{"filters": [{"type": "Teleport"}]}]});
    let remarks = remarks(Kind::HttpRoute, &[&good, &broken]);
    assert_eq!(remarks[0].counts, Counts::LastGood);
    let mut before = ObjectStatus::new(remarks[0].object.clone());
    before.observed_generation = Some(3);
    before.parents = vec![ParentStatus {
        parent: Parent::of(&remarks[0].readable.attached_to[0], &"shop".into()),
        conditions: [ConditionType::Accepted, ConditionType::ResolvedRefs]
            .map(|kind| StatusCondition::new(kind, true, StatusReason::Accepted, "of the earlier one"))
            .to_vec(),
    }];
    let mut statuses = vec![before];
    state(&remarks, &mut statuses);
    let written = written(Kind::HttpRoute, &broken, &statuses);
    let conditions = &written["parents"][0]["conditions"];
    assert_eq!(conditions.as_array().map(Vec::len), Some(1), "{conditions}");
    let (status, _, message) = condition(conditions, "Accepted");
    assert_eq!(status, "False");
    assert!(
        message.starts_with("it is not understood; what it said before counts: "),
        "{message}"
    );
}

#[test]
fn fields_of_a_route_that_are_not_known_leave_the_rest_in_force() {
    let spec = json!({"parentRefs": [{"group": "", "kind": "Service", "name": "cart"}], "rulez": []});
    let remarks = remarks(Kind::HttpRoute, &[&spec]);
    assert_eq!(remarks[0].counts, Counts::Rest);
    let mut status = ObjectStatus::new(remarks[0].object.clone());
    (status.observed_generation, status.uid) = (Some(4), Some("u-1".into()));
    status.parents = vec![ParentStatus {
        parent: Parent::of(&remarks[0].readable.attached_to[0], &"shop".into()),
        conditions: vec![StatusCondition::new(
            ConditionType::Accepted,
            true,
            StatusReason::Accepted,
            "good",
        )],
    }];
    let mut statuses = vec![status];
    state(&remarks, &mut statuses);
    let written = written(Kind::HttpRoute, &spec, &statuses);
    let conditions = &written["parents"][0]["conditions"];
    assert_eq!(condition(conditions, "Accepted"), ("True", "Accepted", "good"));
    let (status, reason, message) = condition(conditions, "PartiallyInvalid");
    assert_eq!((status, reason), ("True", "UnsupportedValue"));
    assert!(
        message.contains("spec.rulez: there is no such field"),
        "{message}"
    );
}

#[test]
fn policies_say_it_at_each_target() {
    let targets = json!([{"group": "", "kind": "Service", "name": "cart"}]);
    for (kind, rest) in [
        (Kind::BackendTlsPolicy, "validation"),
        (Kind::RateLimitPolicy, "local"),
        (Kind::HealthCheckPolicy, "http"),
        (Kind::SessionPolicy, "cookie"),
    ] {
        let spec = json!({"targetRefs": targets, rest: "strange"});
        let mut statuses = Vec::new();
        state(&remarks(kind, &[&spec]), &mut statuses);
        let written = written(kind, &spec, &statuses);
        let ancestor = &written["ancestors"][0];
        assert_eq!(ancestor["ancestorRef"]["name"], "cart");
        let (status, reason, message) = condition(&ancestor["conditions"], "Accepted");
        assert_eq!((status, reason), ("False", "Invalid"));
        assert!(message.contains(&format!("spec.{rest}")), "{message}");
    }
}

#[test]
fn a_gateway_of_another_controller_is_theirs_to_speak_of() {
    let gateway = |name: &str| json!({"name": name, "kind": "Gateway", "group": "gateway.networking.k8s.io"});
    let spec = json!({"parentRefs": [gateway("theirs"), gateway("ours")], "rules": "none"});
    let mut own = ObjectStatus::new(class().object);
    own.object.kind = Kind::Gateway;
    own.object.name = "ours".into();
    let remarks = remarks(Kind::HttpRoute, &[&spec]);
    own.object.namespace = remarks[0].object.namespace.clone();
    let mut statuses = vec![class(), own];
    state(&remarks, &mut statuses);
    let written = written(Kind::HttpRoute, &spec, &statuses);
    let parents = written["parents"].as_array().expect("a list");
    assert_eq!(parents.len(), 1, "{parents:?}");
    assert_eq!(parents[0]["parentRef"]["name"], "ours");
}

/// A class of ours, as its own status speaks of it.
fn class() -> ObjectStatus {
    let object = controlplane_k8s_api::ObjectKey {
        kind: Kind::GatewayClass,
        namespace: "".into(),
        name: "istio-waypoint".into(),
    };
    ObjectStatus::new(object)
}

#[test]
fn a_gateway_of_ours_that_is_not_understood_is_neither_accepted_nor_programmed() {
    let of_class = |class: &str| json!({"gatewayClassName": class, "listeners": "none"});
    let ours = of_class("istio-waypoint");
    let mut statuses = vec![class()];
    state(&remarks(Kind::Gateway, &[&ours]), &mut statuses);
    let status = written(Kind::Gateway, &ours, &statuses);
    for kind in ["Accepted", "Programmed"] {
        let (status, reason, message) = condition(&status["conditions"], kind);
        assert_eq!((status, reason), ("False", "Invalid"));
        assert!(message.contains("spec.listeners"), "{message}");
    }
    // What somebody else makes is theirs to speak of.
    let mut statuses = vec![class()];
    state(
        &remarks(Kind::Gateway, &[&of_class("somebody-elses")]),
        &mut statuses,
    );
    assert_eq!(statuses, [class()]);
}

#[test]
fn where_an_earlier_content_of_a_gateway_is_served_is_still_said() {
    let listeners = json!([{"name": "mesh", "port": 15008, "protocol": "HBONE"}]);
    let good = json!({"gatewayClassName": "istio-waypoint", "listeners": listeners});
    let broken = json!({"gatewayClassName": "istio-waypoint", "listeners": "none"});
    let remarks = remarks(Kind::Gateway, &[&good, &broken]);
    let mut before = ObjectStatus::new(remarks[0].object.clone());
    before.conditions = vec![StatusCondition::new(
        ConditionType::Programmed,
        true,
        StatusReason::Programmed,
        "of the earlier one",
    )];
    before.listeners = vec![ListenerStatus {
        name: "mesh".into(),
        supported_kinds: vec!["HTTPRoute"],
        attached_routes: 1,
        conditions: before.conditions.clone(),
    }];
    let address = controlplane_index::status::GivenAddress::Hostname("web.shop".into());
    before.served = Some(ServedGateway {
        addresses: vec![address],
    });
    let mut statuses = vec![class(), before];
    state(&remarks, &mut statuses);
    let status = written(Kind::Gateway, &broken, &statuses);
    assert_eq!(status["addresses"][0]["value"], "web.shop");
    let (programmed, _, message) = condition(&status["conditions"], "Programmed");
    assert_eq!(programmed, "False");
    assert!(message.contains("what it said before counts"), "{message}");
    let (programmed, reason, _) = condition(&status["listeners"][0]["conditions"], "Programmed");
    assert_eq!((programmed, reason), ("False", "Invalid"));
}

#[test]
fn a_class_of_ours_that_is_not_understood_says_so_and_no_other() {
    let of = |controller: &str| json!({"controllerName": controller, "parametersRef": "none"});
    let ours = of("lateen.dev/mesh-controller");
    let mut statuses = Vec::new();
    state(&remarks(Kind::GatewayClass, &[&ours]), &mut statuses);
    let status = written(Kind::GatewayClass, &ours, &statuses);
    let (accepted, reason, message) = condition(&status["conditions"], "Accepted");
    assert_eq!((accepted, reason), ("False", "Invalid"));
    assert!(message.contains("spec.parametersRef"), "{message}");
    let mut statuses = Vec::new();
    state(
        &remarks(Kind::GatewayClass, &[&of("example.org/gateways")]),
        &mut statuses,
    );
    assert_eq!(statuses, []);
}
