//! AuthorizationPolicy, key by key: what is written, and which requests and connections pass.

use serde_json::json;

use crate::harness::{Ask, Together};
use crate::tokens::{authentication, token};

/// A policy of the service `web`.
fn policy(name: &str, action: &str, rules: &str) -> String {
    policy_with(name, "", action, rules)
}

fn policy_with(name: &str, annotations: &str, action: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop, \
         annotations: {{{annotations}}}}}, spec: {{targetRefs: [{{group: '', kind: Service, name: web}}], \
         action: {action}, rules: {rules}}}}}"
    )
}

/// A request: path, and changes of it.
type Change = for<'a> fn(Ask<'a>) -> Ask<'a>;

fn passes(mesh: &Together, change: Change) -> bool {
    let answer = change(mesh.get("/a/b?q=1")).send();
    match answer.status {
        200 => true,
        403 if answer.body == "RBAC: access denied" && answer.by().is_empty() => false,
        other => panic!("{other}: {}", answer.body),
    }
}

/// One row: a rule, and requests with whether it matches them.
struct Row(&'static str, &'static [(Change, bool)]);

/// Each row as ALLOW and as DENY: what matches passes with the one and is refused with the other.
fn hold(mesh: &Together, rows: &[Row]) {
    for Row(rule, requests) in rows {
        for (action, matched_passes) in [("ALLOW", true), ("DENY", false)] {
            mesh.apply(&policy("row", action, &format!("[{{{rule}}}]")));
            assert!(
                mesh.holds("AuthorizationPolicy", "row", "WaypointAccepted"),
                "{rule}"
            );
            for (n, (change, matches)) in requests.iter().enumerate() {
                let expected = *matches == matched_passes;
                assert_eq!(passes(mesh, *change), expected, "{action} {rule}, request {n}");
            }
        }
    }
}

const SAME: Change = |ask| ask;
const OTHER: Change = |ask| ask.from("other");
const BANK: Change = |ask| ask.from("bank/client");

// row: AuthorizationPolicy rules.from.source
#[test]
fn sources() {
    let mesh = Together::shop("");
    hold(
        &mesh,
        &[
            Row(
                "from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]",
                &[(SAME, true), (OTHER, false), (BANK, false)],
            ),
            Row(
                "from: [{source: {principals: ['cluster.local/ns/shop/*']}}]",
                &[(SAME, true), (OTHER, true), (BANK, false)],
            ),
            Row(
                "from: [{source: {principals: ['*/sa/client']}}]",
                &[(SAME, true), (OTHER, false), (BANK, true)],
            ),
            Row(
                "from: [{source: {principals: ['*']}}]",
                &[(SAME, true), (BANK, true)],
            ),
            Row(
                "from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/client]}}]",
                &[(SAME, false), (OTHER, true)],
            ),
            Row(
                "from: [{source: {namespaces: [shop]}}]",
                &[(SAME, true), (BANK, false)],
            ),
            Row(
                "from: [{source: {namespaces: ['ba*']}}]",
                &[(SAME, false), (BANK, true)],
            ),
            Row(
                "from: [{source: {namespaces: ['*'], notNamespaces: [bank]}}]",
                &[(SAME, true), (BANK, false)],
            ),
            Row(
                "from: [{source: {serviceAccounts: [client]}}]",
                &[(SAME, true), (OTHER, false), (BANK, false)],
            ),
            Row(
                "from: [{source: {serviceAccounts: [bank/client]}}]",
                &[(SAME, false), (BANK, true)],
            ),
            Row(
                "from: [{source: {notServiceAccounts: [shop/client]}}]",
                &[(SAME, false), (BANK, true)],
            ),
            Row(
                "from: [{source: {trustDomains: [cluster.local]}}]",
                &[(SAME, true)],
            ),
            Row(
                "from: [{source: {notTrustDomains: [cluster.local]}}]",
                &[(SAME, false)],
            ),
            Row("from: [{source: {ipBlocks: [127.0.0.0/8]}}]", &[(SAME, true)]),
            Row(
                "from: [{source: {ipBlocks: [10.0.0.0/8, '::1']}}]",
                &[(SAME, false)],
            ),
            Row("from: [{source: {notIpBlocks: [127.0.0.1]}}]", &[(SAME, false)]),
            // What the client says of itself is not where it is.
            Row(
                "from: [{source: {remoteIpBlocks: [9.9.9.9]}}]",
                &[
                    (SAME, false),
                    (|ask| ask.header("x-forwarded-for", "9.9.9.9"), false),
                ],
            ),
            Row(
                "from: [{source: {remoteIpBlocks: [127.0.0.0/8]}}]",
                &[
                    (SAME, true),
                    (|ask| ask.header("x-forwarded-for", "9.9.9.9"), true),
                ],
            ),
            Row(
                "from: [{source: {notRemoteIpBlocks: [127.0.0.0/8]}}]",
                &[(SAME, false)],
            ),
            // Several of one list, and several sources, are alternatives; fields of one source are not.
            Row(
                "from: [{source: {namespaces: [bank]}}, {source: {serviceAccounts: [nobody, other]}}]",
                &[(SAME, false), (OTHER, true), (BANK, true)],
            ),
            Row(
                "from: [{source: {namespaces: [shop], trustDomains: [elsewhere]}}]",
                &[(SAME, false), (BANK, false)],
            ),
        ],
    );
}

