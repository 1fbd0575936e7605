//! What routes are attached to: Services, listeners and their hosts.

use super::{backends, edge};
use crate::cases::{Via, ask, check, http_route_of, to, under};
use crate::harness::Together;

#[test]
fn a_frontend_is_the_address_that_was_dialled() {
    let add = |value: &str| {
        format!(
            "{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-route, value: {value}}}]}}}}], {}}}",
            to("v2")
        )
    };
    let mesh = Together::shop(&http_route_of(
        "frontend",
        "{group: '', kind: Service, name: web-v2}",
        "",
        &add("yes"),
    ));
    let marked = |to: &str, host: &str| {
        let answer = mesh.get("/").to(to).host(host).send();
        assert_eq!(answer.status, 200, "{to} {host}");
        answer.header("x-route") == Some("yes")
    };
    assert!(marked("web-v2:80", "web-v2"));
    assert!(marked("web-v2:80", "web-v1"), "the host does not decide");
    assert!(!marked("web-v1:80", "web-v2"));
    assert!(!marked("web:80", "web"));
    // Routes are the Service's, not its Pods'.
    let label = "{apiVersion: v1, kind: Pod, metadata: {name: web-v2, namespace: shop, labels: {app: web, version: v2, istio.io/use-waypoint: waypoint}}, spec: {nodeName: node-a, serviceAccountName: web-v2}}";
    mesh.apply(label);
    assert!(!marked("pod/web-v2:8080", "web-v2"));
}

// row: HTTPRoute parentRefs.port
#[test]
fn ports_of_parents() {
    let route = |name: &str, parent: &str, value: &str| {
        http_route_of(
            name,
            parent,
            "",
            &format!(
                "{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-route, value: {value}}}]}}}}], {}}}",
                to("v1")
            ),
        )
    };
    let mesh = Together::shop(&route(
        "one",
        "{group: '', kind: Service, name: web-v1, port: 80}",
        "one",
    ));
    mesh.apply(&route(
        "every",
        "{group: '', kind: Service, name: web-v2}",
        "every",
    ));
    let marks = ["web-v1:80", "web-v1:81", "web-v2:80", "web-v2:81"].map(|to| {
        let answer = mesh.get("/").to(to).send();
        answer.header("x-route").unwrap_or_default().to_owned()
    });
    assert_eq!(marks, ["one", "", "every", "every"]);
}

#[test]
fn routes_of_consumers_are_for_their_namespace() {
    let mesh = Together::shop("");
    mesh.apply(
        "{apiVersion: v1, kind: Namespace, metadata: {name: friends}}\n---\n\
         {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: ours, namespace: friends}, spec: {\
         parentRefs: [{group: '', kind: Service, name: web-v1, namespace: shop}], rules: [{filters: [{type: ResponseHeaderModifier, \
         responseHeaderModifier: {set: [{name: x-route, value: consumer}]}}], backendRefs: [{name: web-v1, namespace: shop, port: 80}]}]}}",
    );
    let mark = |account: &str| {
        let answer = mesh.get("/").to("web-v1:80").from(account).send();
        (
            answer.status,
            answer.header("x-route").unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(mark("friends/client"), (200, "consumer".to_owned()));
    assert_eq!(mark("client"), (200, String::new()));
    assert_eq!(mark("others/client"), (200, String::new()));
}

// row: Gateway listeners.port
// row: Gateway listeners.hostname
#[test]
fn hosts_of_listeners_and_routes() {
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [\
         {name: one, port: 8001, protocol: HTTP, hostname: very.specific.com}, {name: two, port: 8002, protocol: HTTP, hostname: '*.wildcard.io'}, \
         {name: three, port: 8003, protocol: HTTP, hostname: '*.anotherwildcard.io'}, {name: any, port: 8004, protocol: HTTP}]}}";
    let edge = Together::gateway("edge", gateway);
    backends(&edge);
    let three = ["one", "two", "three"].map(|section| format!("{{name: edge, sectionName: {section}}}"));
    let three = three.join(", ");
    for (name, hosts, path, version) in [
        (
            "specific",
            "non.matching.com, '*.nonmatchingwildcard.io', very.specific.com",
            "/s1",
            "v1",
        ),
        (
            "below",
            "non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io",
            "/s2",
            "v2",
        ),
        ("wide", "non.matching.com, '*.specific.com'", "/s3", "v3"),
        ("wide-below", "'*.anotherwildcard.io'", "/s4", "v1"),
        ("nowhere", "specific.but.wrong.com, wildcard.io", "/s5", "v2"),
    ] {
        edge.apply(&http_route_of(
            name,
            &three,
            &format!("hostnames: [{hosts}],"),
            &under(path, "", version),
        ));
    }
    assert_eq!(
        edge.reason("HTTPRoute", "nowhere", "Accepted"),
        "NoMatchingListenerHostname"
    );
    edge.apply(&http_route_of(
        "by-port",
        "{name: edge, port: 8004}",
        "hostnames: [port.example],",
        &under("/", "", "v3"),
    ));
    let at = |port: u16, cases: &[(&str, &str)]| check(&edge, Via::Listener(port), cases);
    at(
        8001,
        &[
            ("GET /s1 host:very.specific.com", "v1"),
            ("GET /s1 host:non.matching.com", "404"),
            ("GET /s1 host:foo.nonmatchingwildcard.io", "404"),
            ("GET /s3 host:very.specific.com", "v3"),
            ("GET /s3 host:foo.specific.com", "404"),
            ("GET /s5 host:specific.but.wrong.com", "404"),
            ("GET / host:port.example", "404"),
        ],
    );
    at(
        8002,
        &[
            ("GET /s2 host:foo.wildcard.io", "v2"),
            ("GET /s2 host:bar.wildcard.io", "v2"),
            ("GET /s2 host:foo.bar.wildcard.io", "v2"),
            ("GET /s2 host:non.matching.com", "404"),
            ("GET /s2 host:wildcard.io", "404"),
            ("GET /s5 host:wildcard.io", "404"),
        ],
    );
    at(
        8003,
        &[
            ("GET /s4 host:one.anotherwildcard.io", "v1"),
            ("GET /s4 host:one.two.anotherwildcard.io", "v1"),
            ("GET /s4 host:anotherwildcard.io", "404"),
        ],
    );
    at(
        8004,
        &[
            ("GET / host:port.example", "v3"),
            ("GET /s1 host:very.specific.com", "404"),
        ],
    );
    edge.remove("HTTPRoute", "specific");
    at(8001, &[("GET /s1 host:very.specific.com", "404")]);
}

