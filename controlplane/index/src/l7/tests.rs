//! Who is sent what, and what is computed for it.

use controlplane_k8s_api::Kind;
use mesh_model::l7::route::Rules;

use super::fixture::{SHOP, route, route_of};
use crate::ObjectChange;
use crate::fixture::{Mesh, objects};

fn nth(n: usize, port: u16) -> String {
    let parent = format!("{{group: '', kind: Service, name: s{n}}}");
    route(
        &format!("r{n}"),
        &parent,
        &format!("backendRefs: [{{name: web, port: {port}}}]"),
    )
}

/// As many services with a route each.
fn crowd(count: usize) -> Mesh {
    let mut mesh = Mesh::of(SHOP);
    let services = (0..count).map(|n| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s{n}, namespace: shop}}, spec: {{clusterIP: None, selector: {{app: s{n}}}, ports: [{{name: http, port: 80}}]}}}}\n---\n{}",
            nth(n, 80)
        )
    });
    let all = services.flat_map(|yaml| objects(&yaml));
    mesh.apply(all.map(ObjectChange::Set).collect());
    mesh
}

#[test]
fn one_changed_route_of_ten_thousand_is_one_computation_and_one_message() {
    let mut mesh = crowd(10_000);
    assert_eq!(mesh.routes.len(), 10_000);
    let before = mesh.index.route_computations();
    mesh.set(&nth(4_711, 9090));
    assert_eq!((mesh.told_l7, mesh.index.route_computations() - before), (1, 1));
    // Told again as it is: nothing at all.
    mesh.set(&nth(4_711, 9090));
    assert_eq!((mesh.told_l7, mesh.index.route_computations() - before), (0, 1));
    // What others are: endpoints, labels, a status that nobody looks at.
    mesh.set("{apiVersion: v1, kind: Service, metadata: {name: s1, namespace: shop, labels: {a: b}}, spec: {clusterIP: None, selector: {app: other}, ports: [{name: http, port: 80}]}}");
    assert_eq!(mesh.index.route_computations() - before, 1);
    // A port that goes is known to those who name the service, and to nobody else.
    mesh.set("{apiVersion: v1, kind: Service, metadata: {name: s1, namespace: shop}, spec: {clusterIP: None, ports: [{name: http, port: 81}]}}");
    assert_eq!(mesh.index.route_computations() - before, 2);
}

#[test]
fn a_namespace_that_opts_in_sends_what_it_needs_and_takes_it_back() {
    let ledger = "{group: '', kind: Service, name: ledger}";
    let rule = "backendRefs: [{name: ledger, port: 80}]";
    let mut mesh = Mesh::of(&format!(
        "{SHOP}{}{}",
        route_of("bank", "l", ledger, rule),
        route("w", "{group: '', kind: Service, name: web}", rule)
    ));
    assert_eq!(mesh.routes.keys().collect::<Vec<_>>(), ["HTTPRoute/shop/w"]);
    mesh.set(
        "{apiVersion: v1, kind: Namespace, metadata: {name: bank, labels: {istio.io/use-waypoint: own}}}",
    );
    // There is no such Gateway yet, so that nobody is let in as its proxy; from then on it is asked by those who may.
    assert_eq!(mesh.route_gateways("HTTPRoute/bank/l"), ["bank/own"]);
    mesh.set("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: own, namespace: bank}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}");
    // Not ready, so that nobody is sent there; its proxies know already what they will be asked for.
    assert_eq!(mesh.route_gateways("HTTPRoute/bank/l"), ["bank/own"]);
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/w"), ["shop/waypoint"]);
    mesh.set("{apiVersion: v1, kind: Namespace, metadata: {name: bank}}");
    assert_eq!(mesh.routes.keys().collect::<Vec<_>>(), ["HTTPRoute/shop/w"]);
}

#[test]
fn a_service_that_moves_to_another_waypoint_takes_its_routes_along() {
    let web = "{group: '', kind: Service, name: web}";
    let mut mesh = Mesh::of(&format!("{SHOP}{}", route("w", web, "")));
    mesh.set("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: second, namespace: shop}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}");
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/w"), ["shop/waypoint"]);
    let service = |labels: &str, annotations: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop, labels: {{{labels}}}, annotations: {{{annotations}}}}}, spec: {{clusterIP: 10.96.0.2, ports: [{{name: http, port: 80}}]}}}}"
        )
    };
    mesh.set(&service("istio.io/use-waypoint: second", ""));
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/w"), ["shop/second"]);
    // A canary needs all that the primary needs.
    mesh.set(&service(
        "istio.io/use-waypoint: waypoint, istio.io/use-waypoint-canary: second",
        "istio.io/use-waypoint-canary-weight: '10'",
    ));
    assert_eq!(
        mesh.route_gateways("HTTPRoute/shop/w"),
        ["shop/second", "shop/waypoint"]
    );
    mesh.set(&service("istio.io/use-waypoint: none", ""));
    assert!(mesh.routes.is_empty());
}

#[test]
fn a_route_that_is_gone_is_told() {
    let web = "{group: '', kind: Service, name: web}";
    let mut mesh = Mesh::of(&format!("{SHOP}{}", route("w", web, "")));
    assert_eq!(
        mesh.route("HTTPRoute/shop/w").rules,
        Rules::Http {
            order: mesh_model::l7::route::Order::Specificity,
            rules: vec![mesh_model::l7::route::HttpRule {
                name: None,
                matches: Vec::new(),
                filters: Vec::new(),
                action: mesh_model::l7::route::HttpAction::Forward(Vec::new()),
                timeouts: mesh_model::l7::resilience::Timeouts::default(),
                retry: None,
                session: None,
            }],
        }
    );
    mesh.remove(Kind::HttpRoute, "shop/w");
    assert_eq!((mesh.told_l7, mesh.routes.len()), (1, 0));
}

#[test]
fn what_is_wrong_is_told_by_object_and_field() {
    let mesh = Mesh::of(&format!(
        "{SHOP}{}",
        route(
            "w",
            "{group: '', kind: Service, name: web}, {group: '', kind: Service, name: nobody}",
            "backendRefs: [{name: nobody, port: 80}]"
        )
    ));
    let conditions = mesh.index.conditions().into_iter();
    let of_route = conditions.filter(|(o, _)| o.kind == Kind::HttpRoute);
    let lines: Vec<String> = of_route.map(|(o, c)| format!("{}: {c}", o.reference())).collect();
    assert_eq!(
        lines,
        [
            "HTTPRoute shop/w: spec.parentRefs[1]: there is no Service shop/nobody",
            "HTTPRoute shop/w: spec.rules[0].backendRefs[0]: there is no Service shop/nobody",
        ]
    );
}
