use controlplane_k8s_api::Kind;
use http::Method;

use crate::fixture::Mesh;
use crate::l7::fixture::SHOP;

fn service(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}\n---\n"
    )
}

fn mesh(http: &str) -> Mesh {
    Mesh::of(&format!(
        "{SHOP}{}",
        service("vs", &format!("hosts: [web], http: [{http}]"))
    ))
}

/// `<type>=<status>/<reason>` of an object as a whole.
fn status(mesh: &Mesh, name: &str) -> Vec<String> {
    let statuses = mesh.index.statuses().into_iter();
    let own = statuses.filter(|s| {
        s.object.kind == Kind::VirtualService && format!("{}/{}", s.object.namespace, s.object.name) == name
    });
    own.flat_map(|s| s.conditions)
        .map(|c| format!("{}={}/{}", c.kind, c.holds, c.reason))
        .collect()
}

const API: &str = "route: [{destination: {host: api}}]";

#[test]
fn what_a_match_takes() {
    for (wanted, taken, left) in [
        ("uri: {exact: /a}", "/a", "/a/"),
        ("uri: {prefix: /a}", "/ab", "/b"),
        ("uri: {prefix: /A}, ignoreUriCase: true", "/aB", "/b"),
        ("uri: {exact: /A}, ignoreUriCase: true", "/a", "/ab"),
        ("uri: {regex: '/a+'}", "/aa", "/aab"),
        ("uri: {exact: a}", "", "/a"),
        ("queryParams: {q: {exact: x}}", "/?q=x", "/?q=y"),
        ("queryParams: {q: {}}", "/?q=", "/"),
        ("headers: {':path': {prefix: /a}}", "/ab", "/b"),
        ("headers: {':path': {exact: /a}}, uri: {prefix: /}", "/a", "/b"),
        ("headers: {':path': {exact: /a}}, uri: {prefix: /b}", "", "/a"),
    ] {
        let mesh = mesh(&format!("{{match: [{{{wanted}}}], {API}}}"));
        if !taken.is_empty() {
            assert_eq!(mesh.get("web", 80, taken).goes_to(), "api:80", "{wanted} {taken}");
        }
        assert_eq!(mesh.get("web", 80, left).goes_to(), "404", "{wanted} {left}");
    }
    let by_header = mesh(&format!(
        "{{match: [{{headers: {{X-A: {{exact: b}}, y: {{}}}}, withoutHeaders: {{Z: {{}}}}, method: {{exact: POST}}, \
         authority: {{exact: 'web:80'}}, scheme: {{exact: http}}}}], {API}}}"
    ));
    let asked = || {
        by_header
            .get("web", 80, "/")
            .method(Method::POST)
            .host("web")
            .header("x-a", "b")
            .header("y", "1")
    };
    assert_eq!(asked().goes_to(), "api:80");
    assert_eq!(asked().header("z", "").goes_to(), "404");
    assert_eq!(asked().method(Method::GET).goes_to(), "404");
    assert_eq!(asked().host("api").goes_to(), "404");
    let by_client = mesh(&format!(
        "{{match: [{{sourceNamespace: bank, sourceLabels: {{app: x}}}}], {API}}}"
    ));
    let asked = || by_client.get("web", 80, "/");
    assert_eq!(
        asked().from("bank", &[("app", "x"), ("b", "c")]).goes_to(),
        "api:80"
    );
    assert_eq!(asked().from("bank", &[]).goes_to(), "404");
    assert_eq!(asked().from("shop", &[("app", "x")]).goes_to(), "404");
}

#[test]
fn claims_are_found_by_their_names() {
    for (header, path) in [
        ("'@request.auth.claims.a.b'", Some("[\"a\", \"b\"]")),
        ("'@request.auth.claims[a][b.c]'", Some("[\"a\", \"b.c\"]")),
        ("'@request.auth.claims'", None),
        ("'@request.auth.claims[a'", None),
        ("'@request.auth.claims..a'", None),
    ] {
        let mesh = mesh(&format!(
            "{{match: [{{headers: {{{header}: {{exact: x}}}}}}], {API}}}"
        ));
        let text = format!("{:?}", mesh.route("VirtualService/shop/vs").rules);
        match path {
            Some(path) => assert!(
                text.contains(&format!("ClaimMatch {{ path: {path}, value: Exact(\"x\")")),
                "{text}"
            ),
            None => assert!(
                text.contains("Exact(\"/#\")"),
                "{header}: a match that cannot be takes nothing: {text}"
            ),
        }
        assert_eq!(mesh.get("web", 80, "/").goes_to(), "404");
    }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let mesh = mesh(&format!(
        "{{match: [{{uri: {{prefix: /a}}}}], {API}}}, {{match: [{{uri: {{exact: /ab}}}}], route: [{{destination: {{host: web, port: {{number: 9090}}}}}}]}}, \
         {{redirect: {{uri: /x, redirectCode: 308}}}}"
    ));
    assert_eq!(mesh.get("web", 80, "/ab").goes_to(), "api:80");
    assert_eq!(mesh.get("web", 80, "/").goes_to(), "redirect 308");
}

