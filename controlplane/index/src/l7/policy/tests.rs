//! What is attached where, and whom it is sent to: the same for all kinds.

use controlplane_k8s_api::Kind;

use super::fixture::{Sent, object};

const ISTIO: &str = "security.istio.io/v1";

fn allow(name: &str, attached: &str) -> String {
    object(ISTIO, "AuthorizationPolicy", name, &format!("{{{attached}}}"))
}

fn limit(name: &str, targets: &str) -> String {
    let spec = format!("{{targetRefs: [{targets}], local: {{limits: [{{requests: 1, interval: 1s}}]}}}}");
    object("lateen.dev/v1alpha1", "RateLimitPolicy", name, &spec)
}

#[test]
fn a_policy_goes_to_those_who_serve_its_targets() {
    let mut sent = Sent::of("");
    for (attached, targets, gateways) in [
        (
            "targetRef: {kind: Service, name: web}",
            vec!["service shop/web.shop.svc.cluster.local"],
            vec!["shop/wp"],
        ),
        (
            "targetRefs: [{kind: Service, name: web}, {kind: Service, name: api}]",
            vec![
                "service shop/api.shop.svc.cluster.local",
                "service shop/web.shop.svc.cluster.local",
            ],
            vec!["shop/wp"],
        ),
        (
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: wp}]",
            vec!["gateway shop/wp"],
            vec!["shop/wp"],
        ),
    ] {
        sent.set(&allow("shop/p", attached));
        let key = "AuthorizationPolicy/shop/p/authorization";
        assert_eq!(sent.targets(key), targets, "{attached}");
        assert_eq!(sent.gateways(key), gateways, "{attached}");
        assert_eq!(
            sent.conditions(Kind::AuthorizationPolicy, "shop/p").len(),
            1,
            "ztunnel's"
        );
    }
    sent.set(&allow(
        "bank/p",
        "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: pay}]",
    ));
    assert_eq!(
        sent.targets("AuthorizationPolicy/bank/p/authorization"),
        ["service bank/pay.example.com"]
    );
}

#[test]
fn a_class_of_gateways_is_spoken_for_by_the_root_namespace_alone() {
    let class = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]";
    let sent = Sent::of(&(allow("istio-system/p", class) + &allow("shop/p", class)));
    assert_eq!(sent.keys(), ["AuthorizationPolicy/istio-system/p/authorization"]);
    let key = "AuthorizationPolicy/istio-system/p/authorization";
    assert_eq!(sent.gateways(key), ["bank/wp", "shop/wp"]);
    assert_eq!(sent.targets(key), ["gateway bank/wp", "gateway shop/wp"]);
    assert_eq!(
        sent.status(Kind::AuthorizationPolicy, "shop/p"),
        ["GatewayClass istio-waypoint: WaypointAccepted=false TargetNotFound"]
    );
}

#[test]
fn what_is_not_there_or_not_served_is_said_at_the_target() {
    let refs = "targetRefs: [{kind: Service, name: web}, {kind: Service, name: none}]";
    let mut sent =
        Sent::of(&(allow("shop/p", refs) + &allow("lone/p", "targetRef: {kind: Service, name: alone}")));
    assert_eq!(
        sent.status(Kind::AuthorizationPolicy, "shop/p"),
        [
            "Service none: WaypointAccepted=false TargetNotFound",
            "Service web: WaypointAccepted=true Accepted"
        ]
    );
    assert_eq!(
        sent.conditions(Kind::AuthorizationPolicy, "shop/p")[1],
        "spec.targetRefs[1]: there is no Service shop/none"
    );
    assert_eq!(
        sent.status(Kind::AuthorizationPolicy, "lone/p"),
        ["Service alone: WaypointAccepted=false AncestorNotBound"]
    );
    assert_eq!(sent.keys(), ["AuthorizationPolicy/shop/p/authorization"]);
    // It comes to be there.
    sent.set(
        "{apiVersion: v1, kind: Service, metadata: {name: none, namespace: shop}, spec: {ports: [{port: 80}]}}",
    );
    assert_eq!(sent.targets("AuthorizationPolicy/shop/p/authorization").len(), 2);
    sent.set("{apiVersion: v1, kind: Namespace, metadata: {name: lone, labels: {istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: shop}}}");
    assert_eq!(
        sent.status(Kind::AuthorizationPolicy, "lone/p"),
        ["Service alone: WaypointAccepted=false AncestorNotBound"],
        "the waypoint admits its own namespace only"
    );
}

#[test]
fn sections_are_ports_listeners_and_rules() {
    let route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "shop/r",
        "{parentRefs: [{group: '', kind: Service, name: web}], rules: [{name: first}, {name: second}]}",
    );
    let edge = object(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        "shop/edge",
        "{gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}",
    );
    let mut sent = Sent::of(&(route + &edge));
    for (target, expected) in [
        (
            "{kind: Service, name: web, sectionName: admin}",
            "service shop/web.shop.svc.cluster.local:90",
        ),
        (
            "{group: gateway.networking.k8s.io, kind: Gateway, name: edge, sectionName: web}",
            "listener shop/edge/web",
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}",
            "route HTTPRoute/shop/r",
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r, sectionName: second}",
            "route HTTPRoute/shop/r, rule second",
        ),
    ] {
        sent.set(&limit("shop/l", target));
        assert_eq!(sent.targets("RateLimitPolicy/shop/l/rate-limit"), [expected]);
        let gateway = if expected.starts_with("listener") {
            "shop/edge"
        } else {
            "shop/wp"
        };
        assert_eq!(sent.gateways("RateLimitPolicy/shop/l/rate-limit"), [gateway]);
    }
    for target in [
        "{kind: Service, name: web, sectionName: none}",
        "{group: gateway.networking.k8s.io, kind: Gateway, name: wp, sectionName: none}",
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r, sectionName: none}",
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: none}",
    ] {
        sent.set(&limit("shop/l", target));
        assert_eq!(sent.keys(), Vec::<&str>::new(), "{target}");
        let status = sent.status(Kind::RateLimitPolicy, "shop/l");
        assert!(status[0].ends_with("Accepted=false TargetNotFound"), "{status:?}");
    }
}

