mod oracle;

use std::sync::Arc;

use mesh_types::{Identity, PortSet};

use super::{Connection, Decision, DenyReason, DryRun, PolicyGroup, PolicySet, RuleRef, Verdict, evaluate};
use crate::Authorization;
use crate::fixtures::{Dice, exact, identity, policy, rule, strict};
use crate::policy::{Action, Clause, Match, Rule, ServiceAccountMatch, StringMatch};

fn plaintext() -> Connection<'static> {
    Connection {
        source: None,
        source_ip: "10.0.0.1".parse().unwrap(),
        destination_ip: "10.0.0.2".parse().unwrap(),
        destination_port: 8080,
    }
}

fn from(source: &Identity) -> Connection<'_> {
    Connection {
        source: Some(source),
        ..plaintext()
    }
}

fn set(policies: impl IntoIterator<Item = Authorization>) -> PolicySet {
    PolicySet {
        groups: vec![Arc::new(PolicyGroup::compile(policies.into_iter().map(Arc::new)))],
        unknown: Vec::new(),
    }
}

/// Whether an ALLOW policy of these rules lets the connection pass.
fn allows(rules: Vec<Rule>, connection: &Connection<'_>) -> bool {
    evaluate(connection, &set([policy("ns/p", Action::Allow, rules)])).is_allowed()
}

fn matches(m: Match, connection: &Connection<'_>) -> bool {
    allows(vec![rule(m)], connection)
}

fn place(policy: &str, rule: usize) -> RuleRef {
    RuleRef {
        policy: policy.parse().unwrap(),
        rule,
    }
}

fn on_port(port: u16) -> Match {
    Match {
        destination_ports: vec![port],
        ..Match::default()
    }
}

#[test]
fn without_policies_everything_passes() {
    let decision = evaluate(&plaintext(), &PolicySet::default());
    assert_eq!(decision.verdict, Verdict::Allow { by: None });
}

#[test]
fn a_policy_without_rules_never_matches() {
    assert!(!allows(Vec::new(), &plaintext()));
    let deny = set([policy("ns/p", Action::Deny, Vec::new())]);
    assert!(evaluate(&plaintext(), &deny).is_allowed());
}

#[test]
fn a_rule_without_clauses_matches_everything() {
    assert!(allows(vec![Rule::default()], &plaintext()));
}

#[test]
fn a_clause_without_matches_is_true_and_a_match_without_values_is_skipped() {
    let clause_without_matches = Rule {
        clauses: vec![Clause::default()],
    };
    assert!(allows(vec![clause_without_matches], &plaintext()));
    assert!(!matches(Match::default(), &plaintext()));
    let beside_another = Rule {
        clauses: vec![Clause {
            matches: vec![Match::default(), on_port(8080)],
        }],
    };
    assert!(allows(vec![beside_another], &plaintext()));
}

#[test]
fn a_deny_policy_whose_only_fields_were_of_layer_seven_matches_nothing() {
    // What Istio sends for those rules is a match without values.
    let policies = set([policy(
        "shop/deny-l7",
        Action::Deny,
        vec![rule(on_port(9)), rule(Match::default())],
    )]);
    assert!(evaluate(&plaintext(), &policies).is_allowed());
}

#[test]
fn rules_are_alternatives_and_clauses_are_all_needed() {
    let both = |a: Match, b: Match| Rule {
        clauses: vec![Clause { matches: vec![a] }, Clause { matches: vec![b] }],
    };
    let from_ten = || Match {
        source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        ..Match::default()
    };
    assert!(allows(vec![rule(on_port(1)), rule(on_port(8080))], &plaintext()));
    assert!(allows(vec![both(on_port(8080), from_ten())], &plaintext()));
    assert!(!allows(vec![both(on_port(1), from_ten())], &plaintext()));
}

#[test]
fn kinds_of_a_match_are_all_needed_and_their_values_are_alternatives() {
    let m = |port| Match {
        destination_ports: vec![1, port],
        source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        ..Match::default()
    };
    assert!(matches(m(8080), &plaintext()));
    assert!(!matches(m(2), &plaintext()));
}

#[test]
fn negative_values_alone_match_whatever_is_not_among_them() {
    let not_on = |port| Match {
        not_destination_ports: vec![port],
        ..Match::default()
    };
    assert!(matches(not_on(22), &plaintext()));
    assert!(!matches(not_on(8080), &plaintext()));
}

#[test]
fn whoever_has_no_identity_matches_no_text_and_escapes_every_negative_one() {
    let accounts = vec![ServiceAccountMatch {
        namespace: "shop".into(),
        service_account: "web".into(),
    }];
    let any = vec![StringMatch::Presence];
    for positive in [
        Match {
            namespaces: any.clone(),
            ..Match::default()
        },
        Match {
            principals: any.clone(),
            ..Match::default()
        },
        Match {
            service_accounts: accounts.clone(),
            ..Match::default()
        },
    ] {
        assert!(!matches(positive.clone(), &plaintext()));
        assert!(matches(positive, &from(&identity("shop", "web"))));
    }
    for negative in [
        Match {
            not_namespaces: any.clone(),
            ..Match::default()
        },
        Match {
            not_principals: any.clone(),
            ..Match::default()
        },
        Match {
            not_service_accounts: accounts.clone(),
            ..Match::default()
        },
    ] {
        assert!(matches(negative.clone(), &plaintext()));
        assert!(!matches(negative, &from(&identity("shop", "web"))));
    }
}