// row: AuthorizationPolicy rules.to.operation
#[test]
fn operations() {
    let mesh = Together::shop("");
    hold(
        &mesh,
        &[
            Row(
                "to: [{operation: {hosts: [Shop.Example]}}]",
                &[
                    (SAME, false),
                    (|ask| ask.host("shop.example"), true),
                    (|ask| ask.host("SHOP.example"), true),
                    (|ask| ask.host("shop.example:80"), true),
                    (|ask| ask.host("shop.example."), true),
                    (|ask| ask.host("my.shop.example"), false),
                ],
            ),
            Row(
                "to: [{operation: {hosts: ['*.example']}}]",
                &[(SAME, false), (|ask| ask.host("shop.example"), true)],
            ),
            Row(
                "to: [{operation: {hosts: ['shop.example:*']}}]",
                &[
                    (|ask| ask.host("shop.example:8080"), true),
                    (|ask| ask.host("shop.example"), false),
                ],
            ),
            Row(
                "to: [{operation: {notHosts: ['shop.*']}}]",
                &[(SAME, true), (|ask| ask.host("shop.example"), false)],
            ),
            Row("to: [{operation: {ports: ['80']}}]", &[(SAME, true)]),
            Row("to: [{operation: {ports: ['8080', '81']}}]", &[(SAME, false)]),
            Row("to: [{operation: {notPorts: ['80']}}]", &[(SAME, false)]),
            Row("to: [{operation: {methods: [GET]}}]", &[(SAME, true)]),
            Row("to: [{operation: {methods: [get]}}]", &[(SAME, false)]),
            Row("to: [{operation: {methods: [POST, 'P*']}}]", &[(SAME, false)]),
            Row("to: [{operation: {notMethods: [GET]}}]", &[(SAME, false)]),
            // The query is no part of a path.
            Row("to: [{operation: {paths: [/a/b]}}]", &[(SAME, true)]),
            Row("to: [{operation: {paths: ['/a/b?q=1', /A/B]}}]", &[(SAME, false)]),
            Row("to: [{operation: {paths: ['/a/*']}}]", &[(SAME, true)]),
            Row("to: [{operation: {paths: ['*/b']}}]", &[(SAME, true)]),
            Row("to: [{operation: {paths: ['*']}}]", &[(SAME, true)]),
            Row("to: [{operation: {notPaths: ['/a/*']}}]", &[(SAME, false)]),
            Row("to: [{operation: {paths: ['/{*}/b']}}]", &[(SAME, true)]),
            Row("to: [{operation: {paths: ['/{*}']}}]", &[(SAME, false)]),
            Row("to: [{operation: {paths: ['/{**}']}}]", &[(SAME, true)]),
            Row("to: [{operation: {paths: ['/a/{**}/c']}}]", &[(SAME, false)]),
            Row("to: [{operation: {notPaths: ['/a/{*}']}}]", &[(SAME, false)]),
            Row(
                "to: [{operation: {methods: [POST]}}, {operation: {paths: [/a/b], ports: ['80']}}]",
                &[(SAME, true)],
            ),
            Row(
                "to: [{operation: {methods: [POST], paths: [/a/b]}}]",
                &[(SAME, false)],
            ),
        ],
    );
}

