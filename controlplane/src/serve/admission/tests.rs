use std::sync::Arc;

use controlplane_ca::token::{TokenKey, TokenSubject};

use super::*;

fn admit(caller: &Caller, namespace: &str, node: &str) -> Result<(), Denied> {
    admission().admit(caller, &NodeInfo::ztunnel(None, "ztunnel-x", namespace, node))
}

fn admission() -> XdsAdmission {
    let gateways = GatewayBoard::default();
    gateways.update(vec![
        ("shop/waypoint".to_owned(), Some("waypoint".into())),
        ("shop/gone".to_owned(), Some("gone".into())),
        ("bank/waypoint".to_owned(), Some("waypoint".into())),
    ]);
    gateways.update(vec![("shop/gone".to_owned(), None)]);
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(TokenKey::load_or_create(dir.path()).unwrap());
    XdsAdmission {
        authenticator: Authenticator::new(key, mesh_types::TrustDomain::default()),
        gateways,
        root_namespace: "istio-system".to_owned(),
    }
}

async fn may_look(token: Option<&str>, account: &str) -> Result<Audience, Denied> {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(TokenKey::load_or_create(dir.path()).unwrap());
    let admission = XdsAdmission {
        authenticator: Authenticator::new(key.clone(), mesh_types::TrustDomain::default()),
        ..admission()
    };
    let subject = TokenSubject {
        account: account.parse().unwrap(),
        node: "node-a".to_owned(),
        pod: None,
    };
    let signed = key
        .sign(&subject, Duration::from_secs(60), std::time::SystemTime::now())
        .unwrap();
    let mut metadata = MetadataMap::new();
    let header = format!("Bearer {}", token.unwrap_or(signed.as_str()));
    metadata.insert("authorization", header.parse().unwrap());
    admission.may_look(&metadata, None).await
}

#[tokio::test]
async fn accounts_of_the_meshs_own_namespace_are_told_of_everybody_and_others_of_their_own() {
    assert_eq!(
        may_look(None, "istio-system/default").await,
        Ok(Audience::Everybody)
    );
    assert_eq!(
        may_look(None, "shop/cart").await,
        Ok(Audience::Namespace("shop".to_owned()))
    );
    assert!(matches!(
        may_look(Some("no token"), "istio-system/default").await,
        Err(Denied::Unauthenticated(_))
    ));
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
        Err(Denied::NotWhatItSays(_))
    ));
    assert!(matches!(
        admit(&ztunnel, "istio-system", "node-b"),
        Err(Denied::NotWhatItSays(_))
    ));
}

#[test]
fn a_certificate_names_no_node() {
    let cart = Caller::Mesh("spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap());
    assert_eq!(admit(&cart, "shop", "node-b"), Ok(()));
    assert!(matches!(
        admit(&cart, "bank", "node-b"),
        Err(Denied::NotWhatItSays(_))
    ));
}

#[test]
fn only_a_gateways_own_account_follows_what_it_serves() {
    let token = |account: &str| {
        Caller::Token(TokenSubject {
            account: account.parse().unwrap(),
            node: "node-a".to_owned(),
            pod: None,
        })
    };
    let certificate = |account: &str| {
        let (namespace, name) = account.split_once('/').unwrap();
        Caller::Mesh(
            format!("spiffe://cluster.local/ns/{namespace}/sa/{name}")
                .parse()
                .unwrap(),
        )
    };
    let callers: [&dyn Fn(&str) -> Caller; 2] = [&token, &certificate];
    for caller in callers {
        for (account, gateway, refused) in [
            ("shop/waypoint", "waypoint", None),
            ("shop/cart", "waypoint", Some("run as service account waypoint")),
            ("shop/gone", "gone", Some("no such Gateway")),
            ("shop/other", "other", Some("no such Gateway")),
            // A namespace that says to be another one.
            (
                "bank/waypoint",
                "waypoint",
                Some("says that it is in namespace \"shop\""),
            ),
        ] {
            let node = NodeInfo::waypoint(None, "pod-x", "shop", "node-a", gateway);
            match (admission().admit(&caller(account), &node), refused) {
                (Ok(()), None) => {}
                (Err(Denied::NotWhatItSays(text)), Some(why)) => assert!(text.contains(why), "{text}"),
                (outcome, _) => panic!("{account} at {gateway}: {outcome:?}"),
            }
        }
    }
}
