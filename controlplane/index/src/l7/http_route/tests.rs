use controlplane_k8s_api::Kind;
use mesh_model::l7::ServicePort;
use mesh_model::l7::filter::Filter;
use mesh_model::l7::route::{Destination, RouteParent};
use mesh_types::NamespacedHostname;

use super::*;
use crate::fixture::Mesh;
use crate::l7::fixture::{SHOP, route};

/// A rule of a route of `shop/web`, as YAML; gives the lowered one and what its status says.
fn lowered(rule: &str) -> (HttpRule, Vec<String>) {
    let mesh = Mesh::of(&format!("{SHOP}{}", route("web", WEB, rule)));
    let Rules::Http { order, rules } = &mesh.route("HTTPRoute/shop/web").rules else {
        panic!("no HTTP")
    };
    assert_eq!(*order, Order::Specificity);
    (rules[0].clone(), mesh.parents(Kind::HttpRoute, "shop/web"))
}

const WEB: &str = "{group: '', kind: Service, name: web}";

fn service(name: &str, port: u16) -> Destination {
    let namespace = if name == "ledger" { "bank" } else { "shop" };
    Destination::Service {
        service: ServicePort {
            service: NamespacedHostname::new(namespace, format!("{name}.{namespace}.svc.cluster.local")),
            port,
        },
        subset: None,
    }
}

