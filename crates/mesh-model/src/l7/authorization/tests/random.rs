//! Every answer of the index is that of a naive reading.

use fastrand::Rng;
use serde_json::json;

use super::oracle::{Known, matching};
use super::*;

#[test]
fn the_index_answers_as_a_naive_reading_does() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..400 {
        let policies: Vec<_> = (0..rng.usize(1..8))
            .map(|n| (policy(&format!("p{n}")), random_policy(&mut rng)))
            .collect();
        let authorizer = Authorizer::compile(policies.iter().map(|(name, policy)| (name, policy)));
        for _ in 0..30 {
            let sent = random_request(&mut rng);
            compare(&authorizer, &policies, &sent);
        }
    }
}

fn compare(authorizer: &Authorizer, policies: &[(ObjectRef, Authorization)], sent: &Sent) {
    let hits = |of: fn(&Authorization) -> bool, known| {
        let all = matching(policies, of, sent, known).into_iter();
        all.map(|(policy, rule)| Hit {
            policy: &policies[policy].0,
            rule,
        })
        .collect::<Vec<_>>()
    };
    let is_external = |p: &Authorization| matches!(p.action, Action::ExternalUnknown(_));
    for known in [Known::Everything, Known::Connection] {
        let decision = match known {
            Known::Connection => sent.decide_connection(authorizer),
            Known::Everything | Known::NoToken => sent.decide(authorizer),
        };
        let deny = hits(|p| p.action == Action::Deny && !p.dry_run, known);
        let allow = hits(|p| p.action == Action::Allow && !p.dry_run, known);
        let has_allow = policies
            .iter()
            .any(|(_, p)| p.action == Action::Allow && !p.dry_run);
        let verdict = match (deny.first(), allow.first()) {
            (Some(hit), _) => Verdict::Deny(DenyReason::Policy(*hit)),
            (None, None) if has_allow => Verdict::Deny(DenyReason::NoAllowMatched),
            (None, by) => Verdict::Allow { by: by.copied() },
        };
        assert_eq!(decision.verdict, verdict, "{sent:?} {policies:#?}");
        assert_eq!(decision.audited, hits(|p| p.action == Action::Audit, known));
        let would_deny = hits(|p| p.action == Action::Deny && p.dry_run, known);
        let would_allow = hits(|p| p.action == Action::Allow && p.dry_run, known);
        for hit in would_deny {
            assert!(
                decision.dry_run.contains(&DryRun::WouldDeny(hit)),
                "{sent:?} {policies:#?}"
            );
        }
        for hit in would_allow {
            assert!(
                decision.dry_run.contains(&DryRun::WouldAllow(hit)),
                "{sent:?} {policies:#?}"
            );
        }
    }
    let asks = authorizer.ask(&sent.request(), &sent.client(), sent.local);
    let is_any = !matching(
        policies,
        |p| matches!(p.action, Action::ExternalUnknown(_)) && !p.dry_run,
        sent,
        Known::NoToken,
    )
    .is_empty();
    assert_eq!(!asks.is_empty(), is_any, "{sent:?} {policies:#?}");
    assert!(asks.iter().all(|ask| {
        policies
            .iter()
            .any(|(name, p)| name == ask.hit.policy && is_external(p))
    }));
}

fn random_policy(rng: &mut Rng) -> Authorization {
    let action = match rng.u8(..6) {
        0 | 1 => Action::Deny,
        2 | 3 => Action::Allow,
        4 => Action::Audit,
        _ => Action::ExternalUnknown("gone".into()),
    };
    Authorization {
        action,
        rules: (0..rng.usize(..6)).map(|_| random_rule(rng)).collect(),
        dry_run: rng.u8(..4) == 0,
    }
}

