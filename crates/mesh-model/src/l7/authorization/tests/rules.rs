use serde_json::json;

use super::*;

const YES: (bool, bool) = (true, true);
const NO: (bool, bool) = (false, false);
/// What nobody can say keeps out, and lets nobody pass.
const FAIL: (bool, bool) = (true, false);

#[test]
fn sources() {
    let with = |f: fn(&mut Source)| {
        let mut source = Source::default();
        f(&mut source);
        from(source)
    };
    let plain = Sent {
        identity: None,
        ..get("/")
    };
    let cases: [(fn(&mut Source), _, _); 16] = [
        (
            |s| s.principals = any([text("cluster.local/ns/web/sa/front")]),
            YES,
            NO,
        ),
        (|s| s.principals = any([text("cluster.local/ns/web/*")]), YES, NO),
        (|s| s.principals = any([text("*/sa/front")]), YES, NO),
        (|s| s.principals = any([text("*")]), YES, NO),
        (
            |s| s.principals = any([text("cluster.local/ns/web/sa/back")]),
            NO,
            NO,
        ),
        (|s| s.principals = none([text("*")]), NO, YES),
        (
            |s| s.principals = none([text("cluster.local/ns/web/sa/back")]),
            YES,
            YES,
        ),
        (|s| s.namespaces = any([text("web"), text("api")]), YES, NO),
        (|s| s.namespaces = any([text("we*")]), YES, NO),
        (|s| s.namespaces = none([text("web")]), NO, YES),
        (|s| s.service_accounts = any([text("web/front")]), YES, NO),
        (|s| s.trust_domains = any([text("cluster.local")]), YES, NO),
        (|s| s.trust_domains = none([text("cluster.local")]), NO, YES),
        (|s| s.ips = any(["10.0.0.0/8".parse().unwrap()]), YES, YES),
        (|s| s.remote_ips = none(["192.0.2.1/32".parse().unwrap()]), NO, NO),
        (|s| s.ips = any(["::/0".parse().unwrap()]), NO, NO),
    ];
    for (set, with_identity, without) in cases {
        let rule = with(set);
        assert_eq!(get("/").matches(&rule), with_identity, "{rule:?}");
        assert_eq!(get("/").connection_matches(&rule), with_identity, "{rule:?}");
        assert_eq!(plain.matches(&rule), without, "{rule:?}");
    }
}

#[test]
fn operations() {
    let cases: [(fn(&mut Operation), _); 16] = [
        (|o| o.hosts = any([text("SHOP")]), YES),
        (|o| o.hosts = any([text("shop:8080")]), YES),
        (|o| o.hosts = any([text("shop:80")]), NO),
        (|o| o.hosts = any([text("*op")]), YES),
        (|o| o.hosts = any([text("Sh*")]), YES),
        (|o| o.hosts = none([text("shop")]), NO),
        (|o| o.methods = any([text("GET")]), YES),
        (|o| o.methods = any([text("get")]), NO),
        (|o| o.methods = any([text("*")]), YES),
        (|o| o.methods = none([text("POST")]), YES),
        (|o| o.paths = any([path("/a/b")]), YES),
        (|o| o.paths = any([path("/a*")]), YES),
        (|o| o.paths = any([path("*/b")]), YES),
        (|o| o.paths = any([path("/a")]), NO),
        (|o| o.paths = any([path("/{*}/b")]), YES),
        (|o| o.paths = none([path("/{**}")]), NO),
    ];
    for (set, expected) in cases {
        let mut operation = Operation::default();
        set(&mut operation);
        let rule = to(operation);
        assert_eq!(get("/a/b").matches(&rule), expected, "{rule:?}");
        // Of a connection, nobody knows.
        assert_eq!(get("/a/b").connection_matches(&rule), FAIL, "{rule:?}");
    }
    let port = |values| {
        to(Operation {
            ports: values,
            ..Operation::default()
        })
    };
    assert_eq!(get("/").matches(&port(any([80]))), YES);
    assert_eq!(get("/").connection_matches(&port(any([80]))), YES);
    assert_eq!(get("/").connection_matches(&port(any([8080]))), NO);
    assert_eq!(get("/").connection_matches(&port(none([80]))), NO);
}

#[test]
fn a_final_dot_does_not_lead_past_a_host() {
    let rule = to(Operation {
        hosts: any([text("shop")]),
        ..Operation::default()
    });
    for authority in ["shop", "shop.", "Shop.:8080", "SHOP"] {
        let sent = Sent {
            authority: authority.to_owned(),
            ..get("/")
        };
        assert_eq!(sent.matches(&rule), YES, "{authority}");
    }
}

