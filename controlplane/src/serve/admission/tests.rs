use std::sync::Arc;

use controlplane_ca::token::{TokenKey, TokenSubject};

use super::*;

fn admit(caller: &Caller, namespace: &str, node: &str) -> Result<(), Denied> {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(TokenKey::load_or_create(dir.path()).unwrap());
    let admission = XdsAdmission(Authenticator::new(key, mesh_types::TrustDomain::default()));
    admission.admit(caller, &NodeInfo::ztunnel(None, "ztunnel-x", namespace, node))
}

#[test]
fn a_client_is_what_its_token_says() {
    let ztunnel = Caller::Token(TokenSubject {
        account: "istio-system/ztunnel".parse().unwrap(),
        node: "node-a".to_owned(),
        pod: None,
    });
    assert_eq!(admit(&ztunnel, "istio-system", "node-a"), Ok(()));
    assert!(matches!(
        admit(&ztunnel, "shop", "node-a"),
        Err(Denied::Forbidden(_))
    ));
    assert!(matches!(
        admit(&ztunnel, "istio-system", "node-b"),
        Err(Denied::Forbidden(_))
    ));
}

#[test]
fn a_certificate_names_no_node() {
    let cart = Caller::Mesh("spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap());
    assert_eq!(admit(&cart, "shop", "node-b"), Ok(()));
    assert!(matches!(
        admit(&cart, "bank", "node-b"),
        Err(Denied::Forbidden(_))
    ));
}
