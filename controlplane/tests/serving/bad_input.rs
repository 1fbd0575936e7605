//! What is wrong in a file does what it must not do less of, and says where it is: object, field and reason in one line.

use std::sync::Arc;

use mesh_model::Authorization;
use mesh_model::authz::{Connection, PolicyGroup, PolicySet, evaluate};
use mesh_model::l7::route::{Destination, HttpAction, Rules};
use mesh_xds::TypeUrl;

use crate::fixture::{Plane, Proxy};

const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: waypoint}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: waypoint, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: hbone, port: 15008}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}}
";

async fn plane() -> Plane {
    let mut plane = Plane::new();
    plane.write("mesh.yaml", MESH);
    plane.start().await;
    plane
}

fn waypoint(plane: &Plane) -> Proxy {
    Proxy::of_gateway(plane, "waypoint", "shop/waypoint")
}

fn route(rule: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, \
         spec: {{parentRefs: [{{group: '', kind: Service, name: web}}], rules: [{rule}]}}}}"
    )
}

/// The shares of a route's first rule: weight, and whether it leads somewhere.
fn shares(proxy: &Proxy) -> Option<Vec<(u32, bool)>> {
    let route = proxy.route("HTTPRoute/shop/web")?;
    let Rules::Http { rules, .. } = &route.rules else {
        return None;
    };
    let HttpAction::Forward(backends) = &rules.first()?.action else {
        return None;
    };
    let share = |b: &mesh_model::l7::route::HttpBackend| {
        (b.weight, !matches!(b.destination, Destination::Invalid(_)))
    };
    Some(backends.iter().map(share).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_backend_keeps_its_share_and_no_other_one_gets_it() {
    let plane = plane().await;
    let proxy = waypoint(&plane);
    for (backend, reason, why) in [
        (
            "name: nobody, port: 80",
            "BackendNotFound",
            "there is no Service shop/nobody",
        ),
        ("name: web, port: 81", "BackendNotFound", "has no port 81"),
        (
            "kind: Lamp, name: web, port: 80",
            "InvalidKind",
            "is nothing that requests can go to",
        ),
    ] {
        plane.write(
            "route.yaml",
            &route(&format!(
                "{{backendRefs: [{{name: web, port: 80, weight: 9}}, {{{backend}, weight: 1}}]}}"
            )),
        );
        plane.until_says("/status", 200, why).await;
        let (_, status) = plane.get("/status").await;
        assert!(
            status.contains(reason) && status.contains("spec.rules[0].backendRefs[1]"),
            "{status}"
        );
        proxy
            .until("the share", |p| {
                (shares(p)? == [(9, true), (1, false)]).then_some(())
            })
            .await;
    }
    plane.write("route.yaml", &route("{backendRefs: [{name: web, port: 80}]}"));
    proxy
        .until("the mended route", |p| (shares(p)? == [(1, true)]).then_some(()))
        .await;
}

/// What node proxies cannot judge, each beside a port that they can.
const BROKEN_PARTS: [(&str, &str); 10] = [
    (
        "to: [{operation: {ports: ['80'], methods: [GET]}}]",
        "to[0].operation.methods",
    ),
    (
        "to: [{operation: {ports: ['80'], notMethods: [GET]}}]",
        "to[0].operation.notMethods",
    ),
    (
        "to: [{operation: {ports: ['80'], paths: [/a]}}]",
        "to[0].operation.paths",
    ),
    (
        "to: [{operation: {ports: ['80'], notPaths: [/a]}}]",
        "to[0].operation.notPaths",
    ),
    (
        "to: [{operation: {ports: ['80'], hosts: [a]}}]",
        "to[0].operation.hosts",
    ),
    (
        "to: [{operation: {ports: ['80']}}], from: [{source: {requestPrincipals: [a/b]}}]",
        "from[0].source.requestPrincipals",
    ),
    (
        "to: [{operation: {ports: ['80']}}], from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]",
        "from[0].source.remoteIpBlocks",
    ),
    (
        "to: [{operation: {ports: ['80']}}], from: [{source: {notRequestPrincipals: [a/b]}}]",
        "from[0].source.notRequestPrincipals",
    ),
    (
        "to: [{operation: {ports: ['80']}}], when: [{key: 'request.headers[x]', values: [a]}]",
        "when[0].key",
    ),
    (
        "to: [{operation: {ports: ['80']}}], when: [{key: 'request.auth.claims[iss]', values: [a]}]",
        "when[0].key",
    ),
];

fn policy(action: &str, rule: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, \
         spec: {{selector: {{matchLabels: {{app: web}}}}, action: {action}, rules: [{{{rule}}}]}}}}"
    )
}

