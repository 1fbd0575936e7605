//! A naive reading of the rules, straight from the policies as they are written.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mesh_types::NamespacedName;

use crate::Authorization;
use crate::authz::{Connection, Decision, DenyReason, DryRun, RuleRef, Verdict};
use crate::policy::{Action, Clause, Match, Rule, ServiceAccountMatch, StringMatch};

/// Holds a decision to the naive reading. Which of several matching rules is named is free, as long as it matches.
pub(super) fn check(
    connection: &Connection<'_>,
    policies: &[Arc<Authorization>],
    unknown: &[NamespacedName],
    decision: &Decision,
) {
    let of = |action, dry_run| {
        let all = policies.iter();
        all.filter(move |p| p.action == action && p.dry_run == dry_run)
    };
    let any = |action| of(action, false).any(|p| matching(p, connection));
    let context = || format!("{connection:?} {policies:#?} {decision:?}");
    match &decision.verdict {
        Verdict::Deny(DenyReason::Policy(rule)) => {
            assert!(names(rule, policies, Action::Deny, connection), "{}", context());
        }
        Verdict::Deny(DenyReason::UnknownPolicy(name)) => {
            assert!(!any(Action::Deny) && unknown.contains(name), "{}", context());
        }
        Verdict::Deny(DenyReason::NoAllowMatched) => {
            let refused = of(Action::Allow, false).next().is_some() && !any(Action::Allow);
            assert!(
                !any(Action::Deny) && unknown.is_empty() && refused,
                "{}",
                context()
            );
        }
        Verdict::Allow { by: None } => {
            let unguarded = of(Action::Allow, false).next().is_none();
            assert!(
                !any(Action::Deny) && unknown.is_empty() && unguarded,
                "{}",
                context()
            );
        }
        Verdict::Allow { by: Some(rule) } => {
            let named = names(rule, policies, Action::Allow, connection);
            assert!(!any(Action::Deny) && unknown.is_empty() && named, "{}", context());
        }
    }
    let reported = |action| {
        let mut reported: Vec<_> = decision
            .dry_run
            .iter()
            .filter_map(|event| match (event, action) {
                (DryRun::WouldDeny(rule), Action::Deny) | (DryRun::WouldAllow(rule), Action::Allow) => {
                    Some(rule.policy.clone())
                }
                _ => None,
            })
            .collect();
        reported.sort();
        reported
    };
    let expected = |action| -> Vec<_> {
        let matching = of(action, true).filter(|p| matching(p, connection));
        matching.map(|p| p.name.clone()).collect()
    };
    assert_eq!(reported(Action::Deny), expected(Action::Deny), "{}", context());
    let asked = !any(Action::Deny) && unknown.is_empty();
    let trial_allow = if asked {
        expected(Action::Allow)
    } else {
        Vec::new()
    };
    assert_eq!(reported(Action::Allow), trial_allow, "{}", context());
    let none_would = asked
        && of(Action::Allow, false).next().is_none()
        && of(Action::Allow, true).next().is_some()
        && trial_allow.is_empty();
    assert_eq!(
        decision.dry_run.contains(&DryRun::NoAllowWouldMatch),
        none_would,
        "{}",
        context()
    );
}

fn names(
    rule: &RuleRef,
    policies: &[Arc<Authorization>],
    action: Action,
    connection: &Connection<'_>,
) -> bool {
    policies.iter().any(|p| {
        p.name == rule.policy
            && p.action == action
            && !p.dry_run
            && rule_matches(&p.rules[rule.rule], connection)
    })
}

fn matching(policy: &Authorization, connection: &Connection<'_>) -> bool {
    policy.rules.iter().any(|rule| rule_matches(rule, connection))
}

fn rule_matches(rule: &Rule, connection: &Connection<'_>) -> bool {
    rule.clauses
        .iter()
        .all(|clause| clause_matches(clause, connection))
}

fn clause_matches(clause: &Clause, connection: &Connection<'_>) -> bool {
    clause.matches.is_empty() || clause.matches.iter().any(|m| match_matches(m, connection))
}

fn match_matches(m: &Match, connection: &Connection<'_>) -> bool {
    let namespace = connection.source.map(|id| id.namespace().to_string());
    let principal = connection.source.map(|id| {
        let text = id.to_string();
        text.strip_prefix("spiffe://").unwrap().to_owned()
    });
    let string =
        |value: Option<String>| move |m: &StringMatch| value.as_ref().is_some_and(|v| string_matches(m, v));
    let range = |ip: IpAddr| move |range: &IpNet| range.contains(&ip.to_canonical());
    let port = |port: &u16| *port == connection.destination_port;
    let account = |m: &ServiceAccountMatch| {
        let source = connection.source;
        source.is_some_and(|id| *id.namespace() == m.namespace && *id.service_account() == m.service_account)
    };
    *m != Match::default()
        && both(&m.namespaces, &m.not_namespaces, string(namespace))
        && both(&m.principals, &m.not_principals, string(principal))
        && both(&m.service_accounts, &m.not_service_accounts, account)
        && both(&m.source_ips, &m.not_source_ips, range(connection.source_ip))
        && both(
            &m.destination_ips,
            &m.not_destination_ips,
            range(connection.destination_ip),
        )
        && both(&m.destination_ports, &m.not_destination_ports, port)
}

fn both<T>(any_of: &[T], none_of: &[T], holds: impl Fn(&T) -> bool) -> bool {
    (any_of.is_empty() || any_of.iter().any(&holds)) && !none_of.iter().any(&holds)
}

fn string_matches(m: &StringMatch, value: &str) -> bool {
    match m {
        StringMatch::Exact(s) => value == s.as_str(),
        StringMatch::Prefix(s) => value.starts_with(s.as_str()),
        StringMatch::Suffix(s) => value.ends_with(s.as_str()),
        StringMatch::Presence => !value.is_empty(),
    }
}
