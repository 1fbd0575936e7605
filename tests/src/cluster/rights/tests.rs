use serde_json::json;

use super::*;

fn roles() -> Vec<Value> {
    let subject = json!([{"kind": "ServiceAccount", "name": "cp", "namespace": "mesh"}]);
    vec![
        json!({"kind": "ClusterRole", "metadata": {"name": "wide"}, "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["root"], "verbs": ["patch"]},
        ]}),
        json!({"kind": "ClusterRoleBinding", "roleRef": {"kind": "ClusterRole", "name": "wide"}, "subjects": subject}),
        json!({"kind": "Role", "metadata": {"name": "narrow", "namespace": "mesh"}, "rules": [
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
        ]}),
        json!({"kind": "RoleBinding", "metadata": {"namespace": "mesh"}, "roleRef": {"kind": "Role", "name": "narrow"},
               "subjects": subject}),
        json!({"kind": "ClusterRole", "metadata": {"name": "nobodys"}, "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
        ]}),
    ]
}

fn asked(verb: &str, what: (&str, &str), place: (Option<&str>, Option<&str>)) -> Asked {
    Asked {
        account: "mesh/cp".to_owned(),
        verb: verb.to_owned(),
        what: What::Resource {
            group: what.0.to_owned(),
            resource: what.1.to_owned(),
            namespace: place.0.map(str::to_owned),
            name: place.1.map(str::to_owned),
        },
        granted: true,
        made: false,
        starting: false,
    }
}

fn lines(rights: &[Right]) -> Vec<String> {
    rights.iter().map(ToString::to_string).collect()
}

#[test]
fn rights_are_what_bound_roles_give() {
    assert_eq!(
        lines(&rights(&roles())),
        [
            "mesh/cp: create configmaps",
            "mesh/cp: get leases.coordination.k8s.io in mesh",
            "mesh/cp: list pods",
            "mesh/cp: patch configmaps named root",
            "mesh/cp: watch pods",
        ]
    );
}

#[test]
fn what_was_never_used_and_what_nobody_granted_come_out() {
    let rights = rights(&roles());
    let leases = ("coordination.k8s.io", "leases");
    let judgement = judge(
        &rights,
        &[
            asked("list", ("", "pods"), (None, None)),
            asked("get", leases, (Some("mesh"), Some("a"))),
            asked("get", leases, (Some("elsewhere"), Some("a"))),
            asked("patch", ("", "configmaps"), (Some("shop"), Some("other"))),
            asked(
                "create",
                ("authorization.k8s.io", "selfsubjectaccessreviews"),
                (None, None),
            ),
        ],
    );
    let uncovered: Vec<_> = judgement.uncovered.iter().map(String::as_str).collect();
    assert_eq!(
        uncovered,
        [
            "mesh/cp: get leases.coordination.k8s.io in elsewhere",
            "mesh/cp: patch configmaps in shop",
        ]
    );
    assert_eq!(
        lines(&judgement.unused),
        [
            "mesh/cp: create configmaps",
            "mesh/cp: patch configmaps named root",
            "mesh/cp: watch pods",
        ]
    );
    assert!(judgement.refused.is_empty());
}

#[test]
fn who_applies_what_is_not_there_makes_it() {
    let rights = rights(&roles());
    let made = Asked {
        made: true,
        ..asked("patch", ("", "configmaps"), (Some("shop"), Some("root")))
    };
    let judgement = judge(&rights, &[made]);
    assert!(judgement.uncovered.is_empty(), "{judgement:?}");
    assert!(!lines(&judgement.unused).contains(&"mesh/cp: create configmaps".to_owned()));
}

#[test]
fn a_refusal_counts_unless_the_api_server_was_starting() {
    let rights = rights(&roles());
    let refused = Asked {
        granted: false,
        ..asked("list", ("", "pods"), (None, None))
    };
    let starting = Asked {
        starting: true,
        ..refused.clone()
    };
    assert!(judge(&rights, &[starting]).refused.is_empty());
    assert_eq!(judge(&rights, &[refused]).refused.len(), 1);
    let stranger = Asked {
        account: "shop/default".to_owned(),
        granted: false,
        ..asked("list", ("", "pods"), (None, None))
    };
    assert_eq!(judge(&rights, &[stranger]).uncovered.len(), 1);
}
