use mesh_model::l7::Created;
use mesh_model::l7::ObjectRef;
use mesh_model::l7::policy::PathNormalization;
use mesh_types::{NamespacedHostname, NamespacedName};
use serde_json::json;

use super::*;

fn any<T>(any: Vec<T>) -> Values<T> {
    Values {
        any,
        none: Vec::new(),
        broken: false,
    }
}

fn policy(kind: PolicyKind) -> Policy {
    Policy {
        object: ObjectRef {
            kind: "AuthorizationPolicy".into(),
            name: NamespacedName::new("shop", "readers"),
        },
        targets: vec![
            Target::Gateway(NamespacedName::new("shop", "gate")),
            Target::Service(NamespacedHostname::new("shop", "cart.shop.svc.cluster.local")),
        ],
        part: "".into(),
        created: Created::unknown(),
        kind,
    }
}

#[test]
fn a_policy_is_shown_with_its_targets_and_its_rules_in_the_words_of_its_author() {
    let rule = Rule {
        from: vec![Source {
            principals: any(vec![TextMatch::Exact("cluster.local/ns/shop/sa/web".into())]),
            namespaces: Values {
                none: vec![TextMatch::Prefix("old-".into())],
                ..any(Vec::new())
            },
            ..Source::default()
        }],
        to: vec![Operation {
            methods: any(vec![
                TextMatch::Exact("GET".into()),
                TextMatch::Exact("HEAD".into()),
            ]),
            paths: any(vec![PathPattern::Template(vec![
                Segment::Literal("a".into()),
                Segment::Many,
            ])]),
            ..Operation::default()
        }],
        when: vec![Condition::Text(
            TextAttribute::Claim(vec!["groups".into(), "x".into()]),
            any(vec![TextMatch::Present]),
        )],
    };
    let authorization = Authorization {
        action: Action::Allow,
        rules: vec![rule, Rule::default()],
        dry_run: true,
    };
    let shown = AuthorizationDump::of(&policy(PolicyKind::Authorization(authorization)));
    let shown = json!(shown.expect("it is one"));
    assert_eq!(
        shown,
        json!({
            "policy": "AuthorizationPolicy/shop/readers", "action": "Allow", "dryRun": true,
            "targets": [
                {"name": "gateway shop/gate"},
                {"service": "shop/cart.shop.svc.cluster.local", "name": "service shop/cart.shop.svc.cluster.local"},
            ],
            "rules": [
                "from principals=cluster.local/ns/shop/sa/web namespaces!=old-*, to methods=GET|HEAD paths=/a/{**}, \
                 when request.auth.claims[groups][x]=*",
                "anything",
            ],
        })
    );
}

#[test]
fn other_policies_are_none() {
    let other = policy(PolicyKind::PathNormalization(PathNormalization::Base));
    assert_eq!(AuthorizationDump::of(&other), None);
}