#[test]
fn destinations_shares_and_ports() {
    let mesh = mesh(
        "{match: [{uri: {prefix: /split}}], route: [{destination: {host: api, subset: v1}, weight: 90}, {destination: {host: api.shop.svc.cluster.local, subset: v2}, weight: 10}]}, \
         {match: [{uri: {prefix: /large}}], route: [{destination: {host: api}, weight: 4000000000}, {destination: {host: web, port: {number: 80}}, weight: 1}]}, \
         {match: [{uri: {prefix: /gone}}], route: [{destination: {host: nobody}}]}, \
         {match: [{uri: {prefix: /port}}], route: [{destination: {host: api, port: {number: 81}}}]}, \
         {match: [{uri: {prefix: /other}}], route: [{destination: {host: ledger.bank.svc.cluster.local}}]}, \
         {match: [{uri: {prefix: /entry}}], route: [{destination: {host: api.example.com}}]}, \
         {route: [{destination: {host: web}}]}",
    );
    for (target, to) in [
        ("/split", "90*api:80/v1 10*api:80/v2"),
        ("/large", "1000000*api:80 1*web:80"),
        ("/gone", "500"),
        ("/port", "500"),
        ("/other", "ledger.bank:80"),
        ("/entry", "api.example.com:443"),
        // Without a port the one that was called.
        ("/", "web:80"),
    ] {
        assert_eq!(mesh.get("web", 80, target).goes_to(), to, "{target}");
    }
    assert_eq!(mesh.get("web", 9090, "/").goes_to(), "web:9090");
    assert_eq!(
        mesh.get("web", 9090, "/split").goes_to(),
        "90*api:80/v1 10*api:80/v2"
    );
    assert_eq!(
        status(&mesh, "shop/vs"),
        ["Accepted=true/Accepted", "ResolvedRefs=false/BackendNotFound"]
    );
    // Only where ports differ are there several routes.
    assert_eq!(
        mesh.routes.keys().collect::<Vec<_>>(),
        [
            "VirtualService/shop/vs/port-80",
            "VirtualService/shop/vs/port-9090"
        ]
    );
}

#[test]
fn a_match_may_be_for_a_port_or_for_gateways() {
    let mesh = mesh(&format!(
        "{{match: [{{port: 80}}, {{uri: {{prefix: /both}}}}], {API}}}, {{match: [{{gateways: [shop/edge]}}], redirect: {{uri: /no}}}}"
    ));
    assert_eq!(mesh.get("web", 80, "/").goes_to(), "api:80");
    assert_eq!(mesh.get("web", 9090, "/").goes_to(), "404");
    assert_eq!(mesh.get("web", 9090, "/both").goes_to(), "api:80");
}