#[test]
fn templates() {
    for (pattern, matching, others) in [
        (
            "/a/{*}/b",
            &["/a/x/b"][..],
            &["/a/b", "/a//b", "/a/x/y/b", "/a/x/b/"][..],
        ),
        ("/a/{**}", &["/a", "/a/", "/a/b", "/a/b/c"], &["/ab", "/", "/b/a"]),
        ("/{**}/b", &["/b", "/a/b", "/b/b"], &["/b/", "/b/c", "/ab"]),
        ("/{**}", &["/", "/a", "/a/b"], &["*", ""]),
        (
            "/a/{**}/c/{*}",
            &["/a/c/x", "/a/b/c/x", "/a/c/c/c"],
            &["/a/c", "/a/c/", "/c/x"],
        ),
        ("/{*}", &["/a"], &["/", "/a/", "/a/b"]),
    ] {
        let PathPattern::Template(segments) = path(pattern) else {
            panic!("{pattern} is a template")
        };
        let template = PathPattern::Template(segments);
        matching
            .iter()
            .for_each(|p| assert!(template.matches(p), "{pattern} {p}"));
        others
            .iter()
            .for_each(|p| assert!(!template.matches(p), "{pattern} {p}"));
    }
}

#[test]
fn a_long_path_costs_a_template_little() {
    let template = path("/{**}/a/{**}/a/{**}/b");
    let sent = get(&"/a".repeat(20_000));
    let rule = to(Operation {
        paths: any([template]),
        ..Operation::default()
    });
    assert_eq!(sent.matches(&rule), NO);
}

#[test]
fn conditions_on_headers() {
    let header = |values| {
        when(Condition::Text(
            TextAttribute::RequestHeader("x-user".into()),
            values,
        ))
    };
    let sent = get("/").header("x-user", "ann");
    assert_eq!(sent.matches(&header(any([text("ann")]))), YES);
    assert_eq!(sent.matches(&header(any([text("*")]))), YES);
    assert_eq!(sent.matches(&header(none([text("ann")]))), NO);
    assert_eq!(get("/").matches(&header(any([text("*")]))), NO);
    assert_eq!(get("/").matches(&header(none([text("*")]))), YES);
    assert_eq!(sent.connection_matches(&header(any([text("ann")]))), FAIL);
    assert_eq!(sent.connection_matches(&header(none([text("ann")]))), FAIL);
}

/// A second value must not hide the first one from a policy that keeps it out, nor help past one that lets few pass.
#[test]
fn several_values_of_a_header_never_widen() {
    let header = |values| {
        when(Condition::Text(
            TextAttribute::RequestHeader("x-user".into()),
            values,
        ))
    };
    let both = get("/").header("x-user", "ann").header("x-user", "bob");
    assert_eq!(both.matches(&header(any([text("ann")]))), FAIL);
    assert_eq!(both.matches(&header(any([text("ann,bob")]))), YES);
    assert_eq!(both.matches(&header(none([text("bob")]))), FAIL);
}

#[test]
fn conditions_on_tokens() {
    let sent = get("/").with_claims(json!({
        "iss": "https://idp", "sub": "ann", "aud": ["shop", "api"], "azp": "app",
        "groups": ["users", "admins"], "realm": {"role": "owner"}, "scope": "read write",
    }));
    let condition = |attribute, value| when(Condition::Text(attribute, any([text(value)])));
    let claim = |path: &[&str]| TextAttribute::Claim(path.iter().map(|p| (*p).into()).collect());
    for (attribute, value, expected) in [
        (TextAttribute::RequestPrincipal, "https://idp/ann", YES),
        (TextAttribute::RequestPrincipal, "https://idp/*", YES),
        (TextAttribute::RequestPrincipal, "https://idp/bob", NO),
        (TextAttribute::Audiences, "api", YES),
        (TextAttribute::Audiences, "other", NO),
        (TextAttribute::Presenter, "app", YES),
        (claim(&["groups"]), "admins", YES),
        (claim(&["groups"]), "adm*", YES),
        (claim(&["realm", "role"]), "owner", YES),
        (claim(&["realm", "role", "x"]), "owner", NO),
        (claim(&["scope"]), "write", YES),
        (claim(&["scope"]), "read write", NO),
    ] {
        let rule = condition(attribute, value);
        assert_eq!(sent.matches(&rule), expected, "{rule:?}");
        assert_eq!(get("/").matches(&rule), NO, "{rule:?}");
        assert_eq!(sent.connection_matches(&rule), FAIL, "{rule:?}");
    }
    let principal = from(Source {
        request_principals: none([text("*")]),
        ..Source::default()
    });
    assert_eq!(
        (sent.matches(&principal), get("/").matches(&principal)),
        (NO, YES)
    );
    let not_users = when(Condition::Text(claim(&["groups"]), none([text("users")])));
    assert_eq!(sent.matches(&not_users), NO);
}

