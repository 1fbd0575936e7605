use mesh_model::l7::policy::{PathNormalization, Unusable};
use mesh_model::l7::{Created, ObjectRef, Target};
use mesh_types::NamespacedName;

use super::*;

fn policy(name: &str, kind: PolicyKind) -> Policy {
    Policy {
        part: "".into(),
        object: ObjectRef {
            kind: "Some".into(),
            name: NamespacedName::new("shop", name),
        },
        targets: vec![Target::Mesh],
        created: Created::unknown(),
        kind,
    }
}

fn unusable() -> PolicyKind {
    PolicyKind::Unusable(Unusable {
        label: "quota".into(),
        reason: "kind is missing".into(),
    })
}

#[test]
fn what_is_not_understood_is_named() {
    let (fine, bad) = (
        policy("paths", PolicyKind::PathNormalization(PathNormalization::Base)),
        policy("later", unusable()),
    );
    let not = NotEnforced::among(&[&fine, &bad]);
    assert_eq!(not.policy().map(|p| p.as_str()), Some("Some/shop/later/quota"));
    assert_eq!(why_not(&bad).as_deref(), Some("kind is missing"));
    assert_eq!(NotEnforced::among(&[&fine]), NotEnforced::default());
}
