use controlplane_k8s_api::Kind;
use mesh_model::l7::route::RouteParent;

use crate::fixture::Mesh;
use crate::l7::fixture::{SHOP, route, route_of};

const GATEWAY: &str = r"
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: infra}, spec: {gatewayClassName: lateen, listeners: [
  {name: own, port: 80, protocol: HTTP},
  {name: all, port: 8080, protocol: HTTP, hostname: '*.example.com', allowedRoutes: {namespaces: {from: All}}},
  {name: money, port: 8081, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: money}}}}},
  {name: nobody, port: 8082, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}},
  {name: grpc, port: 8083, protocol: HTTP, allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}},
  {name: tcp, port: 8084, protocol: TCP, allowedRoutes: {namespaces: {from: All}}}]}}
---
";
const RULE: &str = "backendRefs: [{name: web, port: 80}]";

fn status(yaml: &str, name: &str) -> String {
    let mesh = Mesh::of(&format!("{SHOP}{GATEWAY}{yaml}"));
    mesh.parents(Kind::HttpRoute, name)[0].clone()
}

#[test]
fn what_is_not_there_takes_no_route() {
    for (parent, expected) in [
        (
            "{group: '', kind: Service, name: web}",
            "web Accepted=true/Accepted",
        ),
        (
            "{group: '', kind: Service, name: nobody}",
            "nobody Accepted=false/NoMatchingParent",
        ),
        (
            "{group: '', kind: Service, name: alias}",
            "alias Accepted=false/NoMatchingParent",
        ),
        (
            "{group: '', kind: Service, name: web, port: 81}",
            "web Accepted=false/NoMatchingParent",
        ),
        (
            "{group: '', kind: Service, name: web, port: 53}",
            "web Accepted=false/NoMatchingParent",
        ),
        (
            "{group: '', kind: Service, name: web, sectionName: http, port: 80}",
            "web Accepted=true/Accepted",
        ),
        (
            "{group: '', kind: Service, name: web, sectionName: http, port: 9090}",
            "web Accepted=false/NoMatchingParent",
        ),
        (
            "{group: networking.istio.io, kind: ServiceEntry, name: api, namespace: bank}",
            "api Accepted=true/Accepted",
        ),
        (
            "{group: networking.istio.io, kind: ServiceEntry, name: api}",
            "api Accepted=false/NoMatchingParent",
        ),
        (
            "{group: networking.istio.io, kind: Hostname, name: api.example.com}",
            "api.example.com Accepted=true/Accepted",
        ),
        (
            "{group: networking.istio.io, kind: Hostname, name: hidden.example.com}",
            "hidden.example.com Accepted=false/NoMatchingParent",
        ),
        (
            "{group: x.io, kind: Thing, name: t}",
            "t Accepted=false/InvalidKind",
        ),
        (
            "{name: nobody, namespace: infra}",
            "nobody Accepted=false/NoMatchingParent",
        ),
        // Routes are attached to services, not to their waypoint.
        (
            "{name: waypoint}",
            "waypoint Accepted=false/NotAllowedByListeners",
        ),
        (
            "{name: edge, namespace: infra, sectionName: missing}",
            "edge Accepted=false/NoMatchingParent",
        ),
        (
            "{name: edge, namespace: infra, sectionName: all, port: 80}",
            "edge Accepted=false/NoMatchingParent",
        ),
        (
            "{name: edge, namespace: infra, sectionName: own}",
            "edge Accepted=false/NotAllowedByListeners",
        ),
        (
            "{name: edge, namespace: infra, port: 8080}",
            "edge Accepted=true/Accepted",
        ),
        (
            "{name: edge, namespace: infra, sectionName: money}",
            "edge Accepted=false/NotAllowedByListeners",
        ),
        (
            "{name: edge, namespace: infra, sectionName: nobody}",
            "edge Accepted=false/NotAllowedByListeners",
        ),
        (
            "{name: edge, namespace: infra, sectionName: grpc}",
            "edge Accepted=false/NotAllowedByListeners",
        ),
        (
            "{name: edge, namespace: infra, sectionName: tcp}",
            "edge Accepted=false/NotAllowedByListeners",
        ),
    ] {
        assert_eq!(status(&route("r", parent, RULE), "shop/r"), expected, "{parent}");
    }
    let by_label = route_of(
        "bank",
        "r",
        "{name: edge, namespace: infra, sectionName: money}",
        RULE,
    );
    assert_eq!(status(&by_label, "bank/r"), "edge Accepted=true/Accepted");
}

#[test]
fn hosts_must_have_something_in_common_with_a_listener() {
    for (hosts, fits) in [
        ("[]", true),
        ("[a.example.com]", true),
        ("['*.example.com']", true),
        ("['*.com']", true),
        ("['*.a.example.com']", true),
        ("[example.com]", false),
        ("[example.org, a.example.com]", true),
        ("['*.example.org']", false),
    ] {
        let parent = "{name: edge, namespace: infra, sectionName: all}";
        let yaml = route("r", parent, RULE).replace("spec: {", &format!("spec: {{hostnames: {hosts}, "));
        let expected = match fits {
            true => "edge Accepted=true/Accepted",
            false => "edge Accepted=false/NoMatchingListenerHostname",
        };
        assert_eq!(status(&yaml, "shop/r"), expected, "{hosts}");
    }
}

