use super::*;
use crate::explain::{Beside, Explained, Passes};
use crate::files::Source;
use crate::validate::validate;

const WEB: &str = "selector: {matchLabels: {app: cart}}";

fn peer(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}\n---\n"
    )
}

const CART: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {nodeName: n, containers: [{name: c}]}
---
";

fn known(objects: &str) -> Authentications {
    let validated = validate(&[Source {
        name: String::new(),
        text: objects.into(),
    }]);
    assert_eq!(validated.faults, []);
    let objects = validated.objects.iter().map(|(_, object)| &object.value);
    Authentications::among(objects, &ObjectName::new("shop", "cart-1"), MeshConfig::default())
}

/// What ztunnel says of a client outside of the mesh; with a waypoint in front of the service, which is not asked.
fn page(policy: &str, waypoint: bool) -> Value {
    let mut page = json!({
        "client": "Kubernetes//Pod/legacy/web-1", "clientInMesh": false, "identity": "", "to": "10.96.0.1:80",
        "goes": "plain", "address": "10.1.0.3:8080", "destination": "10.1.0.3:8080",
        "service": "shop/cart.shop.svc.cluster.local", "workload": "Kubernetes//Pod/shop/cart-1", "waypoint": false,
        "policies": {"allowed": false, "policy": policy, "reason": format!("denied by policy {policy} rule 0")},
    });
    if waypoint {
        page["past"] = "waypoint shop/waypoint is not asked: the client is outside of the mesh".into();
    }
    page
}

const SHARED: &str = "istio-system/istio_converted_static_strict";
const OWN: &str = "shop/converted_peer_authentication_cart";

/// Each level, and which policy proxies are told for it.
fn levels() -> [(String, &'static str, &'static str, &'static str); 4] {
    let strict = "mtls: {mode: STRICT}";
    [
        (
            peer("istio-system", "everywhere", strict),
            SHARED,
            "istio-system/everywhere",
            "mesh",
        ),
        (peer("shop", "here", strict), SHARED, "shop/here", "namespace"),
        (
            peer("shop", "cart", &format!("{WEB}, {strict}")),
            SHARED,
            "shop/cart",
            "workload",
        ),
        (
            peer(
                "shop",
                "cart",
                &format!("{WEB}, portLevelMtls: {{8080: {{mode: STRICT}}}}"),
            ),
            OWN,
            "shop/cart",
            "port",
        ),
    ]
}

#[test]
fn every_level_is_named_with_its_object_field_and_remedy_and_a_waypoint_in_between_changes_nothing() {
    for waypoint in [false, true] {
        for (objects, policy, object, level) in levels() {
            let page = page(policy, waypoint);
            let denial = crate::explain::Connection::read(&page)
                .expect("the page")
                .denial();
            let denial = denial.expect("it is denied");
            assert_eq!((denial.port, denial.workload.name.as_str()), (8080, "cart-1"));
            let known = known(&(objects + CART));
            assert!(is_about(&denial, &known.config));
            let blame = known.blame(&denial).expect("an object");
            let explained = Explained::of(
                &page,
                None,
                Beside {
                    blame: Some(blame),
                    ..Beside::default()
                },
            )
            .expect("the page");
            assert_eq!(*explained.passes(), Passes::No, "{level}");
            let view = explained.view();
            assert_eq!(view.data["refusedBy"]["object"], object, "{level}");
            assert_eq!(view.data["refusedBy"]["level"], level);
            let text = view.table.text();
            assert!(
                text.contains(&format!("PeerAuthentication {object} ({level} level)")),
                "{text}"
            );
            assert!(text.contains("it does not pass"), "{text}");
            assert!(
                text.contains("kubectl label namespace legacy istio.io/dataplane-mode=ambient"),
                "{text}"
            );
            assert_eq!(text.contains("is not asked"), waypoint, "{text}");
            let field = if level == "port" {
                "spec.portLevelMtls[8080].mode"
            } else {
                "spec.mtls.mode"
            };
            assert_eq!(view.data["refusedBy"]["field"], field);
        }
    }
}

#[test]
fn a_policy_that_somebody_wrote_is_not_taken_for_a_peer_authentication() {
    let page = page("shop/no-strangers", false);
    let denial = crate::explain::Connection::read(&page)
        .expect("the page")
        .denial()
        .expect("denied");
    let known = known(&(peer("shop", "here", "mtls: {mode: STRICT}") + CART));
    assert!(!is_about(&denial, &known.config));
    assert_eq!(known.blame(&denial), None);
    let text = Explained::of(&page, None, Beside::default())
        .expect("the page")
        .view()
        .table
        .text();
    assert!(
        text.contains("denied by policy shop/no-strangers rule 0"),
        "{text}"
    );
}

#[test]
fn without_the_objects_what_the_policys_name_says_is_told() {
    for (policy, expected) in [(OWN, "PeerAuthentication shop/cart"), (SHARED, "-f FILE")] {
        let page = page(policy, false);
        let denial = crate::explain::Connection::read(&page)
            .expect("the page")
            .denial()
            .expect("denied");
        let blame = Authentications::default().blame(&denial).expect("it is one");
        assert!(blame.text.contains(expected), "{}", blame.text);
    }
}

#[test]
fn a_client_that_the_mesh_does_not_know_is_given_another_remedy() {
    let mut page = page(SHARED, false);
    page["client"] = "192.0.2.7".into();
    let denial = crate::explain::Connection::read(&page)
        .expect("the page")
        .denial()
        .expect("denied");
    assert_eq!(denial.client, None);
    let blame = known(&(peer("shop", "here", "mtls: {mode: STRICT}") + CART)).blame(&denial);
    let remedy = blame.expect("an object").remedy;
    assert!(remedy.contains("from a pod of the mesh"), "{remedy}");
}
