use std::sync::Arc;

use mesh_certs::request;
use mesh_tls::{TlsSettings, WorkloadCertificate, csr};
use mesh_types::TrustDomain;

use super::*;
use crate::root::Root;
use crate::token::TokenSubject;

struct CartOnNodeA;

impl NodeWorkloads for CartOnNodeA {
    fn runs(&self, node: &str, namespace: &str, service_account: &str) -> bool {
        (node, namespace, service_account) == ("node-a", "shop", "cart")
    }

    fn identities(&self, _: &str) -> usize {
        1
    }

    fn is_current(&self, _: &TokenSubject) -> bool {
        true
    }
}

fn authority() -> Authority<CartOnNodeA> {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::load_or_create(dir.path(), &TrustDomain::default(), SystemTime::now()).unwrap();
    Authority::new(Arc::new(Issuer::new(root)), NodePolicy::default(), CartOnNodeA)
}

fn ztunnel(node: &str) -> Caller {
    Caller::Token(TokenSubject {
        account: "istio-system/ztunnel".parse().unwrap(),
        node: node.to_owned(),
        pod: None,
    })
}

fn order(identity: &str, impersonate: bool) -> (mesh_tls::PrivateKey, Order) {
    let identity: Identity = identity.parse().unwrap();
    let (key, pem) = csr::encode(&identity).unwrap();
    let message = request::encode(pem, Duration::from_secs(3600), impersonate.then_some(&identity));
    (key, request::decode(&message).unwrap())
}

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const ZTUNNEL: &str = "spiffe://cluster.local/ns/istio-system/sa/ztunnel";

#[tokio::test]
async fn what_is_issued_serves_as_a_workload_certificate() {
    let (key, order) = order(CART, true);
    let identity = order.identity.clone();
    let chain = authority().issue(&ztunnel("node-a"), order).await.unwrap();
    let certificate =
        WorkloadCertificate::new(identity.clone(), &key, &chain, &TlsSettings::default()).unwrap();
    assert_eq!(*certificate.identity(), identity);
}

#[tokio::test]
async fn what_does_not_run_on_the_node_is_refused() {
    for (node, identity) in [
        ("node-b", CART),
        ("node-a", "spiffe://cluster.local/ns/shop/sa/bank"),
    ] {
        let refused = authority().issue(&ztunnel(node), order(identity, true).1).await;
        assert!(
            matches!(refused, Err(Refused::Forbidden(_))),
            "{node} {identity}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn without_impersonation_only_the_own_identity() {
    let refused = authority().issue(&ztunnel("node-a"), order(CART, false).1).await;
    assert!(matches!(refused, Err(Refused::Forbidden(_))), "{refused:?}");
    assert!(
        authority()
            .issue(&ztunnel("node-a"), order(ZTUNNEL, false).1)
            .await
            .is_ok()
    );
    let cart = Caller::Mesh(CART.parse().unwrap());
    assert!(authority().issue(&cart, order(CART, false).1).await.is_ok());
    assert!(authority().issue(&cart, order(ZTUNNEL, false).1).await.is_err());
}

#[test]
fn nobody_grinds_the_key() {
    let (authority, (_, order)) = (authority(), order(CART, true));
    let now = Moment {
        wall: SystemTime::now(),
        uptime: Duration::ZERO,
    };
    let results: Vec<_> = (0..100)
        .map(|_| authority.sign(&ztunnel("node-a"), &order, now))
        .collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 33);
    assert!(matches!(results[99], Err(NotIssued::TooMany(_))));
}
