use super::super::{RuleId, RuleSet};
use super::*;
use crate::authz::Connection;
use crate::fixtures::{exact, identity, rule};
use crate::policy::{Clause, Match, Rule, ServiceAccountMatch, StringMatch};

const MANY: usize = 10_000;

fn connection(source: &mesh_types::Identity) -> Connection<'_> {
    Connection {
        source: Some(source),
        source_ip: "10.0.1.7".parse().unwrap(),
        destination_ip: "10.9.9.9".parse().unwrap(),
        destination_port: 8080,
    }
}

/// How many of many such rules a connection meets.
fn met(rule_number: impl Fn(usize) -> Rule) -> usize {
    let rules: Vec<_> = (0..MANY).map(rule_number).collect();
    let numbered = rules.iter().enumerate();
    let set = RuleSet::compile(numbered.map(|(rule, r)| (RuleId { policy: 0, rule }, r)));
    let source = identity("ns-7", "web");
    let mut met = 0;
    set.index.candidates(&Subject::new(&connection(&source)), |_| {
        met += 1;
        true
    });
    met
}

#[test]
fn of_ten_thousand_rules_a_connection_meets_those_of_its_own_values() {
    let principals = |i| Match {
        principals: vec![exact(&format!("cluster.local/ns/ns-{i}/sa/web"))],
        ..Match::default()
    };
    let namespaces = |i| Match {
        namespaces: vec![exact(&format!("ns-{i}"))],
        ..Match::default()
    };
    let accounts = |i| Match {
        service_accounts: vec![ServiceAccountMatch {
            namespace: format!("ns-{i}").into(),
            service_account: "web".into(),
        }],
        ..Match::default()
    };
    let sources = |i: usize| Match {
        source_ips: vec![format!("10.{}.{}.0/24", i / 256, i % 256).parse().unwrap()],
        ..Match::default()
    };
    let ports = |i| Match {
        destination_ports: vec![u16::try_from(i).unwrap()],
        ..Match::default()
    };
    assert_eq!(met(|i| rule(principals(i))), 1);
    assert_eq!(met(|i| rule(namespaces(i))), 1);
    assert_eq!(met(|i| rule(accounts(i))), 1);
    assert_eq!(met(|i| rule(sources(i))), 1);
    assert_eq!(met(|i| rule(ports(i))), 1);
}

#[test]
fn a_rule_is_filed_under_its_most_telling_clause() {
    let same_port_other_namespace = |i| Rule {
        clauses: vec![
            Clause {
                matches: vec![Match {
                    destination_ports: vec![8080],
                    ..Match::default()
                }],
            },
            Clause {
                matches: vec![Match {
                    namespaces: vec![exact(&format!("ns-{i}"))],
                    ..Match::default()
                }],
            },
        ],
    };
    assert_eq!(met(same_port_other_namespace), 1);
}

#[test]
fn a_rule_with_an_alternative_that_has_no_exact_value_is_always_met() {
    let open = |i| Rule {
        clauses: vec![Clause {
            matches: vec![
                Match {
                    namespaces: vec![exact(&format!("ns-{i}"))],
                    ..Match::default()
                },
                Match {
                    principals: vec![StringMatch::Suffix("/sa/ops".into())],
                    ..Match::default()
                },
            ],
        }],
    };
    assert_eq!(met(open), MANY);
}