#[test]
fn a_route_attaches_to_every_listener_that_takes_it() {
    let yaml = route(
        "r",
        "{name: edge, namespace: infra}, {group: '', kind: Service, name: web}",
        RULE,
    )
    .replace("spec: {", "spec: {hostnames: [A.example.com], ");
    let mesh = Mesh::of(&format!("{SHOP}{GATEWAY}{}", yaml.replace('A', "a")));
    // Two sides, as only gateways ask for grants, and only there hosts count.
    let gateway = mesh.route("HTTPRoute/shop/r/gateway");
    assert_eq!(gateway.parents, [RouteParent::Bind("infra/edge/all".into())]);
    assert_eq!(gateway.hostnames, ["a.example.com"]);
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/r/gateway"), ["infra/edge"]);
    assert!(mesh.route("HTTPRoute/shop/r").hostnames.is_empty());
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/r"), ["shop/waypoint"]);
    assert_eq!(
        mesh.parents(Kind::HttpRoute, "shop/r"),
        [
            "web Accepted=true/Accepted",
            "web ResolvedRefs=true/ResolvedRefs",
            "web ResolvedWaypoints=true/ResolvedWaypoints",
            "edge Accepted=true/Accepted",
            "edge ResolvedRefs=true/ResolvedRefs",
        ]
    );
}

#[test]
fn across_namespaces_gateways_need_a_grant() {
    let edge = "{name: edge, namespace: infra, sectionName: all}";
    let to_ledger = "backendRefs: [{name: ledger, namespace: bank, port: 80}]";
    let mut mesh = Mesh::of(&format!("{SHOP}{GATEWAY}{}", route("r", edge, to_ledger)));
    let refused = [
        "edge Accepted=true/Accepted",
        "edge ResolvedRefs=false/RefNotPermitted",
    ];
    assert_eq!(mesh.parents(Kind::HttpRoute, "shop/r"), refused);
    for (from, to, permitted) in [
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}",
            "{group: '', kind: Service}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: shop}",
            "{group: '', kind: Service}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Secret}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Service, name: other}",
            false,
        ),
        // Kinds that there are not, and groups and kinds in another case: nothing is guessed at.
        (
            "{group: gateway.networking.k8s.io, kind: Httproute, namespace: shop}",
            "{group: '', kind: Service}",
            false,
        ),
        (
            "{group: '', kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Service}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: core, kind: Service}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Services}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Service, name: ledger}",
            true,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}",
            "{group: '', kind: Service}",
            true,
        ),
    ] {
        mesh.set(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {{name: g, namespace: bank}}, \
             spec: {{from: [{from}], to: [{to}]}}}}"
        ));
        let resolved = "edge ResolvedRefs=true/ResolvedRefs";
        assert_eq!(
            mesh.parents(Kind::HttpRoute, "shop/r")[1] == resolved,
            permitted,
            "{from} {to}"
        );
    }
    mesh.remove(Kind::ReferenceGrant, "bank/g");
    assert_eq!(mesh.parents(Kind::HttpRoute, "shop/r"), refused);
}

/// MeshConsumerRoute.
#[test]
fn a_route_of_another_namespace_is_for_its_own_clients() {
    let web = "{group: '', kind: Service, name: web, namespace: shop}";
    let mesh = Mesh::of(&format!(
        "{SHOP}{}{}",
        route_of("bank", "r", web, RULE),
        route("own", web, RULE)
    ));
    assert_eq!(mesh.route("HTTPRoute/bank/r").consumer.as_deref(), Some("bank"));
    assert_eq!(mesh.route_gateways("HTTPRoute/bank/r"), ["shop/waypoint"]);
    assert_eq!(mesh.route("HTTPRoute/shop/own").consumer, None);
}

/// The namespace of a waypoint decides for what it serves.
#[test]
fn a_route_of_the_waypoints_namespace_is_for_everybody() {
    let ledger = "{group: '', kind: Service, name: ledger, namespace: bank}";
    let mut mesh = Mesh::of(&format!("{SHOP}{}", route("r", ledger, RULE)));
    assert!(mesh.routes.is_empty(), "no waypoint, no route");
    assert_eq!(
        mesh.parents(Kind::HttpRoute, "shop/r")[0],
        "ledger Accepted=true/Accepted"
    );
    mesh.set(
        "{apiVersion: v1, kind: Namespace, metadata: {name: bank, labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop}}}\n---\n\
         {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}}",
    );
    assert_eq!(mesh.route("HTTPRoute/shop/r").consumer, None);
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/r"), ["shop/waypoint"]);
}

/// Of Gateways there is nothing to say: they carry routes out themselves.
#[test]
fn a_route_is_told_whether_there_is_a_waypoint_before_its_parent() {
    let ledger = "{group: '', kind: Service, name: ledger, namespace: bank}";
    let mut mesh = Mesh::of(&format!("{SHOP}{}", route("r", ledger, RULE)));
    let bound_to = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: bank, labels: {{istio.io/use-waypoint: {name}, \
             istio.io/use-waypoint-namespace: shop}}}}}}"
        )
    };
    let told = |mesh: &Mesh| {
        mesh.parents(Kind::HttpRoute, "shop/r")
            .pop()
            .expect("it is the last")
    };
    let missing = "ledger ResolvedWaypoints=false/MissingUseWaypointLabel";
    assert_eq!(told(&mesh), missing);
    mesh.set(&bound_to("none-such"));
    assert_eq!(told(&mesh), "ledger ResolvedWaypoints=false/WaypointIsNotReady");
    mesh.set(&bound_to("waypoint"));
    assert_eq!(told(&mesh), "ledger ResolvedWaypoints=false/AttachmentDenied");
    mesh.set(&bound_to("none"));
    assert_eq!(told(&mesh), missing);
}
