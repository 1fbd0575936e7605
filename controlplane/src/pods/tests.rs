use std::sync::Arc;

use controlplane_ca::caller::{BoundPod, ServiceAccount};
use controlplane_k8s_api::parse;

use super::*;

fn pod(uid: &str, phase: &str) -> FileChange {
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: cart, namespace: shop, uid: '{uid}'}}, \
         spec: {{nodeName: a, serviceAccountName: cart}}, status: {{phase: {phase}}}}}"
    );
    let object = parse(&text).remove(0).expect("a Pod");
    FileChange::Set(object.value.key().expect("a key"), Arc::new(object))
}

fn subject(uid: &str, node: &str, account: &str) -> TokenSubject {
    TokenSubject {
        account: ServiceAccount::new("shop", account).expect("an account"),
        node: node.to_owned(),
        pod: Some(BoundPod {
            name: "cart".to_owned(),
            uid: uid.to_owned(),
        }),
    }
}

#[test]
fn a_token_is_of_the_pod_that_is_there_now() {
    let pods = PodBoard::default();
    assert_eq!(pods.is_current(&subject("1", "a", "cart")), None);
    pods.update(&[pod("1", "Running")]);
    assert_eq!(pods.is_current(&subject("1", "a", "cart")), Some(true));
    for other in [
        subject("0", "a", "cart"),
        subject("1", "b", "cart"),
        subject("1", "a", "else"),
    ] {
        assert_eq!(pods.is_current(&other), Some(false), "{other:?}");
    }
    // Another one of this name.
    pods.update(&[pod("2", "Pending")]);
    assert_eq!(pods.is_current(&subject("1", "a", "cart")), Some(false));
    assert_eq!(pods.is_current(&subject("2", "a", "cart")), Some(true));
    pods.update(&[pod("2", "Succeeded")]);
    assert_eq!(pods.is_current(&subject("2", "a", "cart")), None);
}

#[test]
fn a_pod_runs_while_it_is_known_by_that_uid_and_has_not_ended() {
    let pods = PodBoard::default();
    let name = NamespacedName::new("shop", "cart");
    assert!(!pods.runs(&name, "1"));
    pods.update(&[pod("1", "Running")]);
    assert!(pods.runs(&name, "1") && !pods.runs(&name, "2"));
    pods.update(&[pod("1", "Failed")]);
    assert!(!pods.runs(&name, "1"));
}