#[test]
fn matches_become_what_they_say() {
    let (rule, _) = lowered(
        "name: r, matches: [\
         {path: {type: Exact, value: /a}, method: GET}, {path: {value: /b/}}, {path: {type: PathPrefix, value: /}}, \
         {path: {type: RegularExpression, value: '/c.*'}}, \
         {headers: [{name: Version, value: one}, {name: VERSION, value: two}, {name: x, type: RegularExpression, value: 'a+'}], \
          queryParams: [{name: Animal, value: whale}]}], backendRefs: [{name: web, port: 80}]",
    );
    insta(
        &rule,
        "HttpRule { name: Some(\"r\"), matches: [\
         HttpMatch { path: Some(Exact(\"/a\")), method: Some(Exact(\"GET\"))",
    );
    let text = format!("{:?}", rule.matches);
    for wanted in [
        "Some(Segments(\"/b\"))",
        "Some(Regex(Pattern(\"/c.*\")))",
        "headers: [NamedMatch { name: \"version\", value: Exact(\"one\") }, \
         NamedMatch { name: \"x\", value: Regex(Pattern(\"a+\")) }]",
        "query: [NamedMatch { name: \"Animal\", value: Exact(\"whale\") }]",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    assert_eq!(rule.matches[2], mesh_model::l7::route::HttpMatch::default());
}

fn insta(value: &impl std::fmt::Debug, begins: &str) {
    let text = format!("{value:?}");
    assert!(text.starts_with(begins), "{text}");
}

#[test]
fn destinations_that_cannot_be_used_take_their_share() {
    let (rule, status) = lowered(
        "backendRefs: [{name: web, port: 80, weight: 3}, {name: nobody, port: 80}, {name: web, port: 81}, \
         {group: x.io, kind: Bucket, name: b, port: 80}, {name: alias, port: 80}, {name: ledger, namespace: bank, port: 80, weight: 0}]",
    );
    let HttpAction::Forward(backends) = &rule.action else {
        panic!("{rule:?}")
    };
    assert_eq!(backends[0].destination, service("web", 80));
    assert_eq!(backends[0].weight, 3);
    let invalid: Vec<_> = backends[1..5]
        .iter()
        .map(|b| match &b.destination {
            Destination::Invalid(why) => why.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        invalid,
        [
            "there is no Service shop/nobody",
            "web.shop.svc.cluster.local has no port 81",
            "Bucket of group \"x.io\" is nothing that requests can go to",
            "there is no Service shop/alias",
        ]
    );
    // To a service of the mesh no grant is needed, as clients can call it by themselves.
    assert_eq!(backends[5].destination, service("ledger", 80));
    assert_eq!(backends[5].weight, 0);
    assert_eq!(
        status,
        [
            "web Accepted=true/Accepted",
            "web ResolvedRefs=false/BackendNotFound",
            "web ResolvedWaypoints=true/ResolvedWaypoints",
        ]
    );
}

#[test]
fn references_are_told_apart_by_their_reason() {
    for (backend, reason) in [
        ("{name: web, port: 80}", "true/ResolvedRefs"),
        ("{group: core, name: web, port: 80}", "true/ResolvedRefs"),
        ("{name: nobody, port: 80}", "false/BackendNotFound"),
        ("{kind: Bucket, name: web, port: 80}", "false/InvalidKind"),
        (
            "{group: networking.istio.io, kind: Hostname, name: web.shop.svc.cluster.local, port: 80}",
            "true/ResolvedRefs",
        ),
        (
            "{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 443}",
            "true/ResolvedRefs",
        ),
        (
            "{group: networking.istio.io, kind: Hostname, name: hidden.example.com, port: 443}",
            "false/BackendNotFound",
        ),
        (
            "{group: networking.istio.io, kind: ServiceEntry, name: api, namespace: bank}",
            "true/ResolvedRefs",
        ),
        (
            "{group: networking.istio.io, kind: ServiceEntry, name: nobody}",
            "false/BackendNotFound",
        ),
    ] {
        let (_, status) = lowered(&format!("backendRefs: [{backend}]"));
        assert_eq!(status[1], format!("web ResolvedRefs={reason}"), "{backend}");
    }
}

#[test]
fn filters_become_what_they_do() {
    let (rule, status) = lowered(
        "backendRefs: [{name: web, port: 80, filters: [\
           {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X, value: v}]}}, \
           {type: CORS, cors: {allowOrigins: ['*']}}]}], filters: [\
         {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: '1'}, {name: a, value: '2'}], add: [{name: B, value: b}], remove: [C]}}, \
         {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [D]}}, \
         {type: URLRewrite, urlRewrite: {hostname: e.example.com, path: {type: ReplaceFullPath, replaceFullPath: /f}}}, \
         {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, percent: 30}}, \
         {type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 80}, fraction: {numerator: 1, denominator: 3}}}, \
         {type: CORS, cors: {allowOrigins: ['https://*.example.com:8443', 'https://g.example'], allowMethods: ['*'], maxAge: 9}}, \
         {type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: slow}}, \
         {type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: nobody}}, \
         {type: ExtensionRef, extensionRef: {group: x.io, kind: Wasm, name: w}}]",
    );
    let filters: Vec<String> = rule.filters.iter().map(|f| format!("{f:?}")).collect();
    let expected = [
        "RequestHeaders(HeaderEdits { set: [(\"a\", \"1\")], add: [(\"b\", \"b\")], remove: [\"c\"] })",
        "ResponseHeaders(HeaderEdits { set: [], add: [], remove: [\"d\"] })",
        "Rewrite(Rewrite { authority: Some(\"e.example.com\"), path: Some(Full(\"/f\")) })",
        "Mirror(Mirror { destination: Service { service: ServicePort { service: NamespacedHostname { namespace: \"shop\", \
         hostname: \"web.shop.svc.cluster.local\" }, port: 80 }, subset: None }, share: Share { numerator: 30, denominator: 100 } })",
        "Mirror(Mirror { destination: Invalid(\"there is no Service shop/nobody\"), share: Share { numerator: 1, denominator: 3 } })",
        "Cors(Cors { allow_origins: [Regex(Pattern(\"https\\\\:\\\\/\\\\/[^/]+\\\\.example\\\\.com\\\\:8443\")), \
         Exact(\"https://g.example\")], allow_methods: [\"*\"], allow_headers: [], expose_headers: [], max_age: Some(9s), \
         allow_credentials: false, forward_unmatched_preflights: false })",
        "Fault(Fault { delay: Some((2s, Share { numerator: 500000, denominator: 1000000 })), \
         abort: Some((Grpc(14), Share { numerator: 125, denominator: 1000000 })) })",
        "Invalid(\"there is no FaultFilter shop/nobody\")",
        "Invalid(\"Wasm of group \\\"x.io\\\" is no filter that is known here\")",
    ];
    assert_eq!(filters, expected);
    let HttpAction::Forward(backends) = &rule.action else {
        panic!("{rule:?}")
    };
    insta(
        &backends[0].filters[0],
        "RequestHeaders(HeaderEdits { set: [(\"x\", \"v\")]",
    );
    insta(
        &backends[0].filters[1],
        "Invalid(\"CORS is only carried out for whole rules\")",
    );
    assert_eq!(
        status,
        [
            "web Accepted=true/Accepted",
            "web ResolvedRefs=false/BackendNotFound",
            "web PartiallyInvalid=true/UnsupportedValue",
            "web ResolvedWaypoints=true/ResolvedWaypoints",
        ]
    );
}

#[test]
fn whoever_is_to_be_asked_is_asked() {
    let http = "protocol: HTTP, backendRef: {name: web, port: 80}, http: {path: /check, allowedHeaders: [X-A], allowedResponseHeaders: [X-B]}, forwardBody: {maxSize: 7}";
    let (rule, _) = lowered(&format!(
        "filters: [{{type: ExternalAuth, externalAuth: {{{http}}}}}]"
    ));
    let Filter::ExternalAuth(auth) = &rule.filters[0] else {
        panic!("{rule:?}")
    };
    assert!(!auth.fail_open);
    assert_eq!(auth.body.map(|b| (b.limit, b.allow_partial)), Some((7, false)));
    insta(
        &auth.protocol,
        "Http { path_prefix: \"/check\", include_request_headers: [Exact(\"x-a\")], additional_headers: [], \
         upstream_headers_on_allow: [Exact(\"x-b\")]",
    );
    // Nobody to ask: nobody passes.
    let grpc = "protocol: GRPC, backendRef: {name: nobody, port: 80}";
    let (rule, status) = lowered(&format!(
        "filters: [{{type: ExternalAuth, externalAuth: {{{grpc}}}}}]"
    ));
    insta(&rule.filters[0], "Invalid(");
    assert_eq!(status[1], "web ResolvedRefs=false/BackendNotFound");
}

#[test]
fn a_redirect_is_the_rules_action() {
    for (redirect, expected) in [
        (
            "hostname: example.org",
            "Redirect { scheme: None, hostname: Some(\"example.org\"), port: Derived, path: None, status: 302 }",
        ),
        (
            "scheme: https, port: 8083, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}",
            "Redirect { scheme: Some(\"https\"), hostname: None, port: Given(8083), path: Some(Prefix(\"/x\")), status: 308 }",
        ),
    ] {
        let (rule, _) = lowered(&format!(
            "matches: [{{path: {{value: /a}}}}], filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]"
        ));
        assert_eq!(format!("{:?}", rule.action), format!("Redirect({expected})"));
        assert!(rule.filters.is_empty());
    }
}

#[test]
fn limits_retries_and_sessions() {
    let backend = "backendRefs: [{name: web, port: 80}]";
    let (rule, _) = lowered(backend);
    assert_eq!((rule.timeouts, rule.retry, rule.session), Default::default());
    let (rule, _) = lowered(&format!(
        "{backend}, timeouts: {{request: 10s, backendRequest: 2s}}, retry: {{codes: [500, 503], attempts: 3, backoff: 100ms}}, \
         sessionPersistence: {{type: Header, idleTimeout: 5m}}"
    ));
    assert_eq!(
        format!("{:?}", rule.timeouts),
        "Timeouts { request: Some(10s), per_try: Some(2s) }"
    );
    insta(
        &rule.retry,
        "Some(Retry { attempts: 3, per_try_timeout: None, conditions: [ConnectFailure, RefusedStream, Reset, Grpc(14), \
         Grpc(1), Status(500), Status(503)], backoff: 100ms, remote_localities: true, avoid_previous: true, retry_after: Some(10s)",
    );
    assert_eq!(
        format!("{:?}", rule.session),
        "Some(Session { name: \"session-shop-web-0\", carrier: Header, absolute_timeout: None, idle_timeout: Some(300s) })"
    );
    let (rule, _) = lowered(&format!(
        "{backend}, timeouts: {{request: 0s}}, retry: {{codes: [502]}}, \
         sessionPersistence: {{sessionName: Sticky, absoluteTimeout: 1h, cookieConfig: {{lifetimeType: Permanent}}}}"
    ));
    assert_eq!(rule.timeouts, Timeouts::default());
    insta(&rule.retry, "Some(Retry { attempts: 2,");
    insta(
        &rule.session,
        "Some(Session { name: \"Sticky\", carrier: Cookie { permanent: true }, absolute_timeout: Some(3600s)",
    );
}

#[test]
fn a_rule_without_destinations_and_a_route_without_rules() {
    let (rule, status) = lowered("matches: [{path: {value: /a}}]");
    assert_eq!(rule.action, HttpAction::Forward(Vec::new()));
    assert_eq!(status[1], "web ResolvedRefs=true/ResolvedRefs");
}

#[test]
fn age_and_parents() {
    let mesh = Mesh::of(&format!(
        "{SHOP}{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop, \
         creationTimestamp: '1970-01-01T00:01:00Z'}}, spec: {{hostnames: [ignored.example.com], parentRefs: \
         [{{group: '', kind: Service, name: web, port: 80}}, {{group: '', kind: Service, name: web, sectionName: admin}}], \
         rules: [{{}}]}}}}\n"
    ));
    let route = mesh.route("HTTPRoute/shop/web");
    assert_eq!(route.created, mesh_model::l7::Created::at(60));
    assert!(route.hostnames.is_empty());
    let web = NamespacedHostname::new("shop", "web.shop.svc.cluster.local");
    let at = |port| {
        RouteParent::ServicePort(ServicePort {
            service: web.clone(),
            port,
        })
    };
    assert_eq!(route.parents, [at(80), at(9090)]);
    assert_eq!(mesh.route_gateways("HTTPRoute/shop/web"), ["shop/waypoint"]);
}

type Headers = &'static [(&'static str, &'static str)];

/// Rules as the conformance tests of Gateway API write them, and where requests go.
fn asked(rules: &str, cases: &[(&str, Headers, &str)]) {
    let mesh = Mesh::of(&format!(
        "{SHOP}{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, \
         spec: {{parentRefs: [{WEB}], rules: [{rules}]}}}}"
    ));
    for (target, headers, to) in cases {
        let asked = mesh.get("web", 80, target);
        let asked = headers
            .iter()
            .fold(asked, |asked, (name, value)| asked.header(name, value));
        assert_eq!(asked.goes_to(), *to, "{target} {headers:?}");
    }
}

const V1: &str = "backendRefs: [{name: web, port: 80}]";
const V2: &str = "backendRefs: [{name: api, port: 80}]";

/// MeshHTTPRouteMatching, MeshTrafficSplit.
#[test]
fn paths_and_headers_as_in_the_conformance_tests() {
    asked(
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /}}}}, {{headers: [{{name: version, value: one}}]}}], {V1}}}, \
             {{matches: [{{path: {{type: PathPrefix, value: /v2}}}}, {{headers: [{{name: version, value: two}}]}}], {V2}}}"
        ),
        &[
            ("/", &[], "web:80"),
            ("/example", &[], "web:80"),
            ("/", &[("version", "one")], "web:80"),
            ("/v2", &[], "api:80"),
            ("/v2/", &[], "api:80"),
            ("/v2/example", &[], "api:80"),
            ("/", &[("version", "two")], "api:80"),
            ("/v2example", &[], "web:80"),
            ("/foo/v2/example", &[], "web:80"),
        ],
    );
    asked(
        &format!(
            "{{matches: [{{path: {{type: Exact, value: /v1}}}}], {V1}}}, {{matches: [{{path: {{type: Exact, value: /v2}}}}], {V2}}}"
        ),
        &[
            ("/v1", &[], "web:80"),
            ("/v2", &[], "api:80"),
            ("/v2/", &[], "404"),
            ("/", &[], "404"),
        ],
    );
}

