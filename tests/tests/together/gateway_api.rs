//! The cases of Gateway API's own conformance tests, in our words: the same objects attached to a Service, as the mesh
//! tests have them, and to a listener of a gateway. `docs/conformance/gateway-api.md` says which case is which test's.

use std::time::Duration;

use crate::cases::{Via, ask, check, http_route, http_route_of, third, to, under};
use crate::harness::Together;

/// What both kinds of parents are held to: the stage, and a route with these rules.
fn both(rules: &str, cases: &[(&str, &str)]) {
    let mesh = Together::shop("");
    third(&mesh);
    mesh.apply(&http_route(rules));
    assert!(mesh.holds("HTTPRoute", "web", "Accepted") && mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    check(&mesh, Via::Mesh, cases);
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", rules));
    check(&edge, Via::Listener(80), cases);
}

/// A gateway with a listener on port 80, and others if they are given.
fn edge(listeners: &str) -> Together {
    let edge = Together::gateway(
        "edge",
        &format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: shop}}, \
             spec: {{gatewayClassName: lateen, listeners: [{{name: web, port: 80, protocol: HTTP}}{listeners}]}}}}"
        ),
    );
    backends(&edge);
    edge
}

fn backends(mesh: &Together) {
    for version in ["v1", "v2", "v3"] {
        let name = format!("web-{version}");
        mesh.service(&name, &format!("version: {version}"));
        mesh.backend(&name, &format!("version: {version}"));
    }
}

fn rules(rules: &[(&str, &str)]) -> String {
    let rules = rules
        .iter()
        .map(|(matches, version)| format!("{{matches: [{matches}], {}}}", to(version)));
    rules.collect::<Vec<_>>().join(", ")
}

fn version(value: &str) -> String {
    format!("{{headers: [{{name: version, value: {value}}}]}}")
}

// row: HTTPRoute rules.matches.path
// row: HTTPRoute rules.matches.headers
#[test]
fn matching() {
    let with = |paths: &str, header: &str| format!("{paths}, {}", version(header));
    both(
        &rules(&[
            (&with("{path: {type: PathPrefix, value: /}}", "one"), "v1"),
            (&with("{path: {type: PathPrefix, value: /v2}}", "two"), "v2"),
        ]),
        &[
            ("GET /", "v1"),
            ("GET /example", "v1"),
            ("GET / version:one", "v1"),
            ("GET /v2", "v2"),
            ("GET / version:two", "v2"),
            ("GET /v2/", "v2"),
            ("GET /v2/example", "v2"),
            ("GET /v2example", "v1"),
            ("GET /foo/v2/example", "v1"),
        ],
    );
}

#[test]
fn exact_paths() {
    both(
        &rules(&[
            ("{path: {type: Exact, value: /one}}", "v1"),
            ("{path: {type: Exact, value: /two}}", "v2"),
        ]),
        &[
            ("GET /one", "v1"),
            ("GET /two", "v2"),
            ("GET /two?query=yes", "v2"),
            ("GET /", "404"),
            ("GET /one/example", "404"),
            ("GET /two/", "404"),
            ("GET /Two", "404"),
        ],
    );
}

#[test]
fn headers() {
    both(
        &rules(&[
            (&version("one"), "v1"),
            (&version("two"), "v2"),
            (
                "{headers: [{name: version, value: two}, {name: color, value: orange}]}",
                "v1",
            ),
            (
                "{headers: [{name: color, value: blue}]}, {headers: [{name: color, value: green}]}",
                "v1",
            ),
            (
                "{headers: [{name: color, value: red}]}, {headers: [{name: color, value: yellow}]}",
                "v2",
            ),
        ]),
        &[
            ("GET / version:one", "v1"),
            ("GET / Version:one", "v1"),
            ("GET / version:two", "v2"),
            ("GET / version:two color:orange", "v1"),
            ("GET / color:blue", "v1"),
            ("GET / color:green", "v1"),
            ("GET / color:red", "v2"),
            ("GET / color:yellow", "v2"),
            ("GET / color:purple", "404"),
            ("GET /", "404"),
            ("GET / version:One", "404"),
        ],
    );
}

