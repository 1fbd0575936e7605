use controlplane_k8s_api::Object;
use controlplane_k8s_api::security::{From, Operation, Rule, Source, To};

use super::*;
use crate::fixture::{Mesh, objects, pod, registered};

const ALICE: &str = "spiffe://cluster.local/ns/bank/sa/alice";
const EVE: &str = "spiffe://evil.example/ns/bank/sa/eve";

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: {namespace}}}, spec: {{{spec}}}}}\n---\n"
    )
}

fn with_pod(objects: &str) -> Mesh {
    let mut mesh = Mesh::of(&(objects.to_owned() + &pod("shop/web", "labels: {app: web}", "")));
    mesh.register("shop/web", registered("10.0.0.1"));
    mesh
}

/// Whether alice (port 80, port 81), eve (port 80) and somebody in plaintext (port 80) get through.
fn outcome(mesh: &Mesh) -> [bool; 4] {
    let admits = |who: Option<&str>, port: u16| mesh.admits("shop/web", who, "192.0.2.1", port);
    [
        admits(Some(ALICE), 80),
        admits(Some(ALICE), 81),
        admits(Some(EVE), 80),
        admits(None, 80),
    ]
}

const ALL: [bool; 4] = [true; 4];
const NONE: [bool; 4] = [false; 4];

fn check(spec: &str, expected: [bool; 4], reasons: &[ConditionReason]) {
    let mesh = with_pod(&policy("shop", spec));
    assert_eq!(outcome(&mesh), expected, "{spec}");
    assert_eq!(mesh.reasons("shop/p"), reasons, "{spec}");
}

#[test]
fn an_alias_of_the_trust_domain_is_this_mesh_for_node_proxies_too() {
    let aliases = |names: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, \
             spec: {{trustDomainAliases: [{names}]}}}}\n---\n"
        )
    };
    // Both an identity of the old name in a policy, and one of a peer that still has it.
    for (principal, without, with) in [
        ("old.example/ns/bank/sa/alice", NONE, [true, true, false, false]),
        ("cluster.local/ns/bank/sa/eve", NONE, [false, false, true, false]),
        (
            "cluster.local/ns/bank/*",
            [true, true, false, false],
            [true, true, true, false],
        ),
        ("other.example/ns/bank/sa/alice", NONE, NONE),
    ] {
        for field in [
            format!("from: [{{source: {{principals: [\"{principal}\"]}}}}]"),
            format!("when: [{{key: source.principal, values: [\"{principal}\"]}}]"),
        ] {
            let rules = format!("rules: [{{{field}}}]");
            let mut mesh = with_pod(&policy("shop", &rules));
            assert_eq!(outcome(&mesh), without, "{rules}");
            mesh.set(&aliases("old.example, evil.example"));
            assert_eq!(outcome(&mesh), with, "{rules}");
            mesh.remove(Kind::MeshConfig, "istio-system/mesh");
            assert_eq!(outcome(&mesh), without, "{rules}");
        }
    }
}