#[test]
fn what_is_done_on_the_way() {
    let mesh = mesh(
        "{name: n, timeout: 3s, retries: {attempts: 4, perTryTimeout: 1s, retryOn: 'gateway-error,connect-failure,unavailable,409,retriable-status-codes', backoff: 10ms, retryRemoteLocalities: false, retryIgnorePreviousHosts: false}, \
          fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {httpStatus: 418}}, \
          corsPolicy: {allowOrigins: [{exact: '*'}, {prefix: 'https://'}], allowMethods: [GET], maxAge: 24h, allowCredentials: true, unmatchedPreflights: IGNORE}, \
          headers: {request: {set: {Host: other.example.com, X-A: '1'}, add: {b: '2'}, remove: [C]}, response: {set: {d: '4'}}}, \
          rewrite: {uri: /new, authority: api}, mirrors: [{destination: {host: api}, percentage: {value: 20}}, {destination: {host: web, port: {number: 80}}, percentage: {value: 0}}, {destination: {host: nobody}}], \
          route: [{destination: {host: api}, headers: {request: {add: {e: '5'}}}}]}",
    );
    let rule = mesh.get("web", 80, "/").rule();
    assert_eq!(rule.name.as_deref(), Some("n"));
    assert_eq!(
        format!("{:?} {:?}", rule.timeouts, rule.retry),
        "Timeouts { request: Some(3s), per_try: None } Some(Retry { attempts: 4, per_try_timeout: Some(1s), conditions: \
         [GatewayError, ConnectFailure, Grpc(14), Status(409)], backoff: 10ms, remote_localities: false, avoid_previous: false, retry_after: Some(10s) })"
    );
    let filters: Vec<String> = rule.filters.iter().map(|f| format!("{f:?}")).collect();
    let begins = [
        "Fault(Fault { delay: Some((5s, Share { numerator: 1000, denominator: 1000000 })), abort: Some((Http(418), Share { numerator: 1, denominator: 1 })) })",
        "Cors(Cors { allow_origins: [Present, Prefix(\"https://\")], allow_methods: [\"GET\"], allow_headers: [], expose_headers: [], max_age: Some(86400s), allow_credentials: true, forward_unmatched_preflights: false })",
        "RequestHeaders(HeaderEdits { set: [(\":authority\", \"other.example.com\"), (\"x-a\", \"1\")], add: [(\"b\", \"2\")], remove: [\"c\"] })",
        "ResponseHeaders(HeaderEdits { set: [(\"d\", \"4\")], add: [], remove: [] })",
        "Rewrite(Rewrite { authority: Some(\"api\"), path: Some(RawPrefix(\"/new\")) })",
        "Mirror(Mirror { destination: Service {",
        "Mirror(Mirror { destination: Invalid(\"no service has the host nobody.shop.svc.cluster.local\")",
    ];
    assert_eq!(filters.len(), begins.len(), "{filters:#?}");
    for (filter, begin) in filters.iter().zip(begins) {
        assert!(filter.starts_with(begin), "{filter}\n{begin}");
    }
    let text = format!("{:?}", rule.action);
    assert!(
        text.ends_with(
            "filters: [RequestHeaders(HeaderEdits { set: [], add: [(\"e\", \"5\")], remove: [] })] }])"
        ),
        "{text}"
    );
}

#[test]
fn redirects_answers_and_what_cannot_be() {
    for (action, expected) in [
        (
            "redirect: {authority: e.org, scheme: https, port: 8443}",
            "Redirect(Redirect { scheme: Some(\"https\"), hostname: Some(\"e.org\"), port: Given(8443), path: None, status: 301 })",
        ),
        (
            "redirect: {authority: e.org}",
            "Redirect(Redirect { scheme: None, hostname: Some(\"e.org\"), port: Given(80), path: None, status: 301 })",
        ),
        (
            "redirect: {uri: /a, redirectCode: 302}",
            "Redirect(Redirect { scheme: None, hostname: None, port: AsNamed, path: Some(Full(\"/a\")), status: 302 })",
        ),
        (
            "redirect: {scheme: https}",
            "Redirect(Redirect { scheme: Some(\"https\"), hostname: None, port: Derived, path: None, status: 301 })",
        ),
        ("redirect: {authority: 'a b'}", "Forward([])"),
        (
            "directResponse: {status: 503, body: {string: sorry}}",
            "Respond(Respond { status: 503, body: b\"sorry\" })",
        ),
        (
            "directResponse: {status: 200, body: {bytes: aGk=}}",
            "Respond(Respond { status: 200, body: b\"hi\" })",
        ),
    ] {
        let mesh = mesh(&format!("{{{action}}}"));
        assert_eq!(
            format!("{:?}", mesh.get("web", 80, "/").rule().action),
            expected,
            "{action}"
        );
    }
    let broken = mesh(&format!("{{rewrite: {{authority: 'a b'}}, {API}}}"));
    assert_eq!(
        format!("{:?}", broken.get("web", 80, "/").rule().filters),
        "[Invalid(\"\\\"a b\\\" is no host\")]"
    );
    assert_eq!(
        status(&broken, "shop/vs")[2],
        "PartiallyInvalid=true/UnsupportedValue"
    );
}

