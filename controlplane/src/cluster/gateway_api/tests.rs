use controlplane_index::status::{ServedGateway, StatusCondition, StatusReason};

use super::*;
use crate::delivery::Count;

const NOW: &str = "2026-11-21T15:00:00Z";

fn at(now: &str) -> At<'_> {
    At {
        now,
        count: Count::Done,
    }
}
const BEFORE: &str = "2026-11-20T00:00:00Z";

fn said_of(kind: Kind) -> ObjectStatus {
    ObjectStatus {
        observed_generation: Some(3),
        ..ObjectStatus::new(ObjectKey {
            kind,
            namespace: "shop".into(),
            name: "web".into(),
        })
    }
}

fn accepted(holds: bool) -> StatusCondition {
    let reason = match holds {
        true => StatusReason::Accepted,
        false => StatusReason::NoMatchingParent,
    };
    StatusCondition::new(ConditionType::Accepted, holds, reason, "m")
}

fn service(name: &str, holds: bool) -> ParentStatus {
    ParentStatus {
        parent: Parent {
            group: "".into(),
            kind: "Service".into(),
            namespace: "shop".into(),
            name: name.into(),
            section_name: None,
            port: None,
        },
        conditions: vec![accepted(holds)],
    }
}

fn theirs(name: &str) -> Value {
    json!({
        "controllerName": "example.org/gateways",
        "parentRef": {"name": name},
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}],
    })
}

#[test]
fn a_route_has_an_entry_for_each_of_its_parents_beside_those_of_others() {
    let route = json!({
        "spec": {"parentRefs": [
            {"group": "", "kind": "Service", "name": "web"},
            {"group": "", "kind": "Service", "name": "gone", "namespace": "shop"},
            {"name": "edge"},
        ]},
        "status": {"parents": [theirs("edge")]},
    });
    let mut said = said_of(Kind::HttpRoute);
    said.parents = vec![
        service("gone", false),
        service("web", true),
        service("not-named", true),
    ];
    let first = status(&route, &said, at(BEFORE)).expect("it is ours");
    let parents = first["parents"].as_array().expect("a list");
    assert_eq!(parents.len(), 3, "{first}");
    assert_eq!(parents[0], theirs("edge"), "another controller's is not touched");
    let expected = json!({
        "controllerName": "istio.io/gateway-controller",
        "parentRef": {"group": "", "kind": "Service", "name": "web"},
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "m",
            "observedGeneration": 3, "lastTransitionTime": BEFORE,
        }],
    });
    assert_eq!(parents[1], expected);
    assert_eq!(
        parents[2]["parentRef"]["namespace"], "shop",
        "as the route has it"
    );
    assert_eq!(parents[2]["conditions"][0]["reason"], "NoMatchingParent");

    // Again, with what was written: the very same, whenever.
    let mut written = route.clone();
    written["status"] = first.clone();
    assert_eq!(status(&written, &said, at(NOW)).as_ref(), Some(&first));
    // One turns, one goes: the other's stay, and the time of what did not change.
    said.parents = vec![service("web", false)];
    let turned = status(&written, &said, at(NOW)).expect("it is ours");
    let parents = turned["parents"].as_array().expect("a list");
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0], theirs("edge"));
    assert_eq!(parents[1]["conditions"][0]["lastTransitionTime"], NOW);
    // Nothing is said any more.
    let none = status(&written, &said_of(Kind::HttpRoute), at(NOW)).expect("it is ours");
    assert_eq!(none, json!({"parents": [theirs("edge")]}));
}

#[test]
fn parents_are_ours_when_they_are_services_or_gateways_that_we_answer_for() {
    let parent = |group: &str, kind: &str, name: &str| Parent {
        group: group.into(),
        kind: kind.into(),
        name: name.into(),
        ..service("", true).parent
    };
    let served = |namespace: &str, name: &str| (namespace, name) == ("shop", "waypoint");
    let gateway_api = "gateway.networking.k8s.io";
    for (parent, expected) in [
        (parent("", "Service", "web"), true),
        (parent("networking.istio.io", "ServiceEntry", "web"), true),
        (parent(gateway_api, "Gateway", "waypoint"), true),
        (parent(gateway_api, "Gateway", "edge"), false),
        (parent(gateway_api, "ListenerSet", "waypoint"), false),
        (parent("example.org", "Mesh", "m"), false),
    ] {
        assert_eq!(is_ours(&parent, served), expected, "{parent:?}");
    }
}