#[test]
fn a_listener_that_takes_tunnels_is_no_target_and_says_what_is() {
    let target = "{group: gateway.networking.k8s.io, kind: Gateway, name: wp, sectionName: mesh}";
    let sent = Sent::of(&limit("shop/l", target));
    assert_eq!(sent.keys(), Vec::<&str>::new());
    let status = sent.status(Kind::RateLimitPolicy, "shop/l");
    assert!(
        status[0].ends_with("Accepted=false UnsupportedValue"),
        "{status:?}"
    );
    let conditions = sent.conditions(Kind::RateLimitPolicy, "shop/l");
    assert!(
        conditions[0].starts_with("spec.targetRefs[0]: listener \"mesh\" of Gateway shop/wp takes tunnels"),
        "{conditions:?}"
    );
}

#[test]
fn without_targets_a_policy_is_for_gateways_that_are_no_waypoints() {
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: front, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}\n---\n";
    let mut sent = Sent::of(&(gateway.to_owned() + &allow("shop/all", "") + &allow("bank/all", "")));
    assert_eq!(sent.keys(), ["AuthorizationPolicy/shop/all/authorization"]);
    assert_eq!(
        sent.targets("AuthorizationPolicy/shop/all/authorization"),
        ["gateway shop/front"]
    );
    sent.set(&allow(
        "shop/all",
        "selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: other}}",
    ));
    assert_eq!(sent.keys(), Vec::<&str>::new());
    sent.set(&object(
        ISTIO,
        "RequestAuthentication",
        "bank/jwt",
        "{jwtRules: [{issuer: i, jwks: '{\"keys\":[{\"kty\":\"oct\"}]}'}]}",
    ));
    assert_eq!(
        sent.status(Kind::RequestAuthentication, "bank/jwt"),
        ["WaypointAccepted=false TargetNotFound"]
    );
}

#[test]
fn one_changed_policy_moves_one_message() {
    let mut yaml = String::new();
    for i in 0..50 {
        yaml += &allow(&format!("shop/p{i}"), "targetRef: {kind: Service, name: web}");
    }
    let mut sent = Sent::of(&yaml);
    assert_eq!(sent.policies.len(), 50);
    let before = sent.index.policy_computations();
    sent.set(&allow("shop/p7", "targetRef: {kind: Service, name: api}"));
    assert_eq!(sent.told.len(), 1);
    assert_eq!(sent.index.policy_computations() - before, 1);
    // Another object of the mesh, another namespace's, an endpoint: nothing of that matters.
    let before = sent.index.policy_computations();
    sent.set("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {nodeName: n}}");
    sent.set("{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {ports: [{port: 80}]}}");
    assert_eq!(sent.index.policy_computations() - before, 0);
    sent.remove(Kind::AuthorizationPolicy, "shop/p7");
    assert_eq!((sent.told.len(), sent.policies.len()), (1, 49));
}

#[test]
fn a_route_that_changes_moves_no_policy() {
    let route = |path: &str| {
        object(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            "shop/r",
            &format!(
                "{{parentRefs: [{{group: '', kind: Service, name: web}}], rules: [{{name: a, matches: [{{path: {{value: {path}}}}}]}}]}}"
            ),
        )
    };
    let target = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r, sectionName: a}";
    let mut sent = Sent::of(&(route("/a") + &limit("shop/l", target)));
    let before = sent.index.policy_computations();
    sent.set(&route("/b"));
    assert_eq!(sent.index.policy_computations() - before, 0);
    assert_eq!(sent.told.len(), 0);
}

#[test]
fn applications_are_told_who_asks_where_the_gateway_or_its_class_says() {
    let gateway = |annotations: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: wp, namespace: shop, annotations: {{{annotations}}}}}, spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}}}\n---\n"
        )
    };
    let key = "ambient.istio.io/xfcc-include-client-identity";
    let mut sent = Sent::of(&gateway(&format!("{key}: 'true'")));
    let policy = "Gateway/shop/wp/forward-client-identity";
    assert_eq!(
        (sent.targets(policy), sent.gateways(policy)),
        (vec!["gateway shop/wp".into()], vec!["shop/wp".into()])
    );
    sent.set(&gateway(""));
    assert_eq!(sent.keys(), Vec::<&str>::new());
    sent.set(&format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: istio-waypoint, annotations: {{{key}: 'true'}}}}, spec: {{controllerName: istio.io/mesh-controller}}}}"
    ));
    assert_eq!(sent.policies.len(), 2, "both waypoints are of the class");
}