#[test]
fn retries_as_nobody_says() {
    for (retries, conditions) in [
        (
            "{attempts: 0}",
            "ConnectFailure, RefusedStream, Grpc(14), Grpc(1)",
        ),
        ("{attempts: 1, retryOn: 'retriable-status-codes'}", ""),
        (
            "{attempts: 1, retryOn: '5xx,reset,reset-before-request,envoy-ratelimited,retriable-4xx,refused-stream,cancelled,deadline-exceeded,internal,resource-exhausted'}",
            "ServerError, Reset, ResetBeforeRequest, RateLimited, RetriableClientError, RefusedStream, Grpc(1), Grpc(4), Grpc(13), Grpc(8)",
        ),
        ("{attempts: 1, retryOn: 'http3-post-connect-failure'}", ""),
    ] {
        let mesh = mesh(&format!("{{retries: {retries}, {API}}}"));
        let text = format!("{:?}", mesh.get("web", 80, "/").rule().retry);
        assert!(
            text.contains(&format!("conditions: [{conditions}]")),
            "{retries}: {text}"
        );
    }
}

#[test]
fn delegates_narrow_and_fill_in() {
    let root = service(
        "root",
        "hosts: [web], http: [{name: r, match: [{uri: {prefix: /a}}, {headers: {x: {exact: y}}}], timeout: 9s, delegate: {name: part, namespace: bank}}, \
         {match: [{uri: {prefix: /lost}}], delegate: {name: nobody}}, {match: [{uri: {prefix: /whole}}], delegate: {name: other}}]",
    );
    let part = service(
        "bank/part",
        "http: [{name: d, match: [{uri: {prefix: /a/b}}, {uri: {exact: /z}}], route: [{destination: {host: ledger}}]}, {timeout: 1s, route: [{destination: {host: ledger}}]}]",
    );
    let other = service("other", &format!("hosts: [api], http: [{{{API}}}]"));
    let mut mesh = Mesh::of(&format!("{SHOP}{root}{part}{other}"));
    let at = |mesh: &Mesh, target: &str| mesh.get("web", 80, target).goes_to();
    for (target, to) in [
        ("/a/b", "ledger.bank:80"),
        ("/a", "ledger.bank:80"),
        ("/b", "404"),
        ("/lost", "500"),
        ("/whole", "500"),
    ] {
        assert_eq!(at(&mesh, target), to, "{target}");
    }
    let rule = |mesh: &Mesh, target: &str| {
        let rule = mesh.get("web", 80, target).rule();
        (
            rule.name.unwrap_or_default().to_string(),
            rule.timeouts.request.map(|t| t.as_secs()),
        )
    };
    assert_eq!(rule(&mesh, "/a/b"), ("r-d".to_owned(), Some(9)));
    assert_eq!(rule(&mesh, "/a"), ("r".to_owned(), Some(1)));
    assert_eq!(
        mesh.get("web", 80, "/z").header("x", "y").goes_to(),
        "ledger.bank:80",
        "a header from the one, the path from the other"
    );
    assert_eq!(
        status(&mesh, "shop/root")[1],
        "ResolvedRefs=false/DelegateNotFound"
    );
    // What the other one says counts at once; what it does not export, not at all.
    mesh.set(&service("bank/part", "http: [{redirect: {uri: /x}}]"));
    assert_eq!(at(&mesh, "/a/b"), "redirect 301");
    mesh.set(&service(
        "bank/part",
        "exportTo: ['.'], http: [{redirect: {uri: /x}}]",
    ));
    assert_eq!(at(&mesh, "/a/b"), "500");
}

#[test]
fn a_delegate_that_has_nothing_in_common_takes_nothing() {
    for (root, part) in [
        ("uri: {prefix: /a}", "uri: {prefix: /b}"),
        ("uri: {exact: /a}", "uri: {exact: /b}"),
        ("uri: {prefix: /a}", "uri: {regex: '/a.*'}"),
        ("method: {exact: GET}", "method: {exact: POST}"),
        ("sourceNamespace: a", "sourceNamespace: b"),
        ("sourceNamespace: a", "uri: {prefix: /a}"),
        ("uri: {prefix: /a/b}", "uri: {prefix: /a}"),
        ("uri: {exact: /a}", "uri: {prefix: /a}"),
        ("uri: {regex: '/a.*'}", "uri: {exact: /a}"),
        ("uri: {prefix: /a}", "uri: {prefix: /a}, ignoreUriCase: true"),
        ("headers: {x: {exact: a}}", "headers: {x: {exact: b}}"),
        ("headers: {x: {}}", "headers: {x: {exact: b}}"),
        (
            "withoutHeaders: {x: {exact: a}}",
            "withoutHeaders: {x: {prefix: a}}",
        ),
        ("queryParams: {q: {exact: a}}", "queryParams: {q: {exact: b}}"),
        ("sourceLabels: {app: a}", "sourceLabels: {app: b}"),
        ("port: 80", "port: 81"),
        ("gateways: [mesh]", "gateways: [mesh, shop/edge]"),
    ] {
        let root = service(
            "root",
            &format!("hosts: [web], http: [{{match: [{{{root}}}], delegate: {{name: part}}}}]"),
        );
        let part = service("part", &format!("http: [{{match: [{{{part}}}], {API}}}]"));
        let mesh = Mesh::of(&format!("{SHOP}{root}{part}"));
        assert_eq!(mesh.get("web", 80, "/a").goes_to(), "404");
        assert_eq!(
            status(&mesh, "shop/root")[2],
            "PartiallyInvalid=true/UnsupportedValue"
        );
    }
}