// row: HTTPRoute rules.matches.queryParams
#[test]
fn query_parameters() {
    let animal =
        |more: &str, value: &str| format!("{{{more} queryParams: [{{name: animal, value: {value}}}]}}");
    let path = |p: &str| format!("path: {{type: PathPrefix, value: {p}}},");
    let header = |value: &str| format!("headers: [{{name: version, value: {value}}}],");
    both(
        &rules(&[
            (&animal("", "whale"), "v1"),
            (&animal("", "dolphin"), "v2"),
            (
                "{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}, {queryParams: [{name: ANIMAL, value: Whale}]}",
                "v3",
            ),
            (&animal(&path("/path1"), "whale"), "v1"),
            (&animal(&header("one"), "whale"), "v2"),
            (&animal(&(path("/path2") + &header("two")), "whale"), "v3"),
            (
                &format!(
                    "{}, {}",
                    animal(&path("/path3"), "shark"),
                    animal(&(path("/path4") + &header("three")), "kraken")
                ),
                "v1",
            ),
            ("{path: {type: PathPrefix, value: /path5}}", "v1"),
            (&animal("", "hydra"), "v2"),
            (&version("four"), "v3"),
        ]),
        &[
            ("GET /?animal=whale", "v1"),
            ("GET /?animal=dolphin", "v2"),
            ("GET /?animal=whale&otherparam=irrelevant", "v1"),
            ("GET /?animal=dolphin&color=yellow", "v2"),
            ("GET /?animal=dolphin&color=blue", "v3"),
            ("GET /?ANIMAL=Whale", "v3"),
            ("GET /?animal=whale&animal=dolphin", "v1"),
            ("GET /?color=blue", "404"),
            ("GET /?animal=dog", "404"),
            ("GET /?animal=whaledolphin", "404"),
            ("GET /", "404"),
            ("GET /path1?animal=whale", "v1"),
            ("GET /?animal=whale version:one", "v2"),
            ("GET /path2?animal=whale version:two", "v3"),
            ("GET /path3?animal=shark", "v1"),
            ("GET /path4?animal=kraken version:three", "v1"),
            ("GET /path5?animal=hydra", "v1"),
            ("GET /?animal=hydra version:four", "v3"),
        ],
    );
}

// row: HTTPRoute rules.matches.method
#[test]
fn methods() {
    both(
        &rules(&[
            ("{method: POST}", "v1"),
            ("{method: GET}", "v2"),
            ("{path: {type: PathPrefix, value: /path1}, method: GET}", "v1"),
            ("{headers: [{name: version, value: one}], method: PUT}", "v2"),
            (
                "{path: {type: PathPrefix, value: /path2}, headers: [{name: version, value: two}], method: POST}",
                "v3",
            ),
            (
                "{path: {type: PathPrefix, value: /path3}, method: PATCH}, {path: {type: PathPrefix, value: /path4}, headers: [{name: version, value: three}], method: DELETE}",
                "v1",
            ),
            ("{path: {type: PathPrefix, value: /path5}}", "v1"),
            ("{method: PATCH}", "v2"),
            (&version("four"), "v3"),
        ]),
        &[
            ("POST /", "v1"),
            ("GET /", "v2"),
            ("HEAD /", "404"),
            ("GET /path1", "v1"),
            ("PUT / version:one", "v2"),
            ("POST /path2 version:two", "v3"),
            ("PATCH /path3", "v1"),
            ("DELETE /path4 version:three", "v1"),
            ("HEAD /path1", "404"),
            ("POST /path5", "v1"),
            ("PATCH / version:four", "v2"),
        ],
    );
}

#[test]
fn order_of_paths() {
    let path = |kind: &str, value: &str| format!("{{path: {{type: {kind}, value: {value}}}}}");
    both(
        &rules(&[
            (&path("Exact", "/match"), "v1"),
            (&path("Exact", "/match/exact"), "v2"),
            (&path("Exact", "/match/exact/one"), "v3"),
            (&path("PathPrefix", "/match/"), "v3"),
            (&path("PathPrefix", "/match/prefix/"), "v1"),
            (&path("PathPrefix", "/match/prefix/one"), "v2"),
        ]),
        &[
            ("GET /match/exact/one", "v3"),
            ("GET /match/exact", "v2"),
            ("GET /match", "v1"),
            ("GET /match/prefix/one/any", "v2"),
            ("GET /match/prefix/any", "v1"),
            ("GET /match/any", "v3"),
        ],
    );
}

// row: HTTPRoute rules.name
#[test]
fn named_rules() {
    both(
        &format!(
            "{{name: first, matches: [{{path: {{type: PathPrefix, value: /named}}}}], {}}}, {{{}}}",
            to("v1"),
            to("v2")
        ),
        &[("GET /named", "v1"), ("GET /unnamed", "v2")],
    );
    // A policy may speak of the rule.
    let mesh = Together::shop("");
    mesh.apply(&http_route(&format!(
        "{{name: first, matches: [{{path: {{type: PathPrefix, value: /named}}}}], {}}}, {{{}}}",
        to("v1"),
        to("v2")
    )));
    mesh.apply(
        "{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: few, namespace: shop}, spec: {\
         targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web, sectionName: first}], \
         local: {limits: [{requests: 1, interval: 1h}]}}}",
    );
    check(
        &mesh,
        Via::Mesh,
        &[
            ("GET /named", "v1"),
            ("GET /named", "429"),
            ("GET /other", "v2"),
            ("GET /other", "v2"),
        ],
    );
}