#[test]
fn l4_rules_mean_what_they_say() {
    for (rule, matches) in [
        ("{}", ALL),
        (
            "{from: [{source: {namespaces: [bank]}}]}",
            [true, true, true, false],
        ),
        (
            "{from: [{source: {principals: [cluster.local/ns/bank/sa/alice]}}]}",
            [true, true, false, false],
        ),
        (
            "{from: [{source: {principals: [\"cluster.local/*\"]}}]}",
            [true, true, false, false],
        ),
        (
            "{from: [{source: {principals: [\"*/sa/eve\"]}}]}",
            [false, false, true, false],
        ),
        (
            "{from: [{source: {principals: [\"*\"]}}]}",
            [true, true, true, false],
        ),
        (
            "{from: [{source: {notPrincipals: [\"*\"]}}]}",
            [false, false, false, true],
        ),
        (
            "{from: [{source: {serviceAccounts: [bank/alice]}}]}",
            [true, true, false, false],
        ),
        ("{from: [{source: {serviceAccounts: [alice]}}]}", NONE),
        ("{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}", ALL),
        ("{from: [{source: {notIpBlocks: [192.0.2.1]}}]}", NONE),
        (
            "{to: [{operation: {ports: [\"80\"]}}]}",
            [true, false, true, true],
        ),
        (
            "{to: [{operation: {notPorts: [\"80\"]}}]}",
            [false, true, false, false],
        ),
        (
            "{to: [{operation: {ports: [\"81\"]}}], from: [{source: {namespaces: [bank]}}]}",
            [false, true, false, false],
        ),
        (
            "{when: [{key: destination.port, values: [\"81\"]}]}",
            [false, true, false, false],
        ),
        (
            "{when: [{key: source.namespace, notValues: [bank]}]}",
            [false, false, false, true],
        ),
        (
            "{when: [{key: destination.ip, values: [10.0.0.0/8]}, {key: source.ip, values: [192.0.2.1]}]}",
            ALL,
        ),
        (
            "{when: [{key: source.principal, values: [\"*/sa/alice\"]}]}",
            [true, true, false, false],
        ),
    ] {
        check(&format!("rules: [{rule}]"), matches, &[]);
        check(
            &format!("action: DENY, rules: [{rule}]"),
            matches.map(|m| !m),
            &[],
        );
    }
    check("", NONE, &[]);
}

/// Istio's converter neither converts nor reports trust domains, so that a rule with another field beside them is wider
/// than written. An identity begins with its trust domain, so most of them can be enforced.
#[test]
fn trust_domains_are_enforced_and_never_widen() {
    let dropped = [ConditionReason::RuleDropped];
    let broadened = [ConditionReason::RuleBroadened];
    for (source, allowed, denied) in [
        (
            "trustDomains: [cluster.local]",
            Some([true, true, false, false]),
            [true, true, false, false],
        ),
        ("trustDomains: [cluster.loca]", Some(NONE), NONE),
        (
            "trustDomains: [\"cluster*\"]",
            Some([true, true, false, false]),
            [true, true, false, false],
        ),
        (
            "notTrustDomains: [cluster.local]",
            Some([false, false, true, true]),
            [false, false, true, true],
        ),
        (
            "namespaces: [bank], trustDomains: [cluster.local]",
            Some([true, true, false, false]),
            [true, true, false, false],
        ),
        (
            "namespaces: [bank], trustDomains: [\"*.example\"]",
            None,
            [true, true, true, false],
        ),
        (
            "principals: [\"*/sa/alice\"], trustDomains: [cluster.local]",
            None,
            [true, true, false, false],
        ),
        ("trustDomains: [\"*.example\"]", None, ALL),
    ] {
        let rule = format!("rules: [{{from: [{{source: {{{source}}}}}]}}]");
        let reasons: &[_] = if allowed.is_some() { &[] } else { &dropped };
        check(&rule, allowed.unwrap_or(NONE), reasons);
        let reasons: &[_] = if allowed.is_some() { &[] } else { &broadened };
        check(&format!("action: DENY, {rule}"), denied.map(|d| !d), reasons);
    }
}