// row: AuthorizationPolicy rules.when
#[test]
fn conditions_without_a_token() {
    let mesh = Together::shop("");
    const ONE: Change = |ask| ask.header("x-a", "one");
    const BOTH: Change = |ask| ask.header("x-a", "one").header("x-a", "two");
    hold(
        &mesh,
        &[
            Row(
                "when: [{key: 'request.headers[X-A]', values: [one]}]",
                &[(SAME, false), (ONE, true)],
            ),
            Row(
                "when: [{key: 'request.headers[x-a]', values: ['o*']}]",
                &[(SAME, false), (ONE, true)],
            ),
            Row(
                "when: [{key: 'request.headers[x-a]', values: ['*ne']}]",
                &[(SAME, false), (ONE, true)],
            ),
            Row(
                "when: [{key: 'request.headers[x-a]', values: ['*']}]",
                &[(SAME, false), (BOTH, true)],
            ),
            Row(
                "when: [{key: 'request.headers[x-a]', notValues: [one]}]",
                &[(SAME, true), (ONE, false)],
            ),
            Row(
                "when: [{key: source.namespace, values: [shop]}]",
                &[(SAME, true), (BANK, false)],
            ),
            Row(
                "when: [{key: source.principal, values: [cluster.local/ns/bank/sa/client]}]",
                &[(SAME, false), (BANK, true)],
            ),
            Row(
                "when: [{key: source.serviceAccount, values: [shop/other]}]",
                &[(SAME, false), (OTHER, true)],
            ),
            Row(
                "when: [{key: source.trustDomain, notValues: [elsewhere]}]",
                &[(SAME, true)],
            ),
            Row("when: [{key: source.ip, values: [127.0.0.1]}]", &[(SAME, true)]),
            Row(
                "when: [{key: source.ip, notValues: [127.0.0.0/8]}]",
                &[(SAME, false)],
            ),
            Row("when: [{key: remote.ip, values: [10.0.0.0/8]}]", &[(SAME, false)]),
            Row(
                "when: [{key: remote.ip, notValues: [10.0.0.0/8]}]",
                &[(SAME, true)],
            ),
            Row(
                "when: [{key: destination.ip, values: [10.96.0.0/16]}]",
                &[(SAME, true)],
            ),
            Row(
                "when: [{key: destination.ip, values: [10.97.0.0/16]}]",
                &[(SAME, false)],
            ),
            Row("when: [{key: destination.port, values: ['80']}]", &[(SAME, true)]),
            Row(
                "when: [{key: destination.port, notValues: ['80', '443']}]",
                &[(SAME, false)],
            ),
            // Several conditions must all hold.
            Row(
                "when: [{key: destination.port, values: ['80']}, {key: 'request.headers[x-a]', values: [one]}]",
                &[(SAME, false), (ONE, true)],
            ),
        ],
    );
    // Several values of one header: where that keeps a request out, each of them counts.
    mesh.apply(&policy(
        "row",
        "ALLOW",
        "[{when: [{key: 'request.headers[x-a]', values: [one]}]}]",
    ));
    assert!(!passes(&mesh, BOTH));
    mesh.apply(&policy(
        "row",
        "DENY",
        "[{when: [{key: 'request.headers[x-a]', values: [one]}]}]",
    ));
    assert!(!passes(&mesh, BOTH));
}