// row: HTTPRoute rules.filters.requestHeaderModifier
#[test]
fn request_headers() {
    let edits = [
        (
            "/set",
            "set: [{name: X-Header-Set, value: set-overwrites-values}]",
        ),
        ("/add", "add: [{name: X-Header-Add, value: add-appends-values}]"),
        ("/remove", "remove: [X-Header-Remove]"),
        (
            "/multiple",
            "set: [{name: X-Header-Set-1, value: one}, {name: X-Header-Set-2, value: two}], add: [{name: X-Header-Add-1, value: one}, {name: X-Header-Add-2, value: two}], remove: [X-Header-Remove-1, X-Header-Remove-2]",
        ),
        (
            "/case",
            "set: [{name: X-Header-Set, value: set}], add: [{name: X-Header-Add, value: add}], remove: [X-Header-Remove]",
        ),
    ];
    let rules: Vec<_> = edits
        .iter()
        .map(|(path, edit)| {
            let filter =
                format!("filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{edit}}}}}],");
            under(path, &filter, "v1")
        })
        .collect();
    type Expected<'a> = &'a [(&'a str, Option<&'a str>)];
    let cases: &[(&str, Expected<'_>)] = &[
        (
            "GET /set some:other",
            &[
                ("x-header-set", Some("set-overwrites-values")),
                ("some", Some("other")),
            ],
        ),
        (
            "GET /set x-header-set:before",
            &[("x-header-set", Some("set-overwrites-values"))],
        ),
        ("GET /add", &[("x-header-add", Some("add-appends-values"))]),
        (
            "GET /add x-header-add:before",
            &[("x-header-add", Some("before,add-appends-values"))],
        ),
        ("GET /remove x-header-remove:before", &[("x-header-remove", None)]),
        (
            "GET /multiple x-header-set-2:before x-header-add-2:before x-header-remove-2:before another:header",
            &[
                ("x-header-set-1", Some("one")),
                ("x-header-set-2", Some("two")),
                ("x-header-add-1", Some("one")),
                ("x-header-add-2", Some("before,two")),
                ("x-header-remove-1", None),
                ("x-header-remove-2", None),
                ("another", Some("header")),
            ],
        ),
        (
            "GET /case x-hEADER-set:before X-Header-ADD:before x-HEADER-remove:before",
            &[
                ("x-header-set", Some("set")),
                ("x-header-add", Some("before,add")),
                ("x-header-remove", None),
            ],
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", &rules.join(", ")));
    for (mesh, via) in [(&mesh, Via::Mesh), (&edge, Via::Listener(80))] {
        for (request, expected) in cases {
            let seen = ask(mesh, via, request).send().seen();
            for (name, value) in *expected {
                assert_eq!(seen.header(name).as_deref(), *value, "{request}: {name}");
            }
        }
    }
}

// row: HTTPRoute rules.filters.responseHeaderModifier
#[test]
fn response_headers() {
    let rules = [
        ("/set", "set: [{name: X-Header-Set, value: overwritten}]"),
        ("/add", "add: [{name: X-Header-Add, value: appended}]"),
        ("/remove", "remove: [X-Header-Remove]"),
    ]
    .map(|(path, edit)| {
        let filter =
            format!("filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{{edit}}}}}],");
        under(path, &filter, "v1")
    });
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    for name in ["x-header-set", "x-header-add", "x-header-remove"] {
        mesh.of("web-v1").says(name, "before");
    }
    let all = |path: &str, name: &str| {
        let answer = mesh.get(path).send();
        let values = answer.headers.get_all(name).into_iter();
        let values: Vec<_> = values.map(|v| v.to_str().unwrap().to_owned()).collect();
        values.join(",")
    };
    assert_eq!(all("/set", "x-header-set"), "overwritten");
    assert_eq!(all("/add", "x-header-add"), "before,appended");
    assert_eq!(all("/remove", "x-header-remove"), "");
    assert_eq!(all("/remove", "x-header-set"), "before");
}

// row: HTTPRoute rules.backendRefs.filters
#[test]
fn headers_for_one_backend_only() {
    let set = |value: &str| {
        format!(
            "filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: backend, value: {value}}}]}}}}]"
        )
    };
    let rules = format!(
        "{{backendRefs: [{{name: web-v1, port: 80, {}}}, {{name: web-v2, port: 80, {}}}]}}",
        set("one"),
        set("two")
    );
    let mesh = Together::shop(&http_route(&rules));
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", &rules));
    for (mesh, via) in [(&mesh, Via::Mesh), (&edge, Via::Listener(80))] {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let answer = ask(mesh, via, "GET / backend:zero").send();
            let header = answer.seen().header("backend").unwrap();
            seen.insert((answer.by().to_owned(), header));
        }
        let expected = [("web-v1", "one"), ("web-v2", "two")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }
}

// row: HTTPRoute rules.filters.requestRedirect
#[test]
fn redirects() {
    let redirect = |path: &str, more: &str| {
        format!(
            "{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {{{more}}}}}]}}"
        )
    };
    let prefix = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}";
    let full = "path: {type: ReplaceFullPath, replaceFullPath: /whole}";
    let rules = [
        redirect("/host", "hostname: example.org"),
        redirect("/host-and-status", "hostname: example.org, statusCode: 301"),
        redirect("/prefix", prefix),
        redirect("/full", full),
        redirect("/prefix-and-host", &format!("hostname: example.org, {prefix}")),
        redirect("/prefix-and-status", &format!("statusCode: 301, {prefix}")),
        redirect("/full-and-host", &format!("hostname: example.org, {full}")),
        redirect("/port", "port: 8083"),
        redirect("/port-and-host", "port: 8083, hostname: example.org"),
        redirect("/port-and-status", "port: 8083, statusCode: 301"),
        redirect("/port-80", "port: 80, hostname: example.org"),
        redirect("/scheme", "scheme: https"),
        redirect("/scheme-and-host", "scheme: https, hostname: example.org"),
        redirect("/scheme-and-status", "scheme: https, statusCode: 301"),
        redirect(
            "/scheme-and-port-443",
            "scheme: https, port: 443, hostname: example.org",
        ),
        redirect(
            "/scheme-and-port-8443",
            "scheme: https, port: 8443, hostname: example.org",
        ),
        redirect("/303", "hostname: example.org, statusCode: 303"),
        redirect("/307", "hostname: example.org, statusCode: 307"),
        redirect("/308", "hostname: example.org, statusCode: 308"),
    ];
    let cases = [
        ("GET /host host:shop", "302 http://example.org/host"),
        (
            "GET /host-and-status host:shop",
            "301 http://example.org/host-and-status",
        ),
        ("GET /prefix/lemon host:shop", "302 http://shop/new/lemon"),
        ("GET /full/lemon host:shop", "302 http://shop/whole"),
        (
            "GET /prefix-and-host/lemon?q=1 host:shop",
            "302 http://example.org/new/lemon?q=1",
        ),
        (
            "GET /prefix-and-status/lemon host:shop",
            "301 http://shop/new/lemon",
        ),
        (
            "GET /full-and-host/lemon host:shop",
            "302 http://example.org/whole",
        ),
        ("GET /port host:shop", "302 http://shop:8083/port"),
        (
            "GET /port-and-host host:shop",
            "302 http://example.org:8083/port-and-host",
        ),
        (
            "GET /port-and-status host:shop",
            "301 http://shop:8083/port-and-status",
        ),
        ("GET /port-80 host:shop", "302 http://example.org/port-80"),
        ("GET /scheme host:shop", "302 https://shop/scheme"),
        (
            "GET /scheme-and-host host:shop",
            "302 https://example.org/scheme-and-host",
        ),
        (
            "GET /scheme-and-status host:shop",
            "301 https://shop/scheme-and-status",
        ),
        (
            "GET /scheme-and-port-443 host:shop",
            "302 https://example.org/scheme-and-port-443",
        ),
        (
            "GET /scheme-and-port-8443 host:shop",
            "302 https://example.org:8443/scheme-and-port-8443",
        ),
        ("POST /303 host:shop", "303 http://example.org/303"),
        ("GET /307 host:shop", "307 http://example.org/307"),
        ("GET /308 host:shop", "308 http://example.org/308"),
    ];
    // A route has at most 16 rules.
    both(&rules[..10].join(", "), &cases[..10]);
    both(&rules[10..].join(", "), &cases[10..]);
}

// row: HTTPRoute rules.filters.urlRewrite
#[test]
fn rewrites() {
    let rewrite = |path: &str, more: &str| under(path, &format!("filters: [{more}],"), "v1");
    let prefix = |p: &str| {
        format!(
            "{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {p}}}}}}}"
        )
    };
    let full = |p: &str| {
        format!("{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: {p}}}}}}}")
    };
    let headers = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: new}], add: [{name: x-add, value: more}], remove: [x-remove]}}";
    let rules = [
        rewrite("/prefix/one", &prefix("/one")),
        rewrite("/strip", &prefix("/")),
        rewrite("/full/one", &full("/one")),
        rewrite("/full/headers", &format!("{}, {headers}", full("/test"))),
        rewrite("/prefix/headers", &format!("{}, {headers}", prefix("/prefix"))),
        rewrite(
            "/host",
            "{type: URLRewrite, urlRewrite: {hostname: one.example.org}}",
        ),
        rewrite(
            "/host-and-headers",
            &format!("{{type: URLRewrite, urlRewrite: {{hostname: test.example.org}}}}, {headers}"),
        ),
        // For one backend only.
        format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /backend}}}}], backendRefs: [{{name: web-v1, port: 80, filters: [{}]}}]}}",
            prefix("/inner")
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", &rules.join(", ")));
    for (mesh, via) in [(&mesh, Via::Mesh), (&edge, Via::Listener(80))] {
        for (request, path, host) in [
            ("GET /prefix/one/two host:shop", "/one/two", "shop"),
            ("GET /strip/three host:shop", "/three", "shop"),
            ("GET /strip host:shop", "/", "shop"),
            ("GET /full/one/two host:shop", "/one", "shop"),
            (
                "GET /full/headers/x host:shop x-set:old x-add:old x-remove:old",
                "/test",
                "shop",
            ),
            (
                "GET /prefix/headers/x host:shop x-set:old x-add:old x-remove:old",
                "/prefix/x",
                "shop",
            ),
            ("GET /host/x host:shop", "/host/x", "one.example.org"),
            (
                "GET /host-and-headers host:shop x-set:old x-add:old x-remove:old",
                "/host-and-headers",
                "test.example.org",
            ),
            ("GET /backend/x host:shop", "/inner/x", "shop"),
        ] {
            let seen = ask(mesh, via, request).send().seen();
            assert_eq!(
                (seen.path.as_str(), seen.host.as_str()),
                (path, host),
                "{request}"
            );
            if request.contains("x-set") {
                let edited = ["x-set", "x-add", "x-remove"].map(|name| seen.header(name));
                assert_eq!(
                    edited,
                    [Some("new".into()), Some("old,more".into()), None],
                    "{request}"
                );
            }
        }
    }
}

