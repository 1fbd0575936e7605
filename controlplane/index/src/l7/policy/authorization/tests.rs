use controlplane_k8s_api::{Kind, Object};
use mesh_model::l7::TextMatch;
use mesh_model::l7::authorization::{
    Action, Authorization, Condition, ExternalAuthProtocol, IpAttribute, PathPattern, Rule, Segment,
    TextAttribute,
};
use mesh_model::l7::policy::PolicyKind;

use crate::l7::policy::fixture::{Sent, object};

const KEY: &str = "AuthorizationPolicy/shop/p/authorization";

fn policy(spec: &str) -> String {
    let spec = format!("{{targetRef: {{kind: Service, name: web}}, {spec}}}");
    object("security.istio.io/v1", "AuthorizationPolicy", "shop/p", &spec)
}

fn authorization(sent: &Sent) -> &Authorization {
    match sent.kind(KEY) {
        PolicyKind::Authorization(authorization) => authorization,
        other => panic!("{other:?}"),
    }
}

fn rule(rule: &str) -> Rule {
    let sent = Sent::of(&policy(&format!("rules: [{rule}]")));
    let rules = &authorization(&sent).rules;
    assert_eq!(rules.len(), 1);
    rules[0].clone()
}

fn exact(text: &str) -> TextMatch {
    TextMatch::Exact(text.into())
}

#[test]
fn every_field_of_a_source() {
    let rule = rule(
        "{from: [{source: {principals: ['a/ns/x/sa/y', 'a/*'], notPrincipals: ['*z'], requestPrincipals: ['*'], namespaces: [n], notNamespaces: [m], ipBlocks: ['10.0.0.0/8', '::ffff:1.2.3.4'], notIpBlocks: [10.1.1.1], remoteIpBlocks: ['2001:db8::/32'], trustDomains: [td], notTrustDomains: [other]}}, {source: {serviceAccounts: [own, bank/teller]}}]}",
    );
    let [first, second] = rule.from.as_slice() else {
        panic!("{rule:?}")
    };
    assert_eq!(
        first.principals.any,
        [exact("a/ns/x/sa/y"), TextMatch::Prefix("a/".into())]
    );
    assert_eq!(first.principals.none, [TextMatch::Suffix("z".into())]);
    assert_eq!(first.request_principals.any, [TextMatch::Present]);
    assert_eq!(
        (&first.namespaces.any, &first.namespaces.none),
        (&vec![exact("n")], &vec![exact("m")])
    );
    let texts = |ranges: &[ipnet::IpNet]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&first.ips.any), ["10.0.0.0/8", "1.2.3.4/32"]);
    assert_eq!(texts(&first.ips.none), ["10.1.1.1/32"]);
    assert_eq!(texts(&first.remote_ips.any), ["2001:db8::/32"]);
    assert_eq!(first.trust_domains.any, [exact("td")]);
    assert_eq!(first.trust_domains.none, [exact("other")]);
    assert_eq!(
        second.service_accounts.any,
        [exact("shop/own"), exact("bank/teller")]
    );
}

#[test]
fn every_field_of_an_operation() {
    let rule = rule(
        "{to: [{operation: {hosts: [a.example.com, '*.b'], notHosts: [c], ports: ['80'], notPorts: ['81'], methods: [GET], notMethods: [PUT], paths: [/a, /b*, '*c', '/d/{*}/e/{**}'], notPaths: ['*']}}]}",
    );
    let operation = &rule.to[0];
    assert_eq!(
        operation.hosts.any,
        [exact("a.example.com"), TextMatch::Suffix(".b".into())]
    );
    assert_eq!(operation.hosts.none, [exact("c")]);
    assert_eq!(
        (&operation.ports.any, &operation.ports.none),
        (&vec![80], &vec![81])
    );
    assert_eq!(operation.methods.any, [exact("GET")]);
    let template = PathPattern::Template(vec![
        Segment::Literal("d".into()),
        Segment::One,
        Segment::Literal("e".into()),
        Segment::Many,
    ]);
    let text = PathPattern::Text;
    assert_eq!(
        operation.paths.any,
        [
            text(exact("/a")),
            text(TextMatch::Prefix("/b".into())),
            text(TextMatch::Suffix("c".into())),
            template
        ]
    );
    assert_eq!(operation.paths.none, [text(TextMatch::Present)]);
}