#[test]
fn conditions_on_tokens() {
    let mesh = Together::shop("");
    mesh.apply(&authentication("audiences: [shop]"));
    let claims = json!({
        "aud": ["shop", "bank"], "azp": "app", "groups": ["admin", "staff"], "nested": {"deep": {"role": "owner"}},
        "scope": "read write", "flag": true, "https://example.com/tenant": "acme",
    });
    let good = token(claims);
    // What the claims say, and whether a request with the token has it.
    for (condition, with) in [
        (
            "key: request.auth.principal, values: ['https://issuer.example/bob']",
            true,
        ),
        ("key: request.auth.principal, values: ['*']", true),
        (
            "key: request.auth.principal, values: ['https://issuer.example/al*']",
            false,
        ),
        ("key: request.auth.audiences, values: [bank]", true),
        ("key: request.auth.audiences, values: [other]", false),
        ("key: request.auth.presenter, values: [app]", true),
        ("key: 'request.auth.claims[groups]', values: [staff]", true),
        ("key: 'request.auth.claims[groups]', values: [guest]", false),
        (
            "key: 'request.auth.claims[nested][deep][role]', values: [owner]",
            true,
        ),
        ("key: 'request.auth.claims[nested][role]', values: ['*']", false),
        ("key: 'request.auth.claims[scope]', values: [write]", true),
        (
            "key: 'request.auth.claims[https://example.com/tenant]', values: [acme]",
            true,
        ),
        ("key: 'request.auth.claims[sub]', values: ['b*']", true),
    ] {
        for (action, matched_passes) in [("ALLOW", true), ("DENY", false)] {
            mesh.apply(&policy("row", action, &format!("[{{when: [{{{condition}}}]}}]")));
            let status = |token: Option<&str>| {
                let mut ask = mesh.get("/a/b");
                if let Some(token) = token {
                    ask = ask.header("authorization", &format!("Bearer {token}"));
                }
                ask.send().status
            };
            let expected = |matches| if matches == matched_passes { 200 } else { 403 };
            assert_eq!(status(Some(&good)), expected(with), "{action} {condition}");
            assert_eq!(
                status(None),
                expected(false),
                "{action} {condition}, without a token"
            );
        }
    }
    for (source, with) in [
        ("requestPrincipals: ['https://issuer.example/*']", true),
        ("requestPrincipals: [nobody]", false),
        ("notRequestPrincipals: ['https://issuer.example/bob']", false),
    ] {
        mesh.apply(&policy(
            "row",
            "ALLOW",
            &format!("[{{from: [{{source: {{{source}}}}}]}}]"),
        ));
        let answer = mesh
            .get("/")
            .header("authorization", &format!("Bearer {good}"))
            .send();
        assert_eq!(answer.status, if with { 200 } else { 403 }, "{source}");
    }
}

// row: AuthorizationPolicy action
#[test]
fn the_order_of_actions_and_what_a_record_says() {
    let mesh = Together::shop("");
    // Without any policy everything passes; an ALLOW policy without rules lets nothing pass.
    assert!(passes(&mesh, SAME));
    mesh.apply(&policy("nothing", "ALLOW", "[]"));
    assert!(!passes(&mesh, SAME));
    // One of several ALLOW policies is enough; a DENY policy comes before all of them.
    mesh.apply(&policy(
        "some",
        "ALLOW",
        "[{to: [{operation: {paths: ['/x']}}]}, {to: [{operation: {paths: ['/a/*']}}]}]",
    ));
    assert!(passes(&mesh, SAME));
    let never = "[{to: [{operation: {paths: ['/never']}}]}, {to: [{operation: {methods: [GET]}}]}]";
    mesh.apply(&policy("no-get", "DENY", never));
    assert!(!passes(&mesh, SAME));
    mesh.apply(&policy(
        "watch",
        "AUDIT",
        "[{to: [{operation: {methods: [GET]}}]}]",
    ));
    assert!(!passes(&mesh, SAME));
    mesh.remove("AuthorizationPolicy", "no-get");
    assert!(passes(&mesh, SAME));
    // Workers write by themselves: the order of lines is not that of requests.
    let log = mesh.log(6);
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(lines("rbac_access_denied_matched_policy[none]"), 1, "{log:#?}");
    assert_eq!(
        lines("rbac_access_denied_matched_policy[ns[shop]-policy[no-get]-rule[1]]"),
        2,
        "{log:#?}"
    );
    assert_eq!(lines(" 200 - via_upstream "), 3, "{log:#?}");
    // gRPC is told in its own words.
    mesh.apply(&policy(
        "no-post",
        "DENY",
        "[{to: [{operation: {methods: [POST]}}]}]",
    ));
    let end = mesh.grpc("/a.B/C").send();
    assert_eq!((end.code, end.message.as_str()), (7, "RBAC: access denied"));
}