// row: HTTPRoute rules.filters.requestMirror
#[test]
fn mirrors() {
    let mirror = |version: &str, more: &str| {
        format!(
            "{{type: RequestMirror, requestMirror: {{backendRef: {{name: web-{version}, port: 80}} {more}}}}}"
        )
    };
    let rules = [
        under("/one", &format!("filters: [{}],", mirror("v2", "")), "v1"),
        under(
            "/several",
            &format!("filters: [{}, {}],", mirror("v2", ""), mirror("v3", "")),
            "v1",
        ),
        under(
            "/percent",
            &format!("filters: [{}],", mirror("v2", ", percent: 20")),
            "v1",
        ),
        under(
            "/fraction",
            &format!(
                "filters: [{}],",
                mirror("v2", ", fraction: {numerator: 25, denominator: 50}")
            ),
            "v1",
        ),
    ];
    let mesh = Together::shop("");
    third(&mesh);
    mesh.apply(&http_route(&rules.join(", ")));
    let copies = |version: &str| mesh.of(&format!("web-{version}")).requests().len();
    check(&mesh, Via::Mesh, &[("GET /one", "v1")]);
    mesh.until("a copy", || (copies("v2") == 1).then_some(()));
    assert_eq!(mesh.of("web-v2").requests()[0].path, "/one");
    check(&mesh, Via::Mesh, &[("GET /several", "v1")]);
    mesh.until("both copies", || {
        (copies("v2") == 2 && copies("v3") == 1).then_some(())
    });
    for (path, share) in [("/percent", 20), ("/fraction", 50)] {
        mesh.of("web-v2").forget();
        let kept = mesh.keep(mesh.get(path));
        for _ in 0..500 {
            assert_eq!(kept.send(mesh.get(path)).by(), "web-v1");
        }
        let (least, most) = (share * 5 - 40, share * 5 + 40);
        mesh.until("enough copies", || (copies("v2") >= least).then_some(()));
        assert!(copies("v2") <= most, "{path}: {} of 500", copies("v2"));
    }
}