#[test]
fn strict_mode_refuses_plaintext_and_nothing_else() {
    let policies = set([strict()]);
    let refused = evaluate(&plaintext(), &policies).verdict;
    let by = place("istio-system/istio_converted_static_strict", 0);
    assert_eq!(refused, Verdict::Deny(DenyReason::Policy(by)));
    assert!(evaluate(&from(&identity("shop", "web")), &policies).is_allowed());
    assert!(policies.refuses_plaintext_at().is_all());
    let on_trial = Authorization {
        dry_run: true,
        ..strict()
    };
    assert!(set([on_trial]).refuses_plaintext_at().is_none());
    assert!(PolicySet::default().refuses_plaintext_at().is_none());
}

#[test]
fn strict_mode_with_port_exceptions_refuses_plaintext_on_the_other_ports() {
    let not_on = |port| Clause {
        matches: vec![Match {
            not_destination_ports: vec![port],
            ..Match::default()
        }],
    };
    let mut clauses = strict().rules.remove(0).clauses;
    clauses.extend([not_on(8080), not_on(9090)]);
    let policies = set([policy("shop/converted", Action::Deny, vec![Rule { clauses }])]);
    let on = |destination_port| Connection {
        destination_port,
        ..plaintext()
    };
    assert!(evaluate(&on(8080), &policies).is_allowed());
    assert!(evaluate(&on(9090), &policies).is_allowed());
    assert!(!evaluate(&on(80), &policies).is_allowed());
    assert_eq!(
        policies.refuses_plaintext_at(),
        PortSet::AllBut([8080, 9090].into())
    );
}

#[test]
fn strict_mode_of_one_port_refuses_plaintext_there_alone() {
    let mut clauses = strict().rules.remove(0).clauses;
    clauses.push(Clause {
        matches: vec![Match {
            destination_ports: vec![8080],
            ..Match::default()
        }],
    });
    let policies = set([policy("shop/converted", Action::Deny, vec![Rule { clauses }])]);
    assert_eq!(policies.refuses_plaintext_at(), PortSet::Only([8080].into()));
}

#[test]
fn principals_are_compared_without_the_scheme_and_accounts_without_the_trust_domain() {
    let local = identity("shop", "web");
    let foreign: Identity = "spiffe://other.domain/ns/shop/sa/web".parse().unwrap();
    let principal = |m| Match {
        principals: vec![m],
        ..Match::default()
    };
    for m in [
        exact("cluster.local/ns/shop/sa/web"),
        StringMatch::Prefix("cluster.local/".into()),
    ] {
        assert!(matches(principal(m.clone()), &from(&local)));
        assert!(!matches(principal(m), &from(&foreign)));
    }
    assert!(!matches(
        principal(exact("spiffe://cluster.local/ns/shop/sa/web")),
        &from(&local)
    ));
    assert!(matches(
        principal(StringMatch::Suffix("/sa/web".into())),
        &from(&foreign)
    ));
    let account = Match {
        service_accounts: vec![ServiceAccountMatch {
            namespace: "shop".into(),
            service_account: "web".into(),
        }],
        ..Match::default()
    };
    assert!(matches(account.clone(), &from(&foreign)));
    assert!(!matches(account, &from(&identity("shop", "other"))));
}

#[test]
fn a_mapped_source_address_is_the_ipv4_one() {
    let from_ten = Match {
        source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        ..Match::default()
    };
    let mapped = Connection {
        source_ip: "::ffff:10.1.2.3".parse().unwrap(),
        ..plaintext()
    };
    assert!(matches(from_ten, &mapped));
}

#[test]
fn all_of_ipv4_is_not_all_of_ipv6() {
    let everywhere = |range: &str| Match {
        source_ips: vec![range.parse().unwrap()],
        ..Match::default()
    };
    let v6 = Connection {
        source_ip: "fd00::1".parse().unwrap(),
        ..plaintext()
    };
    assert!(matches(everywhere("0.0.0.0/0"), &plaintext()));
    assert!(!matches(everywhere("0.0.0.0/0"), &v6));
    assert!(matches(everywhere("::/0"), &v6));
    assert!(!matches(everywhere("::/0"), &plaintext()));
}

