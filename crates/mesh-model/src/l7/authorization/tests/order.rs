use std::time::Duration;

use super::*;

#[test]
fn without_policies_everything_passes() {
    let authorizer = Authorizer::compile([]);
    assert!(authorizer.is_empty());
    let decision = get("/").decide(&authorizer);
    assert_eq!(decision.verdict, Verdict::Allow { by: None });
    assert!(get("/").decide_connection(&authorizer).is_allowed());
}

#[test]
fn an_allow_policy_without_rules_refuses_everything() {
    let name = policy("nothing");
    let authorizer = Authorizer::compile([(&name, &with_rules(Action::Allow, vec![]))]);
    let decision = get("/").decide(&authorizer);
    assert_eq!(decision.verdict, Verdict::Deny(DenyReason::NoAllowMatched));
    assert!(!get("/").decide_connection(&authorizer).is_allowed());
}

#[test]
fn a_deny_policy_without_rules_refuses_nothing() {
    let name = policy("nothing");
    let authorizer = Authorizer::compile([(&name, &with_rules(Action::Deny, vec![]))]);
    assert!(get("/").decide(&authorizer).is_allowed());
}

#[test]
fn deny_before_allow_and_the_answer_names_policy_and_rule() {
    let (readers, admins, no_secrets) = (policy("readers"), policy("admins"), policy("no-secrets"));
    let paths = |patterns: &[&str]| {
        to(Operation {
            paths: any(patterns.iter().map(|p| path(p))),
            ..Operation::default()
        })
    };
    let allow = with_rules(Action::Allow, vec![paths(&["/a"]), paths(&["/b", "/secret"])]);
    let more = with_rules(Action::Allow, vec![paths(&["/b", "/c"])]);
    let deny = with_rules(Action::Deny, vec![paths(&["/never"]), paths(&["/secret*"])]);
    let authorizer = Authorizer::compile([(&readers, &allow), (&admins, &more), (&no_secrets, &deny)]);
    let by = |policy, rule| Verdict::Allow {
        by: Some(Hit { policy, rule }),
    };
    let verdict = |path: &str| get(path).decide(&authorizer).verdict;
    assert_eq!(verdict("/a"), by(&readers, 0));
    assert_eq!(verdict("/b"), by(&readers, 1));
    assert_eq!(verdict("/c"), by(&admins, 0));
    assert_eq!(verdict("/d"), Verdict::Deny(DenyReason::NoAllowMatched));
    let hit = Hit {
        policy: &no_secrets,
        rule: 1,
    };
    assert_eq!(verdict("/secret"), Verdict::Deny(DenyReason::Policy(hit)));
}

#[test]
fn audits_are_noted_and_decide_nothing() {
    let (a, b) = (policy("a"), policy("b"));
    let all = with_rules(Action::Audit, vec![Rule::default()]);
    let authorizer = Authorizer::compile([(&a, &all), (&b, &all)]);
    let decision = get("/").decide(&authorizer);
    assert_eq!(decision.verdict, Verdict::Allow { by: None });
    assert_eq!(
        decision.audited,
        [Hit { policy: &a, rule: 0 }, Hit { policy: &b, rule: 0 }]
    );
}

#[test]
fn policies_on_trial_are_reported_and_decide_nothing() {
    let (deny, allow, ask) = (policy("deny"), policy("allow"), policy("ask"));
    let on_trial = |action| Authorization {
        dry_run: true,
        ..with_rules(
            action,
            vec![to(Operation {
                paths: any([path("/x")]),
                ..Operation::default()
            })],
        )
    };
    let (d, a, e) = (
        on_trial(Action::Deny),
        on_trial(Action::Allow),
        on_trial(Action::ExternalUnknown("p".into())),
    );
    let authorizer = Authorizer::compile([(&deny, &d), (&allow, &a), (&ask, &e)]);
    let hit = |policy| Hit { policy, rule: 0 };
    let decision = get("/x").decide(&authorizer);
    assert_eq!(decision.verdict, Verdict::Allow { by: None });
    assert_eq!(
        decision.dry_run,
        [
            DryRun::WouldAsk(hit(&ask)),
            DryRun::WouldDeny(hit(&deny)),
            DryRun::WouldAllow(hit(&allow))
        ]
    );
    assert_eq!(get("/y").decide(&authorizer).dry_run, [DryRun::NoAllowWouldMatch]);
    let sent = get("/x");
    assert!(
        authorizer
            .ask(&sent.request(), &sent.client(), sent.local)
            .is_empty()
    );
}

#[test]
fn everybody_is_asked_once() {
    let (first, second, third, unknown) = (policy("1"), policy("2"), policy("3"), policy("4"));
    let external = |provider: &str| {
        Action::External(Box::new(ExternalAuth {
            provider: provider.into(),
            service: ServicePort {
                service: mesh_types::NamespacedHostname::new("auth", "auth.auth.svc.cluster.local"),
                port: 9000,
            },
            protocol: ExternalAuthProtocol::Grpc,
            timeout: Duration::from_millis(200),
            fail_open: false,
            status_on_error: 403,
            clear_route_cache: false,
            body: None,
        }))
    };
    let at = |action, pattern: &str| {
        with_rules(
            action,
            vec![to(Operation {
                paths: any([path(pattern)]),
                ..Operation::default()
            })],
        )
    };
    let policies = [
        (&first, at(external("a"), "/x*")),
        (&second, at(external("a"), "/*")),
        (&third, at(external("b"), "/xy")),
        (&unknown, at(Action::ExternalUnknown("gone".into()), "/gone")),
    ];
    let authorizer = Authorizer::compile(policies.iter().map(|(name, policy)| (*name, policy)));
    let asked = |path: &str| {
        let sent = get(path);
        let asks = authorizer.ask(&sent.request(), &sent.client(), sent.local);
        asks.iter()
            .map(|ask| {
                (
                    ask.hit.policy.name.name.to_string(),
                    ask.provider.map(|p| p.provider.to_string()),
                )
            })
            .collect::<Vec<_>>()
    };
    let ask = |policy: &str, provider: &str| (policy.to_owned(), Ok(provider.to_owned()));
    assert_eq!(asked("/xy"), [ask("1", "a"), ask("3", "b")]);
    assert_eq!(asked("/z"), [ask("2", "a")]);
    assert_eq!(asked("/gone"), [ask("2", "a"), ("4".to_owned(), Err("gone"))]);
    // Whether the path asks for it cannot be known: everybody is asked.
    let sent = get("/");
    assert_eq!(authorizer.ask_connection(&sent.client(), sent.local).len(), 3);
    assert!(sent.decide(&authorizer).is_allowed());
}

#[test]
fn who_is_asked_does_not_depend_on_a_token_that_nobody_has_looked_at() {
    let name = policy("p");
    let rule = from(Source {
        request_principals: any([text("https://idp/ann")]),
        ..Source::default()
    });
    let custom = with_rules(Action::ExternalUnknown("p".into()), vec![rule]);
    let authorizer = Authorizer::compile([(&name, &custom)]);
    let sent = get("/");
    assert_eq!(
        authorizer.ask(&sent.request(), &sent.client(), sent.local).len(),
        1
    );
}