#[test]
fn a_delegates_matches_are_joined_as_istio_joins_them() {
    let goes = |root: &str, part: &str| {
        let root = service(
            "root",
            &format!("hosts: [web], http: [{{match: [{root}], delegate: {{name: part}}}}]"),
        );
        let part = service("part", &format!("http: [{{match: [{part}], {API}}}]"));
        Mesh::of(&format!("{SHOP}{root}{part}"))
    };
    let taken = |mesh: &Mesh, target: &str, header: Option<&'static str>| {
        let request = mesh.get("web", 80, target);
        let request = match header {
            Some(value) => request.header("x", value),
            None => request,
        };
        request.goes_to() != "404"
    };
    let mesh = goes(
        "{uri: {prefix: /a}, headers: {x: {prefix: y}}}",
        "{uri: {exact: /a/b}, headers: {x: {exact: yes}}}",
    );
    assert!(taken(&mesh, "/a/b", Some("yes")));
    assert!(
        !taken(&mesh, "/a", Some("yes")) && !taken(&mesh, "/a/b", Some("y")) && !taken(&mesh, "/a/b", None)
    );
    // Each of the part's matches needs one of the root's: otherwise none of them counts.
    let mesh = goes(
        "{uri: {prefix: /a}}, {uri: {prefix: /b}}",
        "{uri: {prefix: /a/1}}, {uri: {prefix: /b/1}}",
    );
    assert!(taken(&mesh, "/a/1", None) && taken(&mesh, "/b/1", None) && !taken(&mesh, "/a", None));
    let mesh = goes(
        "{uri: {prefix: /a}}",
        "{uri: {prefix: /a/1}}, {uri: {prefix: /b/1}}",
    );
    assert!(!taken(&mesh, "/a/1", None) && !taken(&mesh, "/b/1", None));
}

/// Field by field: what the root says, what the part says, and which of them counts.
#[test]
fn where_root_and_delegate_differ_the_delegate_counts() {
    let rule = |root: &str, part: &str| {
        let root = service(
            "root",
            &format!("hosts: [web], http: [{{{root}, delegate: {{name: part}}}}]"),
        );
        let part = service("part", &format!("http: [{{{part}{API}}}]"));
        format!(
            "{:?}",
            Mesh::of(&format!("{SHOP}{root}{part}"))
                .get("web", 80, "/a")
                .rule()
        )
    };
    let one = "1s";
    let fields = [
        ("timeout", one.to_owned(), "2s".to_owned()),
        ("rewrite", "{uri: /one}".to_owned(), "{uri: /two}".to_owned()),
        ("retries", "{attempts: 3}".to_owned(), "{attempts: 7}".to_owned()),
        (
            "fault",
            "{abort: {httpStatus: 501, percentage: {value: 100}}}".to_owned(),
            "{abort: {httpStatus: 502, percentage: {value: 100}}}".to_owned(),
        ),
        (
            "corsPolicy",
            "{allowOrigins: [{exact: 'https://one'}]}".to_owned(),
            "{allowOrigins: [{exact: 'https://two'}]}".to_owned(),
        ),
        ("mirror", "{host: web}".to_owned(), "{host: api}".to_owned()),
        (
            "headers",
            "{request: {set: {one: a}}}".to_owned(),
            "{request: {set: {two: b}}}".to_owned(),
        ),
    ];
    for (field, root, part) in fields {
        let only_part = rule("name: ''", &format!("{field}: {part}, "));
        let only_root = rule(&format!("{field}: {root}"), "");
        assert_ne!(
            only_root,
            rule("name: ''", ""),
            "{field} of the root is filled in"
        );
        let both = rule(&format!("{field}: {root}"), &format!("{field}: {part}, "));
        assert_eq!(both, only_part, "{field}");
        assert_ne!(both, only_root, "{field}");
    }
}

