//! What rules do to requests and answers.

use mesh_model::l7::PolicyKind;
use mesh_model::l7::authorization::{Action, Authorization, Condition, Rule, TextAttribute, Values};
use mesh_xds::{Change, TypeUrl};

use super::{both, edge};
use crate::cases::{Via, ask, check, http_route, http_route_of, third, under};
use crate::harness::Together;
use crate::services;

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

/// Whoever is sent elsewhere is asked about, counted, and kept out, as everybody else.
#[test]
fn a_redirect_is_behind_what_its_rule_and_policies_say() {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "keeper", "http");
    services::http(at, |request| {
        let status = if request.headers().contains_key("x-key") {
            200
        } else {
            418
        };
        http::Response::builder()
            .status(status)
            .body(bytes::Bytes::new())
            .expect("an answer")
    });
    let redirect = "{type: RequestRedirect, requestRedirect: {hostname: elsewhere.example}}";
    mesh.apply(&http_route(&format!(
        "{{matches: [{{path: {{value: /asked}}}}], filters: [{{type: ExternalAuth, externalAuth: {{protocol: HTTP, backendRef: {{name: keeper, port: 80}}, \
         http: {{allowedHeaders: [x-key]}}}}}}, {redirect}]}}, {{name: limited, matches: [{{path: {{value: /limited}}}}], filters: [{redirect}]}}, \
         {{name: closed, matches: [{{path: {{value: /closed}}}}], filters: [{redirect}]}}, {}",
        "{backendRefs: [{name: web-v1, port: 80}]}"
    )));
    let limit = |name: &str, rule: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {{targetRefs: [{{group: \
             gateway.networking.k8s.io, kind: HTTPRoute, name: web, sectionName: {rule}}}], local: {{limits: [{{requests: 1, interval: 1h}}]}}}}}}"
        )
    };
    mesh.apply(&limit("limited", "limited"));
    let get = |path: &str| {
        let answer = mesh.get(path).send();
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let sent = |path: &str| (302, Some(format!("http://elsewhere.example{path}")));
    assert_eq!(get("/asked"), (418, None));
    assert_eq!(mesh.get("/asked").header("x-key", "good").send().status, 302);
    assert_eq!(
        [get("/limited"), get("/limited")],
        [sent("/limited"), (429, None)]
    );
    assert_eq!(get("/closed"), sent("/closed"));
    // A policy of this rule that the proxy does not understand: nobody gets past it, and others are not concerned.
    mesh.apply(&limit("later", "closed"));
    let key = "RateLimitPolicy/shop/later/rate-limit";
    let mut poison = (**mesh.l7().policy(key).expect("it is there")).clone();
    poison.object.name.name = "new".into();
    mesh.remove("RateLimitPolicy", "later");
    assert_eq!(get("/closed"), sent("/closed"));
    poison.kind = PolicyKind::Authorization(Authorization {
        action: Action::Deny,
        rules: vec![Rule {
            when: vec![Condition::Text(
                TextAttribute::RequestHeader("no header".into()),
                Values::default(),
            )],
            ..Rule::default()
        }],
        dry_run: false,
    });
    let change = Change::upsert(TypeUrl::POLICY, poison.key().as_str(), poison.encode())
        .for_gateways(["shop/waypoint"]);
    assert_eq!(mesh.inject(vec![change]).len(), 1);
    assert_eq!((get("/closed"), get("/open").0), ((503, None), 200));
    assert_eq!(mesh.get("/asked").header("x-key", "good").send().status, 302);
}