#[test]
fn what_external_authorization_said() {
    let said = serde_json::json!({"tier": "gold", "groups": ["a", "b", 7], "n": 7});
    let sent = get("/").with_metadata(said);
    let of = |name: &str, values| when(Condition::Text(TextAttribute::ExternalAuth(name.into()), values));
    for (name, value, expected) in [
        ("tier", "gold", YES),
        ("tier", "go*", YES),
        ("tier", "silver", NO),
        ("groups", "b", YES),
        ("groups", "c", NO),
        // Envoy compares texts with texts only.
        ("n", "7", NO),
        ("groups", "7", NO),
        ("nothing", "*", NO),
    ] {
        let rule = of(name, any([text(value)]));
        assert_eq!(sent.matches(&rule), expected, "{rule:?}");
        assert_eq!(get("/").matches(&rule), NO, "nobody was asked: {rule:?}");
        assert_eq!(sent.connection_matches(&rule), FAIL, "{rule:?}");
    }
    let not_gold = of("tier", none([text("gold")]));
    assert_eq!((sent.matches(&not_gold), get("/").matches(&not_gold)), (NO, YES));
}

#[test]
fn other_conditions() {
    let sent = Sent {
        server_name: Some("Shop.Example".to_owned()),
        ..get("/")
    };
    let range = |range: &str| any([range.parse().unwrap()]);
    let of = |attribute, value| Condition::Text(attribute, any([text(value)]));
    for (condition, expected) in [
        (of(TextAttribute::SourceNamespace, "web"), YES),
        (of(TextAttribute::SourceServiceAccount, "web/front"), YES),
        (
            of(TextAttribute::SourcePrincipal, "cluster.local/ns/web/sa/front"),
            YES,
        ),
        (of(TextAttribute::SourceTrustDomain, "other"), NO),
        (of(TextAttribute::ServerName, "shop.example"), YES),
        (of(TextAttribute::ServerName, "*.EXAMPLE"), YES),
        (Condition::Ip(IpAttribute::Source, range("10.0.0.1/32")), YES),
        (Condition::Ip(IpAttribute::Remote, range("192.0.2.0/24")), YES),
        (
            Condition::Ip(IpAttribute::Destination, range("10.96.0.0/12")),
            YES,
        ),
        (Condition::Ip(IpAttribute::Destination, range("10.0.0.0/16")), NO),
        (Condition::DestinationPort(any([443, 80])), YES),
        (Condition::Unknown("experimental.envoy.filters.x".into()), FAIL),
    ] {
        let rule = when(condition);
        assert_eq!(sent.matches(&rule), expected, "{rule:?}");
        assert_eq!(sent.connection_matches(&rule), expected, "{rule:?}");
    }
}

#[test]
fn a_broken_part_narrows_what_lets_pass_and_widens_what_keeps_out() {
    let broken = || Values {
        broken: true,
        ..any([text("POST")])
    };
    let alone = to(Operation {
        methods: broken(),
        ..Operation::default()
    });
    assert_eq!(get("/").matches(&alone), FAIL);
    // The rest of the operation still counts.
    let with_path = |pattern| {
        to(Operation {
            methods: broken(),
            paths: any([path(pattern)]),
            ..Operation::default()
        })
    };
    assert_eq!(get("/a").matches(&with_path("/a")), FAIL);
    assert_eq!(get("/a").matches(&with_path("/b")), NO);
    // Another alternative is not touched.
    let mut two = with_path("/b");
    two.to.push(Operation {
        paths: any([path("/a")]),
        ..Operation::default()
    });
    assert_eq!(get("/a").matches(&two), YES);
}

#[test]
fn one_of_from_one_of_to_and_all_of_when() {
    let namespace = |ns: &str| Source {
        namespaces: any([text(ns)]),
        ..Source::default()
    };
    let method = |name: &str| Operation {
        methods: any([text(name)]),
        ..Operation::default()
    };
    let port = |port| Condition::DestinationPort(any([port]));
    let rule = |from: &[&str], to: &[&str], when: &[u16]| Rule {
        from: from.iter().map(|ns| namespace(ns)).collect(),
        to: to.iter().map(|name| method(name)).collect(),
        when: when.iter().map(|p| port(*p)).collect(),
    };
    for (rule, expected) in [
        (rule(&[], &[], &[]), YES),
        (rule(&["a", "web"], &["PUT", "GET"], &[80, 80]), YES),
        (rule(&["a", "b"], &["GET"], &[80]), NO),
        (rule(&["web"], &["PUT"], &[80]), NO),
        (rule(&["web"], &["GET"], &[80, 81]), NO),
    ] {
        assert_eq!(get("/").matches(&rule), expected, "{rule:?}");
    }
}