#[test]
fn a_policy_has_an_entry_for_each_ancestor() {
    let mut said = said_of(Kind::BackendTlsPolicy);
    let mut of_port = service("web", true);
    of_port.parent.section_name = Some("https".into());
    said.parents = vec![of_port];
    let policy = json!({"status": {"ancestors": [{"controllerName": "example.org/gateways"}]}});
    let written = status(&policy, &said, at(NOW)).expect("it is ours");
    assert_eq!(written["ancestors"][0]["controllerName"], "example.org/gateways");
    assert_eq!(
        written["ancestors"][1]["ancestorRef"],
        json!({"group": "", "kind": "Service", "namespace": "shop", "name": "web", "sectionName": "https"})
    );
    let again = status(&json!({ "status": written }), &said, at(BEFORE));
    assert_eq!(again, Some(written));
    // More than the API takes are not written.
    said.parents = (0..20).map(|i| service(&format!("web-{i}"), true)).collect();
    let many = status(&json!({}), &said, at(NOW)).expect("it is ours");
    assert_eq!(many["ancestors"].as_array().map(Vec::len), Some(16));
}

fn gateway() -> ObjectStatus {
    ObjectStatus {
        conditions: vec![accepted(true)],
        listeners: vec![ListenerStatus {
            name: "mesh".into(),
            supported_kinds: vec!["HTTPRoute"],
            attached_routes: 2,
            conditions: vec![accepted(true)],
        }],
        served: Some(ServedGateway {
            addresses: vec![
                GivenAddress::Ip("10.96.0.9".parse().expect("an address")),
                GivenAddress::Hostname("web.shop.svc.cluster.local".into()),
            ],
        }),
        ..said_of(Kind::Gateway)
    }
}

#[test]
fn a_gateway_says_where_it_is_found_and_what_became_of_its_listeners() {
    // As the API server makes it.
    let pending = |kind: &str| json!({"type": kind, "status": "Unknown", "reason": "Pending"});
    let theirs = json!({"type": "example.org/Costs", "status": "True"});
    let made = json!({"status": {
        "conditions": [pending("Accepted"), pending("Programmed"), theirs],
        "listeners": [{"name": "gone", "attachedRoutes": 1}],
        "attachedListenerSets": 0,
    }});
    let first = status(&made, &gateway(), at(BEFORE)).expect("it is ours");
    let kinds = first["conditions"].as_array().into_iter().flatten();
    let kinds: Vec<_> = kinds.map(|c| (c["type"].clone(), c["status"].clone())).collect();
    assert_eq!(
        kinds,
        [("Accepted", "True"), ("example.org/Costs", "True")].map(|(k, s)| (json!(k), json!(s)))
    );
    assert_eq!(
        first["addresses"],
        json!([
            {"type": "IPAddress", "value": "10.96.0.9"},
            {"type": "Hostname", "value": "web.shop.svc.cluster.local"},
        ])
    );
    assert_eq!(first["listeners"].as_array().map(Vec::len), Some(1));
    let listener = &first["listeners"][0];
    assert_eq!(
        (&listener["name"], &listener["attachedRoutes"]),
        (&json!("mesh"), &json!(2))
    );
    assert_eq!(listener["supportedKinds"][0]["kind"], "HTTPRoute");
    assert_eq!(listener["conditions"][0]["observedGeneration"], 3);
    assert_eq!(first["attachedListenerSets"], 0, "not ours");
    let again = status(&json!({ "status": first }), &gateway(), at(NOW));
    assert_eq!(again, Some(first));
}

#[test]
fn what_another_controller_answers_for_is_left_alone() {
    let mut foreign = gateway();
    foreign.served = None;
    assert_eq!(status(&json!({}), &foreign, at(NOW)), None);
    assert_eq!(status(&json!({}), &said_of(Kind::GatewayClass), at(NOW)), None);
    let mut class = said_of(Kind::GatewayClass);
    class.conditions = vec![accepted(true)];
    let written = status(&json!({}), &class, at(NOW)).expect("it is ours");
    assert_eq!(written["conditions"][0]["type"], "Accepted");
    let features = |class: &ObjectStatus, before: &Value| {
        let written = status(&json!({ "status": before }), class, at(NOW)).expect("it is ours");
        let features = written["supportedFeatures"].as_array().cloned();
        features.map(|all| {
            let names = all
                .iter()
                .map(|feature| feature["name"].as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>().expect("names")
        })
    };
    let said = features(&class, &json!({})).expect("it says what its Gateways support");
    assert!(
        said.is_sorted() && said.iter().any(|name| name == "Mesh"),
        "{said:?}"
    );
    class.conditions = vec![accepted(false)];
    assert_eq!(
        features(&class, &written),
        None,
        "nothing of a class that is not taken"
    );
    assert_eq!(
        status(&json!({}), &said_of(Kind::Service), at(NOW)),
        None,
        "of another shape"
    );
}