#[test]
fn whose_clients_see_it() {
    let with = |name: &str, more: &str| {
        Mesh::of(&format!(
            "{SHOP}{}",
            service(
                name,
                &format!("hosts: [web.shop.svc.cluster.local], http: [{{{API}}}], {more}")
                    .replace("host: api", "host: api.shop.svc.cluster.local")
            )
        ))
    };
    let seen = |mesh: &Mesh, from: &str| mesh.get("web", 80, "/").from(from, &[]).goes_to() != "none";
    for (name, more, shop, bank) in [
        ("shop/vs", "", true, true),
        ("shop/vs", "gateways: [mesh, shop/edge]", true, true),
        ("shop/vs", "gateways: [shop/edge]", false, false),
        ("shop/vs", "exportTo: ['.']", true, false),
        ("shop/vs", "exportTo: [bank]", false, true),
        ("shop/vs", "exportTo: ['.', bank]", true, true),
        ("bank/vs", "", false, true),
        ("bank/vs", "exportTo: [shop]", false, false),
        ("bank/vs", "exportTo: ['.']", false, true),
    ] {
        let mesh = with(name, more);
        assert_eq!(
            (seen(&mesh, "shop"), seen(&mesh, "bank")),
            (shop, bank),
            "{name} {more}"
        );
        let accepted = if shop || bank {
            "Accepted=true/Accepted"
        } else {
            "Accepted=false/NoMatchingParent"
        };
        assert_eq!(status(&mesh, name)[0], accepted, "{name} {more}");
    }
}

#[test]
fn hosts_are_services() {
    for (hosts, web, api) in [
        ("[web]", true, false),
        ("[web, api]", true, true),
        ("['*.shop.svc.cluster.local']", true, true),
        ("['*']", true, true),
        ("['*.bank.svc.cluster.local']", false, false),
        ("[10.96.0.2]", false, false),
        ("[nobody, WEB]", true, false),
    ] {
        let mesh = Mesh::of(&format!(
            "{SHOP}{}",
            service(
                "vs",
                &format!("hosts: {hosts}, http: [{{redirect: {{uri: /x}}}}]")
            )
        ));
        let taken = |service: &str| mesh.get(service, 80, "/").goes_to() != "none";
        assert_eq!((taken("web"), taken("api")), (web, api), "{hosts}");
    }
    // A service that comes later is taken as well.
    let mut mesh = Mesh::of(&format!(
        "{SHOP}{}",
        service(
            "vs",
            "hosts: ['*.shop.svc.cluster.local'], http: [{redirect: {uri: /x}}]"
        )
    ));
    assert_eq!(mesh.get("new", 80, "/").goes_to(), "none");
    mesh.set("{apiVersion: v1, kind: Service, metadata: {name: new, namespace: shop}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}");
    assert_eq!(mesh.get("new", 80, "/").goes_to(), "redirect 301");
}

#[test]
fn connections_go_by_name_and_address() {
    let mesh = Mesh::of(&format!(
        "{SHOP}{}",
        service(
            "vs",
            "hosts: [web, '*.example.com'], \
             tls: [{match: [{sniHosts: [a.example.com], port: 80}], route: [{destination: {host: api}}]}, {match: [{sniHosts: ['*.example.com'], sourceLabels: {a: b}}], route: [{destination: {host: web}}]}], \
             tcp: [{match: [{destinationSubnets: [10.96.0.0/16]}], route: [{destination: {host: api}, weight: 1}, {destination: {host: web}, weight: 3}]}, {match: [{sourceSubnet: 10.0.0.0/8}], route: [{destination: {host: web}}]}]",
        )
    ));
    assert_eq!(mesh.get("web", 80, "/").tls(Some("a.example.com")), "api:80");
    assert_eq!(mesh.get("web", 80, "/").tls(Some("b.example.com")), "refused");
    assert_eq!(mesh.get("web", 9090, "/").tls(Some("a.example.com")), "none");
    assert_eq!(mesh.get("web", 9090, "/").tcp("10.96.0.2"), "1*api:80 3*web:9090");
    assert_eq!(mesh.get("web", 9090, "/").tcp("10.97.0.2"), "refused");
    assert_eq!(mesh.get("web", 9090, "/").goes_to(), "none");
    assert_eq!(
        status(&mesh, "shop/vs")[2],
        "PartiallyInvalid=true/UnsupportedValue"
    );
}