#[test]
fn the_most_specific_listener_has_the_host_alone() {
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [\
         {name: one, port: 80, protocol: HTTP, hostname: bar.com}, {name: two, port: 80, protocol: HTTP, hostname: foo.bar.com}, \
         {name: three, port: 80, protocol: HTTP, hostname: '*.bar.com'}, {name: four, port: 80, protocol: HTTP, hostname: '*.foo.com'}, {name: rest, port: 80, protocol: HTTP}]}}";
    let edge = Together::gateway("edge", gateway);
    backends(&edge);
    let section = |name: &str| format!("{{name: edge, sectionName: {name}}}");
    edge.apply(&http_route_of("v1", &section("one"), "", &under("/", "", "v1")));
    edge.apply(&http_route_of("v2", &section("two"), "", &under("/", "", "v2")));
    let both = format!("{}, {}", section("three"), section("four"));
    edge.apply(&http_route_of("v3", &both, "", &under("/", "", "v3")));
    edge.apply(&http_route_of(
        "rest",
        &section("rest"),
        "",
        &under("/rest", "", "v1"),
    ));
    let cases = [
        ("GET / host:bar.com", "v1"),
        ("GET / host:foo.bar.com", "v2"),
        ("GET / host:baz.bar.com", "v3"),
        ("GET / host:boo.bar.com:80", "v3"),
        ("GET / host:multiple.prefixes.bar.com", "v3"),
        ("GET / host:multiple.prefixes.foo.com", "v3"),
        ("GET / host:foo.com", "404"),
        ("GET / host:no.matching.host", "404"),
        ("GET /rest host:no.matching.host", "v1"),
    ];
    check(&edge, Via::Listener(80), &cases);
    // Over one connection, too.
    let kept = edge.keep(ask(&edge, Via::Listener(80), cases[0].0));
    for (request, expected) in [&cases[..], &cases[..]].concat() {
        let answer = kept.send(ask(&edge, Via::Listener(80), request));
        let got = match answer.by() {
            "" => answer.status.to_string(),
            by => by.trim_start_matches("web-").to_owned(),
        };
        assert_eq!(got, expected, "{request}");
    }
    // Another listener's route does not help: its hosts are not this one's.
    edge.remove("HTTPRoute", "v2");
    check(
        &edge,
        Via::Listener(80),
        &[
            ("GET / host:foo.bar.com", "404"),
            ("GET / host:baz.bar.com", "v3"),
        ],
    );
}

#[test]
fn parents_that_are_not_there_are_said() {
    let edge = edge(", {name: far, port: 8081, protocol: HTTP, allowedRoutes: {namespaces: {from: Same}}}");
    for (parent, reason) in [
        ("{name: edge, sectionName: nothing}", "NoMatchingParent"),
        ("{name: edge, port: 4711}", "NoMatchingParent"),
        ("{name: edge, sectionName: web, port: 8081}", "NoMatchingParent"),
    ] {
        edge.apply(&http_route_of("web", parent, "", &under("/", "", "v1")));
        assert_eq!(edge.reason("HTTPRoute", "web", "Accepted"), reason, "{parent}");
        check(&edge, Via::Listener(80), &[("GET /", "404")]);
    }
    edge.apply(
        "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n\
         {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: foreign, namespace: other}, spec: {parentRefs: [{name: edge, namespace: shop}], rules: [{}]}}",
    );
    assert_eq!(
        edge.reason("HTTPRoute", "other/foreign", "Accepted"),
        "NotAllowedByListeners"
    );
}

#[test]
fn a_route_may_have_several_gateways() {
    let two = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: left, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}\n---\n\
               {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: right, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}";
    for name in ["left", "right"] {
        let gateway = Together::gateway(name, two);
        backends(&gateway);
        gateway.apply(&http_route_of(
            "shared",
            "{name: left}, {name: right}",
            "",
            &under("/shared", "", "v1"),
        ));
        gateway.apply(&http_route_of(
            "own",
            "{name: left}",
            "",
            &under("/left", "", "v2"),
        ));
        let own = if name == "left" { "v2" } else { "404" };
        check(
            &gateway,
            Via::Listener(80),
            &[("GET /shared", "v1"), ("GET /left", own)],
        );
    }
}

#[test]
fn observed_generations_follow() {
    let edge = edge("");
    for generation in [1, 2] {
        edge.apply(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop, generation: {generation}}}, spec: {{parentRefs: [{{name: edge}}], rules: [{{{}}}]}}}}",
            to("v1")
        ));
        assert_eq!(edge.status("HTTPRoute", "web")["observedGeneration"], generation);
    }
}