/// A DENY rule loses what only a waypoint sees and denies more; one with nothing else denies nothing (as istiod's does).
#[test]
fn request_attributes_never_let_more_through_than_written() {
    use ConditionReason::{RuleBroadened, RuleDropped, RuleWithoutEffect};
    for (rule, denied, reason) in [
        ("{to: [{operation: {methods: [GET]}}]}", NONE, RuleWithoutEffect),
        (
            "{to: [{operation: {paths: [/a], ports: [\"80\"]}}]}",
            [true, false, true, true],
            RuleBroadened,
        ),
        (
            "{to: [{operation: {methods: [GET]}}], from: [{source: {namespaces: [bank]}}]}",
            [true, true, true, false],
            RuleBroadened,
        ),
        (
            "{from: [{source: {requestPrincipals: [\"*\"]}}]}",
            NONE,
            RuleWithoutEffect,
        ),
        (
            "{from: [{source: {remoteIpBlocks: [10.0.0.0/8], namespaces: [bank]}}]}",
            [true, true, true, false],
            RuleBroadened,
        ),
        (
            "{when: [{key: \"request.headers[x]\", values: [y]}]}",
            NONE,
            RuleWithoutEffect,
        ),
        (
            "{when: [{key: request.auth.principal, values: [y]}], to: [{operation: {ports: [\"81\"]}}]}",
            [false, true, false, false],
            RuleBroadened,
        ),
        (
            "{to: [{operation: {hosts: [x]}}, {operation: {ports: [\"80\"]}}]}",
            [true, false, true, true],
            RuleBroadened,
        ),
    ] {
        check(&format!("rules: [{rule}]"), NONE, &[RuleDropped]);
        check(
            &format!("action: DENY, rules: [{rule}]"),
            denied.map(|d| !d),
            &[reason],
        );
    }
    check(
        "rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {ports: [\"80\"]}}]}]",
        [true, false, true, true],
        &[RuleDropped],
    );
}

/// Files with malformed values are refused before; other sources may not be so careful. Istio skips such values.
#[test]
fn malformed_values_drop_allow_rules_and_broaden_deny_rules() {
    let operation = |ports: &[&str], not_ports: &[&str]| Rule {
        to: vec![To {
            operation: Operation {
                ports: ports.iter().map(|p| (*p).into()).collect(),
                not_ports: not_ports.iter().map(|p| (*p).into()).collect(),
                ..Operation::default()
            },
        }],
        ..Rule::default()
    };
    let source = |blocks: &[&str], namespaces: &[&str]| Rule {
        from: vec![From {
            source: Source {
                ip_blocks: blocks.iter().map(|p| (*p).into()).collect(),
                namespaces: namespaces.iter().map(|p| (*p).into()).collect(),
                ..Source::default()
            },
        }],
        ..Rule::default()
    };
    for (rule, denied) in [
        (operation(&["80800"], &[]), ALL),
        (operation(&["80800", "81"], &[]), ALL),
        (operation(&["+80"], &["80"]), [false, true, false, false]),
        (operation(&["80"], &["x"]), [true, false, true, true]),
        (source(&["10.0.0.0/33"], &[]), ALL),
        (
            source(&["10.0.0.0/33", "10.0.0.0/8"], &["bank"]),
            [true, true, true, false],
        ),
        (source(&[], &[""]), ALL),
    ] {
        for (action, text, expected) in [
            (security::Action::Allow, "ALLOW, rules: []", NONE),
            (security::Action::Deny, "DENY, rules: [{}]", denied.map(|d| !d)),
        ] {
            let mut object = objects(&policy("shop", &format!("action: {text}"))).remove(0);
            let Object::AuthorizationPolicy(p) = &mut object else {
                panic!("an AuthorizationPolicy");
            };
            assert_eq!(p.spec.action, action);
            p.spec.rules = vec![rule.clone()];
            let mut mesh = with_pod("");
            mesh.apply(vec![crate::ObjectChange::Set(object)]);
            assert_eq!(outcome(&mesh), expected, "{action:?} {rule:?}");
            assert_eq!(mesh.reasons("shop/p").len(), 1);
        }
    }
}