#[test]
fn deny_wins_over_allow_and_the_verdict_names_policy_and_rule() {
    let policies = set([
        policy("ns/allow", Action::Allow, vec![Rule::default()]),
        policy(
            "ns/deny",
            Action::Deny,
            vec![rule(on_port(1)), rule(on_port(8080))],
        ),
    ]);
    let decision = evaluate(&plaintext(), &policies);
    assert_eq!(
        decision.verdict,
        Verdict::Deny(DenyReason::Policy(place("ns/deny", 1)))
    );
    assert_eq!(decision.verdict.policy(), Some(&"ns/deny".parse().unwrap()));
    let elsewhere = Connection {
        destination_port: 7,
        ..plaintext()
    };
    let by = Some(place("ns/allow", 0));
    assert_eq!(evaluate(&elsewhere, &policies).verdict, Verdict::Allow { by });
}

#[test]
fn with_allow_policies_what_none_of_them_matches_is_refused() {
    let policies = set([policy("ns/allow", Action::Allow, vec![rule(on_port(1))])]);
    let verdict = evaluate(&plaintext(), &policies).verdict;
    assert_eq!(verdict, Verdict::Deny(DenyReason::NoAllowMatched));
    assert_eq!(verdict.policy(), None);
}

#[test]
fn an_allow_policy_in_any_group_lets_a_connection_pass() {
    let mut policies = set([policy("a/p", Action::Allow, vec![rule(on_port(1))])]);
    policies
        .groups
        .extend(set([policy("b/p", Action::Allow, vec![rule(on_port(8080))])]).groups);
    let by = Some(place("b/p", 0));
    assert_eq!(evaluate(&plaintext(), &policies).verdict, Verdict::Allow { by });
}

#[test]
fn a_policy_that_has_not_arrived_refuses_everything() {
    let missing = "ns/missing".parse().unwrap();
    let mut policies = set([policy("ns/allow", Action::Allow, vec![Rule::default()])]);
    policies.unknown.push(missing);
    let verdict = evaluate(&plaintext(), &policies).verdict;
    let Verdict::Deny(reason) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        reason.to_string(),
        "policy ns/missing applies and has not arrived"
    );
}

#[test]
fn a_matching_deny_rule_is_a_better_reason_than_a_policy_that_has_not_arrived() {
    let mut policies = set([policy("ns/deny", Action::Deny, vec![Rule::default()])]);
    policies.unknown.push("ns/missing".parse().unwrap());
    let verdict = evaluate(&plaintext(), &policies).verdict;
    assert_eq!(verdict, Verdict::Deny(DenyReason::Policy(place("ns/deny", 0))));
}

#[test]
fn policies_on_trial_are_reported_and_decide_nothing() {
    let on_trial = |name, action, rules| Authorization {
        dry_run: true,
        ..policy(name, action, rules)
    };
    let policies = set([
        on_trial(
            "ns/trial-deny",
            Action::Deny,
            vec![rule(on_port(1)), Rule::default(), Rule::default()],
        ),
        on_trial("ns/trial-allow", Action::Allow, vec![rule(on_port(1))]),
    ]);
    let expected = Decision {
        verdict: Verdict::Allow { by: None },
        dry_run: vec![
            DryRun::WouldDeny(place("ns/trial-deny", 1)),
            DryRun::NoAllowWouldMatch,
        ],
    };
    assert_eq!(evaluate(&plaintext(), &policies), expected);
}

#[test]
fn every_answer_is_that_of_a_naive_reading() {
    let mut dice = Dice(fastrand::Rng::with_seed(11));
    let mut seen = [0; 4];
    let mut plaintext_refused = 0;
    for _ in 0..3_000 {
        let policies: Vec<_> = (0..dice.0.usize(..6))
            .map(|i| Arc::new(dice.policy(format!("ns/p{i}").parse().unwrap())))
            .collect();
        let (first, second) = policies.split_at(policies.len() / 2);
        let compiled = PolicySet {
            groups: [first, second]
                .map(|p| Arc::new(PolicyGroup::compile(p.to_vec())))
                .to_vec(),
            unknown: (0..dice.0.usize(..20) / 19)
                .map(|_| "ns/missing".parse().unwrap())
                .collect(),
        };
        for _ in 0..8 {
            let source = dice.0.bool().then(|| dice.identity());
            let connection = Connection {
                source: source.as_ref(),
                source_ip: dice.ip(),
                destination_ip: dice.ip(),
                destination_port: dice.port(),
            };
            let decision = evaluate(&connection, &compiled);
            oracle::check(&connection, &policies, &compiled.unknown, &decision);
            if source.is_none()
                && compiled
                    .refuses_plaintext_at()
                    .contains(connection.destination_port)
            {
                assert!(!decision.is_allowed(), "{connection:?} {policies:#?}");
                plaintext_refused += 1;
            }
            seen[match decision.verdict {
                Verdict::Allow { by: None } => 0,
                Verdict::Allow { by: Some(_) } => 1,
                Verdict::Deny(DenyReason::Policy(_)) => 2,
                Verdict::Deny(_) => 3,
            }] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 500), "the world is too dull: {seen:?}");
    assert!(plaintext_refused > 100, "too dull: {plaintext_refused}");
}