// row: HTTPRoute rules.filters.cors
#[test]
fn other_origins() {
    let cors = |path: &str, more: &str| {
        under(
            path,
            &format!("filters: [{{type: CORS, cors: {{{more}}}}}],"),
            "v1",
        )
    };
    let rules = [
        cors(
            "/some",
            "allowOrigins: ['https://www.foo.com', 'https://*.bar.com'], allowMethods: [GET, OPTIONS], allowHeaders: [x-header-1, x-header-2], exposeHeaders: [x-header-3, x-header-4], allowCredentials: true, maxAge: 3600",
        ),
        cors(
            "/methods",
            "allowOrigins: ['https://www.foo.com'], allowMethods: ['*']",
        ),
        cors(
            "/origins",
            "allowOrigins: ['*'], allowMethods: [PUT], allowCredentials: false",
        ),
        cors(
            "/all",
            "allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true",
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let preflight = |path: &str, origin: &str, method: &str| {
        let ask = mesh.ask("OPTIONS", path).header("origin", origin);
        ask.header("access-control-request-method", method)
            .header("access-control-request-headers", "x-header-1, x-header-2")
            .send()
    };
    for origin in [
        "https://www.foo.com",
        "https://www.bar.com",
        "https://xpto.www.bar.com",
    ] {
        let answer = preflight("/some", origin, "GET");
        assert!(
            [200, 204].contains(&answer.status) && answer.by().is_empty(),
            "{answer:?}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-max-age"), Some("3600"));
        let list = |name: &str| answer.header(name).unwrap_or_default().replace(' ', "");
        assert_eq!(list("access-control-allow-methods"), "GET,OPTIONS");
        assert_eq!(list("access-control-allow-headers"), "x-header-1,x-header-2");
        let simple = mesh.get("/some").header("origin", origin).send();
        assert_eq!(simple.brief(), (200, "web-v1"));
        assert_eq!(simple.header("access-control-allow-origin"), Some(origin));
        let exposed = simple.header("access-control-expose-headers").unwrap_or_default();
        assert_eq!(exposed.replace(' ', ""), "x-header-3,x-header-4");
    }
    let foreign = preflight("/some", "https://foobar.com", "GET");
    assert!(
        foreign.header("access-control-allow-origin").is_none(),
        "{foreign:?}"
    );
    let foreign = mesh.get("/some").header("origin", "https://foobar.com").send();
    assert!(
        foreign.header("access-control-allow-origin").is_none(),
        "{foreign:?}"
    );
    let methods = preflight("/methods", "https://www.foo.com", "POST");
    assert!(
        methods
            .header("access-control-allow-methods")
            .is_some_and(|m| m == "*" || m.contains("POST"))
    );
    assert!(methods.header("access-control-allow-credentials").is_none());
    let origins = preflight("/origins", "https://anybody.example", "PUT");
    let allowed = origins.header("access-control-allow-origin");
    assert!(
        allowed.is_some_and(|o| ["*", "https://anybody.example"].contains(&o)),
        "{origins:?}"
    );
    // With credentials, a wildcard means nothing to a browser: what was asked for is named.
    let all = preflight("/all", "https://anybody.example", "DELETE");
    assert_eq!(
        all.header("access-control-allow-origin"),
        Some("https://anybody.example")
    );
    assert_eq!(all.header("access-control-allow-methods"), Some("DELETE"));
    assert_eq!(all.header("access-control-allow-credentials"), Some("true"));
}

// row: HTTPRoute rules.retry
#[test]
fn retries() {
    let rules = [
        under(
            "/three-times",
            "retry: {codes: [500], attempts: 3, backoff: 1ms},",
            "v1",
        ),
        under(
            "/twice",
            "retry: {codes: [500, 502, 503, 504], attempts: 2, backoff: 1ms},",
            "v1",
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let backend = mesh.of("web-v1");
    for (path, failures, with, status, asked) in [
        ("/three-times", 3, 500, 200, 4),
        ("/three-times", 4, 500, 500, 4),
        ("/three-times", 1, 503, 503, 1),
        ("/twice", 2, 500, 200, 3),
        ("/twice", 2, 502, 200, 3),
        ("/twice", 2, 503, 200, 3),
        ("/twice", 2, 504, 200, 3),
        ("/twice", 3, 503, 503, 3),
    ] {
        backend.forget();
        backend.fails(failures, with);
        let answer = mesh.get(path).send();
        let asked_for = backend.requests().len();
        assert_eq!(
            (answer.status, asked_for),
            (status, asked),
            "{path}: {failures} times {with}"
        );
        backend.fails(0, 200);
    }
}

#[test]
fn connections_that_break_are_tried_again() {
    let mesh = Together::shop(&http_route(
        "{retry: {codes: [503], attempts: 3, backoff: 1ms}, backendRefs: [{name: web, port: 80}]}",
    ));
    mesh.of("web-v1").hangs_up(true);
    for _ in 0..20 {
        assert_eq!(mesh.get("/").send().brief(), (200, "web-v2"));
    }
    assert!(!mesh.of("web-v1").requests().is_empty());
}

// row: HTTPRoute rules.timeouts.request
// row: HTTPRoute rules.timeouts.backendRequest
#[test]
fn timeouts() {
    let rules = [
        under("/request", "timeouts: {request: 100ms},", "v1"),
        under("/try", "timeouts: {request: 30s, backendRequest: 100ms},", "v1"),
        under("/never", "timeouts: {request: 0s},", "v1"),
        under(
            "/retried",
            "timeouts: {request: 30s, backendRequest: 200ms}, retry: {codes: [504], attempts: 1, backoff: 1ms},",
            "v1",
        ),
        under(
            "/all-tries",
            "timeouts: {request: 300ms, backendRequest: 200ms}, retry: {codes: [504], attempts: 20, backoff: 1ms},",
            "v1",
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let backend = mesh.of("web-v1");
    check(
        &mesh,
        Via::Mesh,
        &[("GET /request", "v1"), ("GET /try", "v1"), ("GET /never", "v1")],
    );
    backend.takes(Duration::from_secs(40));
    check(&mesh, Via::Mesh, &[("GET /request", "504"), ("GET /try", "504")]);
    backend.forget();
    check(&mesh, Via::Mesh, &[("GET /retried", "504")]);
    assert_eq!(backend.requests().len(), 2);
    backend.forget();
    check(&mesh, Via::Mesh, &[("GET /all-tries", "504")]);
    assert!(
        backend.requests().len() < 4,
        "the request's limit is for all tries together"
    );
    backend.takes(Duration::from_millis(300));
    check(&mesh, Via::Mesh, &[("GET /never", "v1")]);
}

// row: HTTPRoute rules.backendRefs.weight
#[test]
fn weights() {
    let rules = "{backendRefs: [{name: web-v1, port: 80, weight: 70}, {name: web-v2, port: 80, weight: 30}, {name: web-v3, port: 80, weight: 0}]}";
    let mesh = Together::shop("");
    third(&mesh);
    mesh.apply(&http_route(rules));
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", rules));
    for (mesh, via) in [(&mesh, Via::Mesh), (&edge, Via::Listener(80))] {
        let kept = mesh.keep(ask(mesh, via, "GET /"));
        let mut by = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..500 {
            *by.entry(kept.send(ask(mesh, via, "GET /")).by().to_owned())
                .or_default() += 1;
        }
        assert!((325..=375).contains(&by["web-v1"]), "{by:?}");
        assert_eq!(by["web-v1"] + by["web-v2"], 500, "{by:?}");
    }
}

#[test]
fn what_cannot_be_used_is_answered_with_500() {
    let nobody = "{backendRefs: [{name: nobody, port: 80}]}";
    let elsewhere = "{backendRefs: [{name: web, namespace: other, port: 80}]}";
    let unknown = "{backendRefs: [{group: example.com, kind: Thing, name: web}]}";
    let edge = edge("");
    for (rule, reason) in [
        (nobody, "BackendNotFound"),
        (elsewhere, "RefNotPermitted"),
        (unknown, "InvalidKind"),
    ] {
        edge.apply(&http_route_of("web", "{name: edge}", "", rule));
        assert_eq!(edge.reason("HTTPRoute", "web", "ResolvedRefs"), reason);
        check(&edge, Via::Listener(80), &[("GET /", "500")]);
    }
    // Routes of the mesh may refer to other namespaces, as in Istio.
    for (rule, reason) in [(nobody, "BackendNotFound"), (unknown, "InvalidKind")] {
        let other = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80}]}}\n---\n";
        let mesh = Together::shop(&format!("{other}{}", http_route(rule)));
        assert_eq!(mesh.reason("HTTPRoute", "web", "ResolvedRefs"), reason);
        assert!(!mesh.holds("HTTPRoute", "web", "ResolvedRefs"), "{rule}");
        check(&mesh, Via::Mesh, &[("GET /", "500")]);
    }
    // A rule without any; and a share of one.
    let mesh = Together::shop(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /none}}]}, {backendRefs: [{name: web-v1, port: 80}, {name: nobody, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /none", "500")]);
    let failed = (0..400).filter(|_| mesh.get("/").send().status == 500).count();
    assert!((160..=240).contains(&failed), "{failed} of 400");
}

#[test]
fn references_to_other_namespaces_need_a_grant() {
    let other = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80, targetPort: 8080}]}}\n---\n";
    let mesh = edge("");
    mesh.apply(other.trim_end_matches("---\n"));
    mesh.apply(&http_route_of(
        "web",
        "{name: edge}",
        "",
        "{backendRefs: [{name: far, namespace: other, port: 80}]}",
    ));
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: far, namespace: other, labels: {{kubernetes.io/service-name: far}}}}, addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: http, port: 8080}}]}}",
        mesh.of("web-v1").ip
    );
    mesh.apply(&slice);
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    let grant = |from: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {{name: grant, namespace: other}}, spec: {{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], to: [{{group: '', kind: Service}}]}}}}"
        )
    };
    mesh.apply(&grant("elsewhere"));
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    mesh.apply(&grant("shop"));
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    check(&mesh, Via::Listener(80), &[("GET /", "v1")]);
    mesh.remove("ReferenceGrant", "other/grant");
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    // A part that may not be used fails by itself.
    mesh.apply(&http_route_of(
        "web",
        "{name: edge}",
        "",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /far}}}}], backendRefs: [{{name: far, namespace: other, port: 80}}]}}, {}",
            under("/near", "", "v2")
        ),
    ));
    check(
        &mesh,
        Via::Listener(80),
        &[("GET /far", "500"), ("GET /near", "v2")],
    );
}

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