#[test]
fn a_policy_on_trial_is_told_and_counted_and_decides_nothing() {
    let mesh = Together::shop("");
    let trial = "istio.io/dry-run: 'true'";
    mesh.apply(&policy_with(
        "trial",
        trial,
        "DENY",
        "[{to: [{operation: {methods: [GET]}}]}]",
    ));
    mesh.apply(&policy_with(
        "narrow",
        trial,
        "ALLOW",
        "[{to: [{operation: {methods: [POST]}}]}]",
    ));
    assert!(passes(&mesh, SAME));
    let metrics = mesh.metrics();
    let counted = "lateen_waypoint_authorization_dry_run_total{would=\"deny\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    // A policy that is in force decides all the same.
    mesh.apply(&policy("real", "DENY", "[{to: [{operation: {methods: [GET]}}]}]"));
    assert!(!passes(&mesh, SAME));
}

#[test]
fn connections_are_judged_by_what_is_known_of_them() {
    let mesh = Together::shop("");
    let greeted = |account: &str| mesh.connect_as(account, "web:9000").read_until("\n");
    assert!(greeted("client").starts_with("web-v"));
    for (action, rule, client, other) in [
        (
            "ALLOW",
            "from: [{source: {serviceAccounts: [client]}}]",
            true,
            false,
        ),
        (
            "DENY",
            "from: [{source: {serviceAccounts: [client]}}]",
            false,
            true,
        ),
        ("ALLOW", "to: [{operation: {ports: ['9000']}}]", true, true),
        ("DENY", "to: [{operation: {ports: ['80']}}]", true, true),
        // What only requests have: an ALLOW never matches by it, a DENY does without it, and is wider.
        ("ALLOW", "to: [{operation: {paths: ['/a']}}]", false, false),
        ("ALLOW", "to: [{operation: {notMethods: [GET]}}]", false, false),
        ("DENY", "to: [{operation: {paths: ['/a']}}]", false, false),
        (
            "DENY",
            "from: [{source: {serviceAccounts: [client]}}], to: [{operation: {methods: [GET]}}]",
            false,
            true,
        ),
        (
            "DENY",
            "when: [{key: 'request.headers[x]', values: [y]}, {key: source.namespace, values: [bank]}]",
            true,
            true,
        ),
        (
            "DENY",
            "when: [{key: 'request.auth.claims[a]', values: [y]}]",
            false,
            false,
        ),
    ] {
        mesh.apply(&policy("row", action, &format!("[{{{rule}}}]")));
        for (account, expected) in [("client", client), ("other", other)] {
            let passed = !greeted(account).is_empty();
            assert_eq!(passed, expected, "{action} {rule}, {account}");
        }
    }
    // The name of the handshake.
    mesh.apply(&policy(
        "row",
        "DENY",
        "[{when: [{key: connection.sni, values: ['*.secret.example']}]}]",
    ));
    let shake = |name: &str| mesh.connect("web:443").tls(name, &[]).is_ok();
    assert!(shake("web.example"));
    assert!(!shake("a.secret.example"));
}

#[test]
fn what_cannot_be_read_makes_an_allow_narrower_and_a_deny_wider() {
    let mesh = Together::shop("");
    // `experimental.envoy.filters` is about what is not here.
    for rule in ["when: [{key: experimental.envoy.filters.network.mysql_proxy, values: [a]}]"] {
        for (action, expected) in [("ALLOW", false), ("DENY", false)] {
            let applied = mesh.try_apply(&policy("row", action, &format!("[{{{rule}}}]")));
            assert!(applied.is_ok(), "{applied:?}");
            assert_eq!(passes(&mesh, SAME), expected, "{action} {rule}");
        }
    }
    // What is no policy at all leaves the last good one in force.
    let wrong = mesh.try_apply(&policy(
        "row",
        "DENY",
        "[{when: [{key: 'request.header[x]', values: [a]}]}]",
    ));
    let wrong = wrong.expect_err("there is no such attribute");
    assert!(wrong[0].contains("spec.rules[0].when[0].key"), "{wrong:?}");
    assert!(!passes(&mesh, SAME));
}