/// MeshHTTPRouteQueryParamMatching; the order of HTTPRoutePathMatchOrder.
#[test]
fn parameters_and_precedence_as_in_the_conformance_tests() {
    asked(
        &format!(
            "{{matches: [{{queryParams: [{{name: animal, value: whale}}]}}], {V1}}}, \
             {{matches: [{{queryParams: [{{name: animal, value: dolphin}}, {{name: color, value: blue}}]}}], {V2}}}, \
             {{matches: [{{path: {{value: /path5}}}}], {V1}}}, \
             {{matches: [{{headers: [{{name: version, value: four}}], queryParams: [{{name: animal, value: whale}}]}}], {V2}}}"
        ),
        &[
            ("/?animal=whale", &[], "web:80"),
            ("/?color=blue&animal=dolphin", &[], "api:80"),
            ("/?animal=dolphin", &[], "404"),
            ("/", &[], "404"),
            ("/path5?animal=whale", &[("version", "four")], "web:80"),
            ("/path4?animal=whale", &[("version", "four")], "api:80"),
        ],
    );
    asked(
        &format!(
            "{{matches: [{{path: {{type: RegularExpression, value: '/m.*'}}}}], {V1}}}, {{matches: [{{path: {{value: /match}}}}], {V2}}}, \
             {{matches: [{{path: {{type: Exact, value: /match/x}}, method: POST}}], redirects: 0, {V1}}}"
        )
        .replace("redirects: 0, ", ""),
        &[("/m", &[], "web:80"), ("/match", &[], "api:80"), ("/match/x", &[], "api:80")],
    );
}

/// MeshPorts: a port limits a route to itself, none means every one.
#[test]
fn ports_as_in_the_conformance_tests() {
    for (port, at_80, at_9090) in [("port: 80", "api:80", "none"), ("", "api:80", "api:80")] {
        let parent = format!("{{group: '', kind: Service, name: web, {port}}}");
        let mesh = Mesh::of(&format!("{SHOP}{}", route("web", &parent, V2)));
        assert_eq!(mesh.get("web", 80, "/").goes_to(), at_80);
        assert_eq!(mesh.get("web", 9090, "/").goes_to(), at_9090);
    }
}

/// MeshConsumerRoute.
#[test]
fn consumers_as_in_the_conformance_tests() {
    let web = "{group: '', kind: Service, name: web, namespace: shop}";
    let rule = "backendRefs: [{name: web, namespace: shop, port: 80}], filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X, value: y}]}}]";
    let mesh = Mesh::of(&format!(
        "{SHOP}{}",
        crate::l7::fixture::route_of("bank", "r", web, rule)
    ));
    assert_eq!(mesh.get("web", 80, "/").from("bank", &[]).goes_to(), "web:80");
    assert_eq!(mesh.get("web", 80, "/").from("shop", &[]).goes_to(), "none");
}