#[test]
fn of_several_routes_the_better_match_and_then_the_older_one_counts() {
    let edge = edge("");
    edge.apply(&http_route_of(
        "part1",
        "{name: edge}",
        "hostnames: [example.com, example.net],",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /}}}}, {}], {}}}",
            version("one"),
            to("v1")
        ),
    ));
    edge.apply(&http_route_of(
        "part2",
        "{name: edge}",
        "hostnames: [example.com],",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /v2}}}}, {}], {}}}",
            version("two"),
            to("v2")
        ),
    ));
    check(
        &edge,
        Via::Listener(80),
        &[
            ("GET / host:example.com", "v1"),
            ("GET /example host:example.com", "v1"),
            ("GET /example host:example.net", "v1"),
            ("GET /example host:example.com version:one", "v1"),
            ("GET /v2 host:example.com", "v2"),
            ("GET / host:example.com version:two", "v2"),
            ("GET /v2 host:example.net", "v1"),
            ("GET /v2/example host:example.com", "v2"),
            ("GET /v2example host:example.com", "v1"),
            ("GET /v2 host:example.org", "404"),
        ],
    );
    let dated = |name: &str, year: u16, version: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}, spec: {{parentRefs: [{{name: edge}}], hostnames: [same.example], rules: [{{{}}}]}}}}",
            to(version)
        )
    };
    edge.apply(&dated("a-younger", 2025, "v1"));
    edge.apply(&dated("z-older", 2024, "v2"));
    check(&edge, Via::Listener(80), &[("GET / host:same.example", "v2")]);
    edge.remove("HTTPRoute", "z-older");
    check(&edge, Via::Listener(80), &[("GET / host:same.example", "v1")]);
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