fn passes(policy: &Authorization, port: u16) -> bool {
    let policies = PolicySet {
        unknown: Vec::new(),
        groups: vec![Arc::new(PolicyGroup::compile([Arc::new(policy.clone())]))],
    };
    let anybody = "spiffe://cluster.local/ns/shop/sa/anybody".parse().unwrap();
    let connection = Connection {
        source: Some(&anybody),
        source_ip: "192.0.2.1".parse().unwrap(),
        destination_ip: "10.0.0.1".parse().unwrap(),
        destination_port: port,
    };
    evaluate(&connection, &policies).is_allowed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_part_makes_an_allow_narrower_and_a_deny_wider() {
    let plane = plane().await;
    let ztunnel = Proxy::connect(&plane, "node-a");
    let mut before = None;
    for (part, field) in BROKEN_PARTS {
        for action in ["ALLOW", "DENY"] {
            plane.write("policy.yaml", &policy(action, part));
            let told = match action {
                "ALLOW" => "allows nothing",
                _ => "denies more than",
            };
            plane.until_says("/status", 200, told).await;
            let (_, status) = plane.get("/status").await;
            let field = format!("spec.rules[0].{field}");
            assert!(
                status.contains("ZtunnelAccepted") && status.contains(&field),
                "{field}: {status}"
            );
            let policy = ztunnel
                .until("the policy", |p| {
                    let policy = p.policy("shop/p")?;
                    let policy = Authorization::try_from(policy).unwrap();
                    (format!("{:?}", policy.action).eq_ignore_ascii_case(action)).then_some(policy)
                })
                .await;
            // Neither lets through what it was written against; a DENY still leaves other ports alone.
            assert!(!passes(&policy, 80), "{action} {part}");
            assert_eq!(passes(&policy, 81), action == "DENY", "{action} {part}");
            before = Some(policy);
        }
    }
    // What is no policy at all leaves the last good one in force.
    plane.write(
        "policy.yaml",
        &policy("DENY", "to: [{operation: {port: ['80']}}]"),
    );
    plane.until_says("/debug/config", 200, "last-good").await;
    let (_, files) = plane.get("/debug/config").await;
    assert!(
        files.contains("policy.yaml:1:") && files.contains("port"),
        "{files}"
    );
    let held = Authorization::try_from(ztunnel.policy("shop/p").unwrap()).unwrap();
    assert_eq!(Some(held), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_refuses_leaves_the_last_good_one_in_force() {
    let plane = plane().await;
    let proxy = Proxy::of_gateway_refusing(&plane, "waypoint", "shop/waypoint", "poison");
    let named = |name: &str| {
        route(&format!(
            "{{name: {name}, backendRefs: [{{name: web, port: 80}}]}}"
        ))
    };
    let holds = |p: &Proxy, name: &str| {
        let route = p.route("HTTPRoute/shop/web")?;
        format!("{:?}", route.rules).contains(name).then_some(())
    };
    plane.write("route.yaml", &named("first"));
    proxy.until("the route", |p| holds(p, "first")).await;
    plane.write("route.yaml", &named("poison"));
    plane
        .until_says("/debug/syncz", 200, "HTTPRoute/shop/web: says poison")
        .await;
    assert!(holds(&proxy, "first").is_some(), "what was there before still is");
    plane.write("route.yaml", &named("second"));
    proxy.until("the mended route", |p| holds(p, "second")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_not_read_say_so_in_the_status() {
    let plane = plane().await;
    for (kind, version) in [
        ("UDPRoute", "gateway.networking.k8s.io/v1alpha2"),
        ("ListenerSet", "gateway.networking.k8s.io/v1"),
        ("XBackendTrafficPolicy", "gateway.networking.x-k8s.io/v1alpha1"),
        ("EnvoyFilter", "networking.istio.io/v1alpha3"),
    ] {
        plane.write(
            "strange.yaml",
            &format!(
                "{{apiVersion: {version}, kind: {kind}, metadata: {{name: x, namespace: shop}}, spec: {{}}}}"
            ),
        );
        plane.until_says("/status", 200, &format!("\"{kind}\"")).await;
        let (_, status) = plane.get("/status").await;
        assert!(
            status.contains("UnsupportedKind") && status.contains("this kind is not supported"),
            "{status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_there_before_the_address_that_needs_it_is_bound() {
    let mut plane = Plane::new();
    plane.write(
        "mesh.yaml",
        &MESH.replace(", labels: {istio.io/use-waypoint: waypoint}", ""),
    );
    plane.start().await;
    let proxy = waypoint(&plane);
    proxy
        .until("addresses", |p| {
            (!p.names(TypeUrl::ADDRESS).is_empty()).then_some(())
        })
        .await;
    // Service, policy and fault come in one step with the binding that makes them count.
    let limit = "{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: l, namespace: shop}, \
                 spec: {targetRefs: [{kind: Service, name: web}], local: {limits: [{requests: 1, interval: 1s}]}}}";
    let of_route = "{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: r, namespace: shop}, \
                    spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}], local: {limits: [{requests: 1, interval: 1s}]}}}";
    let fault = "{apiVersion: lateen.dev/v1alpha1, kind: FaultFilter, metadata: {name: f, namespace: shop}, \
                 spec: {abort: {httpStatus: 503}}}";
    let rule = "{filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: f}}], backendRefs: [{name: web, port: 80}]}";
    plane.write(
        "mesh.yaml",
        &[MESH, limit, of_route, fault, &route(rule)].join("\n---\n"),
    );
    let order = proxy
        .until("the route", |p| {
            p.route("HTTPRoute/shop/web")?;
            Some(p.order())
        })
        .await;
    let at = |what: &str| {
        let found = order.iter().rposition(|name| name.contains(what));
        found.unwrap_or_else(|| panic!("{what} is not among {order:?}"))
    };
    for policy in ["RateLimitPolicy/shop/l", "RateLimitPolicy/shop/r"] {
        assert!(at(policy) < at("Address shop/web.shop.svc"), "{order:?}");
        assert!(at(policy) < at("HTTPRoute/shop/web"), "{order:?}");
    }
    // A fault is part of the route's own message: there is no gap to be in.
    let route = proxy.route("HTTPRoute/shop/web").unwrap();
    assert!(format!("{:?}", route.rules).contains("503"), "{route:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_no_target_of_istios_policies() {
    let plane = plane().await;
    let proxy = waypoint(&plane);
    let to_service = "{kind: Service, name: web}";
    let to_route = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}";
    for (kind, spec) in [
        ("AuthorizationPolicy", "action: DENY, rules: [{}]"),
        (
            "AuthorizationPolicy",
            "action: CUSTOM, provider: {name: who}, rules: [{}]",
        ),
        (
            "RequestAuthentication",
            "jwtRules: [{issuer: a, jwks: '{\"keys\":[{\"kty\":\"oct\"}]}'}]",
        ),
    ] {
        let policy = |target: &str| {
            format!(
                "{{apiVersion: security.istio.io/v1, kind: {kind}, metadata: {{name: p, namespace: shop}}, \
                 spec: {{targetRefs: [{target}], {spec}}}}}"
            )
        };
        let held = |p: &Proxy| {
            let names = p.names(TypeUrl::POLICY);
            names
                .iter()
                .any(|name| name.starts_with(&format!("{kind}/shop/p")))
                .then_some(())
        };
        plane.write("policy.yaml", &policy(to_service));
        proxy.until("the policy", held).await;
        plane.write("policy.yaml", &policy(to_route));
        plane
            .until_says("/debug/config", 200, "cannot be a policy's target")
            .await;
        let (_, files) = plane.get("/debug/config").await;
        assert!(
            files.contains("last-good") && files.contains("spec.targetRefs[0]"),
            "{files}"
        );
        assert!(held(&proxy).is_some(), "what it said before stays in force");
        plane.remove("policy.yaml");
        proxy.until("the end", |p| held(p).is_none().then_some(())).await;
    }
}