#[test]
fn every_attribute_of_a_condition() {
    use TextAttribute::{
        Audiences, Claim, Presenter, RequestHeader, RequestPrincipal, ServerName, SourceNamespace,
        SourcePrincipal, SourceServiceAccount, SourceTrustDomain,
    };
    for (key, expected) in [
        ("request.headers[X-Team]", RequestHeader("x-team".into())),
        ("source.namespace", SourceNamespace),
        ("source.principal", SourcePrincipal),
        ("source.trustDomain", SourceTrustDomain),
        ("request.auth.principal", RequestPrincipal),
        ("request.auth.audiences", Audiences),
        ("request.auth.presenter", Presenter),
        ("request.auth.claims[a][b]", Claim(vec!["a".into(), "b".into()])),
        ("connection.sni", ServerName),
    ] {
        let rule = rule(&format!(
            "{{when: [{{key: '{key}', values: [v*], notValues: [w]}}]}}"
        ));
        let Condition::Text(attribute, values) = &rule.when[0] else {
            panic!("{rule:?}")
        };
        assert_eq!(*attribute, expected);
        assert_eq!(values.any, [TextMatch::Prefix("v".into())]);
        assert_eq!(values.none, [exact("w")]);
    }
    let account = rule("{when: [{key: source.serviceAccount, values: [own]}]}");
    assert!(
        matches!(&account.when[0], Condition::Text(SourceServiceAccount, values) if values.any == [exact("shop/own")])
    );
    for (key, expected) in [
        ("source.ip", IpAttribute::Source),
        ("remote.ip", IpAttribute::Remote),
        ("destination.ip", IpAttribute::Destination),
    ] {
        let rule = rule(&format!("{{when: [{{key: {key}, values: [10.0.0.1]}}]}}"));
        assert!(
            matches!(&rule.when[0], Condition::Ip(ip, values) if *ip == expected && values.any.len() == 1)
        );
    }
    let port = rule("{when: [{key: destination.port, notValues: ['8080']}]}");
    assert!(matches!(&port.when[0], Condition::DestinationPort(values) if values.none == [8080]));
    for key in [
        "x",
        "http.ext_authz",
        "http.ext_authz[a][b]",
        "http.ext_authz[]",
        "network.mysql_proxy[a.b]",
    ] {
        let filter = rule(&format!(
            "{{when: [{{key: 'experimental.envoy.filters.{key}', values: [y]}}]}}"
        ));
        assert!(matches!(&filter.when[0], Condition::Unknown(_)), "{key}");
    }
    let said =
        rule("{when: [{key: 'experimental.envoy.filters.http.ext_authz[tier]', values: ['[v*]', w]}]}");
    let Condition::Text(TextAttribute::ExternalAuth(name), values) = &said.when[0] else {
        panic!("{said:?}")
    };
    assert_eq!(name, "tier");
    assert_eq!(values.any, [TextMatch::Prefix("v".into()), exact("w")]);
}

#[test]
fn actions_and_trials() {
    for (spec, action) in [
        ("rules: [{}]", Action::Allow),
        ("action: DENY, rules: [{}]", Action::Deny),
        ("action: AUDIT, rules: [{}]", Action::Audit),
    ] {
        let sent = Sent::of(&policy(spec));
        assert_eq!(authorization(&sent).action, action);
        assert!(!authorization(&sent).dry_run);
    }
    // An ALLOW policy without rules lets nothing pass.
    assert_eq!(authorization(&Sent::of(&policy(""))).rules, []);
    let trial = policy("rules: [{}]").replace(
        "namespace: shop",
        "namespace: shop, annotations: {istio.io/dry-run: 'true'}",
    );
    assert!(authorization(&Sent::of(&trial)).dry_run);
}

#[test]
fn principals_are_those_of_every_trust_domain_of_the_mesh() {
    let mesh = "{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {name: mesh, namespace: istio-system}, spec: {trustDomainAliases: [old.example.com]}}\n---\n";
    let spec = "rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b, old.example.com/ns/a/*, foreign/ns/a/sa/b, '*/sa/b']}}]}]";
    let sent = Sent::of(&(mesh.to_owned() + &policy(spec)));
    let principals = &authorization(&sent).rules[0].from[0].principals.any;
    assert_eq!(
        *principals,
        [
            exact("cluster.local/ns/a/sa/b"),
            exact("old.example.com/ns/a/sa/b"),
            TextMatch::Prefix("cluster.local/ns/a/".into()),
            TextMatch::Prefix("old.example.com/ns/a/".into()),
            exact("foreign/ns/a/sa/b"),
            TextMatch::Suffix("/sa/b".into()),
        ]
    );
}