#[test]
fn what_services_say_they_speak_is_spoken() {
    let mesh = Together::shop("");
    let service = |name: &str, ip: &str, protocol: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: {ip}, selector: {{version: v1}}, ports: [{{name: p, port: 80, targetPort: 8080, appProtocol: {protocol}}}]}}}}"
        )
    };
    mesh.apply(&service("h2c", "10.96.7.1", "kubernetes.io/h2c"));
    mesh.apply(&service("ws", "10.96.7.2", "kubernetes.io/ws"));
    mesh.apply(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /h2c}}], backendRefs: [{name: h2c, port: 80}]}, {backendRefs: [{name: ws, port: 80}]}",
    ));
    assert_eq!(mesh.get("/h2c").send().seen().version, "HTTP/2.0");
    let mut socket = mesh.connect("web:80");
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(socket.read_until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    socket.write("ping");
    assert_eq!(socket.read(4), "ping");
}

#[test]
fn services_without_addresses_or_selectors_are_backends_too() {
    let mesh = Together::shop("");
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop}, spec: {clusterIP: None, selector: {version: v1}, ports: [{name: http, port: 8080}]}}");
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: manual, namespace: shop}, spec: {clusterIP: 10.96.7.9, ports: [{name: http, port: 80, targetPort: 8080}]}}");
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: manual-1, namespace: shop, labels: {{kubernetes.io/service-name: manual}}}}, addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: http, port: 8080}}]}}",
        mesh.of("web-v2").ip
    );
    mesh.apply(&slice);
    mesh.apply(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /headless}}], backendRefs: [{name: headless, port: 8080}]}, {backendRefs: [{name: manual, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /headless", "v1"), ("GET /", "v2")]);
}