#[test]
fn scope_follows_from_selector_and_namespace() {
    let rules = "action: DENY, rules: [{}]";
    for (namespace, selector, scope, hit) in [
        ("shop", "", Scope::Namespace, true),
        ("shop", "selector: {}, ", Scope::Namespace, true),
        ("bank", "", Scope::Namespace, false),
        ("istio-system", "", Scope::Global, true),
        (
            "shop",
            "selector: {matchLabels: {app: web}}, ",
            Scope::WorkloadSelector,
            true,
        ),
        (
            "shop",
            "selector: {matchLabels: {app: web, other: x}}, ",
            Scope::WorkloadSelector,
            false,
        ),
        (
            "bank",
            "selector: {matchLabels: {app: web}}, ",
            Scope::WorkloadSelector,
            false,
        ),
        (
            "istio-system",
            "selector: {matchLabels: {app: web}}, ",
            Scope::WorkloadSelector,
            true,
        ),
    ] {
        let mesh = with_pod(&policy(namespace, &format!("{selector}{rules}")));
        assert_eq!(mesh.policy(&format!("{namespace}/p")).scope, scope);
        assert_eq!(
            outcome(&mesh),
            if hit { NONE } else { ALL },
            "{namespace} {selector}"
        );
    }
}

#[test]
fn policies_that_are_not_sent_are_not_listed() {
    use ConditionReason::{NotForNodeProxy, Unsupported};
    let selector = "selector: {matchLabels: {app: web}}, ";
    for (spec, reason) in [
        (format!("{selector}action: AUDIT, rules: [{{}}]"), Unsupported),
        (
            format!("{selector}action: CUSTOM, provider: {{name: x}}, rules: [{{}}]"),
            Unsupported,
        ),
        (
            "targetRef: {kind: Service, name: x}, action: DENY, rules: [{}]".to_owned(),
            NotForNodeProxy,
        ),
    ] {
        let mesh = with_pod(&policy("shop", &spec));
        assert!(mesh.policies.is_empty() && mesh.pod("shop/web").authorization_policies.is_empty());
        // What waypoints make of it comes behind.
        assert_eq!(mesh.reasons("shop/p")[0], reason);
        assert_eq!(outcome(&mesh), ALL);
    }
}

#[test]
fn dry_run_is_sent_only_where_proxies_know_it() {
    let spec = "selector: {matchLabels: {app: web}}, action: DENY, rules: [{}]";
    let dry = policy("shop", spec).replace(
        "metadata: {",
        "metadata: {annotations: {istio.io/dry-run: \"true\"}, ",
    );
    let mesh = with_pod(&dry);
    assert!(mesh.policies.is_empty() && mesh.pod("shop/web").authorization_policies.is_empty());
    assert_eq!(mesh.reasons("shop/p"), [ConditionReason::Unsupported]);
    let config = MeshConfig {
        dry_run_policies: true,
        ..MeshConfig::default()
    };
    let mesh = Mesh::with(config, &dry);
    assert!(mesh.policy("shop/p").dry_run);
}

#[test]
fn edited_rule_tells_the_policy_and_no_workload() {
    let spec = |port: &str| {
        format!(
            "selector: {{matchLabels: {{app: web}}}}, rules: [{{to: [{{operation: {{ports: [\"{port}\"]}}}}]}}]"
        )
    };
    let mut mesh = with_pod(&policy("shop", &spec("80")));
    let before = mesh.index.workload_computations();
    mesh.set(&policy("shop", &spec("81")));
    assert_eq!((mesh.told, mesh.index.workload_computations() - before), (1, 0));
    assert_eq!(outcome(&mesh), [false, true, false, false]);
}

/// As `strictest` leaves it; that it is there keeps the others' places.
#[test]
fn a_rule_that_is_not_understood_allows_nobody_or_denies_everybody() {
    let unreadable = Rule {
        unreadable: true,
        ..Rule::default()
    };
    let around = rule::Around {
        namespace: &"shop".into(),
        trust_domains: &[],
    };
    let converted = |action| {
        let mut conditions = Vec::new();
        let converted = rule::convert(action, around, &unreadable, "spec.rules[0]", &mut conditions);
        assert!(conditions.is_empty(), "{conditions:?}");
        converted
    };
    assert_eq!(converted(Action::Allow), None);
    assert_eq!(converted(Action::Deny), Some(mesh_model::policy::Rule::default()));
}