/// Nobody can write such a policy into a file; other sources might bring one. Each part is told as broken, never left out:
/// without it, ALLOW would let more through.
#[test]
fn what_cannot_be_read_is_told_as_broken() {
    let valid = "rules: [{from: [{source: {principals: [a]}}], to: [{operation: {ports: ['80']}}], when: [{key: source.ip, values: [10.0.0.1]}]}]";
    type Breaking = fn(&mut controlplane_k8s_api::security::Rule);
    let breakings: [(Breaking, &str); 8] = [
        (|r| r.from[0].source.principals = vec!["".into()], "principals"),
        (
            |r| r.from[0].source.not_ip_blocks = vec!["x".into()],
            "notIpBlocks",
        ),
        (|r| r.from[0].source = <_>::default(), "from[0].source"),
        (
            |r| r.to[0].operation.ports = vec!["80".into(), "0".into()],
            "ports",
        ),
        (|r| r.to[0].operation.paths = vec!["/{x}".into()], "paths"),
        (|r| r.to[0].operation = <_>::default(), "to[0].operation"),
        (|r| r.when[0].values = Vec::new(), "values"),
        (|r| r.when[0].key = "source.colour".into(), "key"),
    ];
    for action in ["ALLOW", "DENY", "AUDIT"] {
        for (breaking, field) in &breakings {
            let mut sent = Sent::of("");
            sent.set_broken(&policy(&format!("action: {action}, {valid}")), |object| {
                let Object::AuthorizationPolicy(policy) = object else {
                    panic!()
                };
                breaking(&mut policy.spec.rules[0]);
            });
            let rule = &authorization(&sent).rules[0];
            let source = &rule.from[0];
            let operation = &rule.to[0];
            let when = match &rule.when[0] {
                Condition::Ip(_, values) => values.broken,
                Condition::Unknown(_) => true,
                _ => false,
            };
            let broken = [
                source.principals.broken,
                source.ips.broken,
                operation.ports.broken,
                operation.paths.broken,
                when,
            ];
            assert_eq!(broken.iter().filter(|b| **b).count(), 1, "{field}: {rule:?}");
            let told = sent.conditions(Kind::AuthorizationPolicy, "shop/p").join("\n");
            assert!(told.contains("spec.rules[0]") && told.contains(field), "{told}");
            let direction = if action == "ALLOW" {
                "allows nothing"
            } else {
                "more than it says"
            };
            assert!(told.contains(direction), "{told}");
            assert_eq!(
                sent.status(Kind::AuthorizationPolicy, "shop/p"),
                ["Service web: WaypointAccepted=true PartiallyInvalid"]
            );
        }
    }
}

#[test]
fn custom_policies_ask_a_provider_of_the_mesh() {
    let mesh = |providers: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{extensionProviders: [{providers}]}}}}\n---\n"
        )
    };
    let custom = policy("action: CUSTOM, provider: {name: who}, rules: [{}]");
    let mut sent = Sent::of(
        &(mesh(
            "{name: who, envoyExtAuthzGrpc: {service: api.shop.svc.cluster.local, port: 80, timeout: 1s, failOpen: true, statusOnError: '503', includeRequestBodyInCheck: {maxRequestBytes: 10, allowPartialMessage: true}}}",
        ) + &custom),
    );
    let Action::External(auth) = &authorization(&sent).action else {
        panic!("{:?}", authorization(&sent))
    };
    assert_eq!(
        auth.service.service.to_string(),
        "shop/api.shop.svc.cluster.local"
    );
    assert_eq!(
        (auth.timeout.as_secs(), auth.fail_open, auth.status_on_error),
        (1, true, 503)
    );
    assert_eq!(auth.protocol, ExternalAuthProtocol::Grpc);
    assert!(
        auth.body
            .is_some_and(|body| body.limit == 10 && body.allow_partial)
    );
    sent.set(&mesh("{name: who, envoyExtAuthzHttp: {service: bank/pay.example.com, port: 443, pathPrefix: /check, includeRequestHeadersInCheck: [X-A, 'x-b*'], includeAdditionalHeadersInCheck: {X-C: d}, headersToUpstreamOnAllow: [x-e], headersToDownstreamOnDeny: [x-f]}}"));
    let Action::External(auth) = &authorization(&sent).action else {
        panic!("{:?}", authorization(&sent))
    };
    assert_eq!(
        (auth.timeout.as_secs(), auth.fail_open, auth.status_on_error),
        (600, false, 403)
    );
    assert_eq!(auth.service.service.to_string(), "bank/pay.example.com");
    assert_eq!(
        auth.protocol,
        ExternalAuthProtocol::Http {
            path_prefix: "/check".into(),
            include_request_headers: vec![exact("x-a"), TextMatch::Prefix("x-b".into())],
            additional_headers: vec![("x-c".into(), "d".into())],
            upstream_headers_on_allow: vec![exact("x-e")],
            downstream_headers_on_allow: Vec::new(),
            downstream_headers_on_deny: vec![exact("x-f")],
        }
    );
    // Whoever cannot be asked lets nobody pass, whatever failOpen says.
    for providers in [
        "",
        "{name: who, prometheus: {}}",
        "{name: who, envoyExtAuthzGrpc: {service: nobody.example.com, port: 80, failOpen: true}}",
    ] {
        sent.set(&mesh(providers));
        assert_eq!(authorization(&sent).action, Action::ExternalUnknown("who".into()));
        let told = sent.conditions(Kind::AuthorizationPolicy, "shop/p").join("\n");
        assert!(told.contains("spec.provider.name"), "{told}");
    }
}

/// As `strictest` leaves it. What is broken matches nobody where a match lets in, and everybody where it keeps out.
#[test]
fn a_rule_that_is_not_understood_keeps_its_place_and_is_broken() {
    let unreadable = controlplane_k8s_api::security::Rule {
        unreadable: true,
        ..Default::default()
    };
    let around = super::Around {
        namespace: &"shop".into(),
        trust_domains: &[],
    };
    let mut problems = super::rule::Problems::new("spec.rules[0]".to_owned());
    let rule = super::rule::rule(&around, &unreadable, &mut problems);
    assert!(rule.from.len() == 1 && rule.from[0].principals.broken, "{rule:?}");
    let mut conditions = Vec::new();
    problems.tell(&Action::Allow, &mut conditions);
    assert!(conditions.is_empty(), "its status says it already");
}