fn random_rule(rng: &mut Rng) -> Rule {
    let mut rule = Rule::default();
    for _ in 0..rng.usize(..3) {
        let mut source = Source::default();
        for _ in 0..rng.usize(..3) {
            match rng.u8(..6) {
                0 => source.principals = values(rng, texts(PRINCIPALS)),
                1 => source.namespaces = values(rng, texts(NAMESPACES)),
                2 => source.service_accounts = values(rng, texts(&["web/front", "api/back"])),
                3 => source.request_principals = values(rng, texts(&["idp/ann", "idp/bob", "*"])),
                4 => source.ips = values(rng, range),
                _ => source.trust_domains = values(rng, texts(&["cluster.local", "other"])),
            }
        }
        rule.from.push(source);
    }
    for _ in 0..rng.usize(..3) {
        let mut operation = Operation::default();
        for _ in 0..rng.usize(..3) {
            match rng.u8(..5) {
                0 => operation.hosts = values(rng, texts(&["shop", "SHOP", "shop:8080", "*op", "s*"])),
                1 => operation.ports = values(rng, |rng| rng.choice([80, 81]).unwrap()),
                2 => operation.methods = values(rng, texts(&["GET", "POST", "*"])),
                _ => operation.paths = values(rng, |rng| path(rng.choice(PATHS).unwrap())),
            }
        }
        rule.to.push(operation);
    }
    for _ in 0..rng.usize(..2) {
        rule.when.push(random_condition(rng));
    }
    rule
}

fn random_condition(rng: &mut Rng) -> Condition {
    let text = |attribute, values| Condition::Text(attribute, values);
    match rng.u8(..7) {
        0 => Condition::Unknown("x".into()),
        1 => Condition::DestinationPort(values(rng, |rng| rng.choice([80, 81]).unwrap())),
        2 => Condition::Ip(IpAttribute::Remote, values(rng, range)),
        3 => text(TextAttribute::Audiences, values(rng, texts(&["a", "b"]))),
        4 => text(
            TextAttribute::Claim(vec!["g".into()]),
            values(rng, texts(&["x", "y*"])),
        ),
        _ => text(
            TextAttribute::RequestHeader("x-a".into()),
            values(rng, texts(&["1", "2", "1,2", "*"])),
        ),
    }
}

fn values<T>(rng: &mut Rng, mut value: impl FnMut(&mut Rng) -> T) -> Values<T> {
    let mut some = |rng: &mut Rng, most| (0..rng.usize(..=most)).map(|_| value(rng)).collect();
    Values {
        any: some(rng, 3),
        none: some(rng, 1),
        broken: rng.u8(..12) == 0,
    }
}

fn texts(of: &'static [&'static str]) -> impl FnMut(&mut Rng) -> TextMatch {
    move |rng| text(rng.choice(of).unwrap())
}

fn range(rng: &mut Rng) -> IpNet {
    let ranges = ["10.0.0.0/8", "10.0.0.1/32", "192.0.2.0/24", "::/0", "0.0.0.0/0"];
    rng.choice(ranges).unwrap().parse().unwrap()
}

fn random_request(rng: &mut Rng) -> Sent {
    let mut sent = get(rng.choice(["/", "/a", "/a/b", "/ab", "/a/x/b"]).unwrap());
    let id = |id: &str| format!("spiffe://cluster.local/ns/{id}").parse().unwrap();
    sent.identity = rng
        .choice([None, Some("web/sa/front"), Some("api/sa/back")])
        .unwrap()
        .map(id);
    sent.authority = rng
        .choice(["shop", "shop:8080", "Shop.", "other"])
        .unwrap()
        .to_owned();
    sent.local.port = rng.choice([80, 81]).unwrap();
    sent.address = rng
        .choice(["10.0.0.1", "10.0.0.2", "fd00::1"])
        .unwrap()
        .parse()
        .unwrap();
    for value in [["1", "2"], ["2", "1"]].into_iter().take(rng.usize(..3)) {
        sent = sent.header("x-a", rng.choice(value).unwrap());
    }
    match rng.u8(..3) {
        0 => sent.with_claims(json!({"iss": "idp", "sub": "ann", "aud": ["a", "b"], "g": ["x", "yy"]})),
        1 => sent.with_claims(json!({"iss": "idp", "sub": "bob", "aud": "b"})),
        _ => sent,
    }
}

const PRINCIPALS: &[&str] = &[
    "cluster.local/ns/web/sa/front",
    "cluster.local/ns/api/*",
    "*/sa/back",
    "*",
];
const NAMESPACES: &[&str] = &["web", "api", "a*", "*"];
const PATHS: [&str; 8] = ["/", "/a", "/a*", "*b", "/a/{*}/b", "/a/{**}", "/{**}", "/a/b"];
