use super::*;
use crate::caller::BoundPod;

/// One node with one workload, and the ztunnel pod of that node.
struct OneNode;

impl NodeWorkloads for OneNode {
    fn runs(&self, node: &str, namespace: &str, service_account: &str) -> bool {
        (node, namespace, service_account) == ("node-a", "shop", "cart")
    }

    fn identities(&self, _: &str) -> usize {
        1
    }

    fn is_current(&self, caller: &TokenSubject) -> bool {
        caller.node == "node-a" && caller.pod.as_ref().is_some_and(|p| p.uid == "5a3c")
    }
}

fn token(account: &str, node: &str) -> Caller {
    Caller::Token(TokenSubject {
        account: account.parse().unwrap(),
        node: node.to_owned(),
        pod: None,
    })
}

fn id(s: &str) -> Identity {
    s.parse().unwrap()
}

fn ask(caller: &Caller, wanted: Option<&str>) -> Result<Identity, Refusal> {
    authorize(&NodePolicy::default(), &OneNode, caller, wanted.map(id).as_ref())
}

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

#[test]
fn a_node_proxy_gets_what_runs_on_its_node() {
    assert_eq!(
        ask(&token("istio-system/ztunnel", "node-a"), Some(CART)),
        Ok(id(CART))
    );
    assert!(matches!(
        ask(&token("istio-system/ztunnel", "node-b"), Some(CART)),
        Err(Refusal::NotOnNode { .. })
    ));
    assert!(matches!(
        ask(
            &token("istio-system/ztunnel", "node-a"),
            Some("spiffe://cluster.local/ns/shop/sa/bank")
        ),
        Err(Refusal::NotOnNode { .. })
    ));
}

#[test]
fn the_trust_domain_is_compared() {
    let foreign = "spiffe://elsewhere/ns/shop/sa/cart";
    for caller in [token("istio-system/ztunnel", "node-a"), Caller::Mesh(id(foreign))] {
        assert!(matches!(
            ask(&caller, Some(foreign)),
            Err(Refusal::TrustDomain { .. })
        ));
    }
    assert!(matches!(
        ask(&Caller::Mesh(id(foreign)), None),
        Err(Refusal::TrustDomain { .. })
    ));
}

#[test]
fn others_speak_only_for_themselves() {
    assert!(matches!(
        ask(&token("shop/web", "node-a"), Some(CART)),
        Err(Refusal::NotANodeProxy { .. })
    ));
    assert_eq!(ask(&token("shop/cart", "node-a"), None), Ok(id(CART)));
    assert_eq!(ask(&token("shop/cart", "node-a"), Some(CART)), Ok(id(CART)));
}

/// Neither a name like a node proxy's nor the same letters in another case speak for others, and no label is asked for.
#[test]
fn who_is_only_called_like_a_node_proxy_speaks_for_nobody_else() {
    for account in [
        "shop/ztunnel",
        "kube-system/ztunnel",
        "istio-system-2/ztunnel",
        "istio-system/ztunnel-2",
        "istio-system/istiod",
    ] {
        let refused = ask(&token(account, "node-a"), Some(CART));
        assert!(
            matches!(refused, Err(Refusal::NotANodeProxy { .. })),
            "{account}: {refused:?}"
        );
    }
    for account in [
        "Istio-System/ztunnel",
        "istio-system/Ztunnel",
        "istio-system/ZTUNNEL",
        "istio-system./ztunnel",
    ] {
        // What Kubernetes calls nobody is no account, or one that is not trusted.
        let Ok(parsed) = account.parse::<ServiceAccount>() else {
            continue;
        };
        assert!(
            !NodePolicy::default().trusted_node_accounts.contains(&parsed),
            "{account}"
        );
        assert!(ask(&token(account, "node-a"), Some(CART)).is_err(), "{account}");
    }
}

#[test]
fn a_certificate_renews_itself_and_nothing_else() {
    let cart = Caller::Mesh(id(CART));
    assert_eq!(ask(&cart, None), Ok(id(CART)));
    assert_eq!(ask(&cart, Some(CART)), Ok(id(CART)));
    // Not even the node proxy's own certificate speaks for others: it does not say which node it is on.
    let ztunnel = Caller::Mesh(id("spiffe://cluster.local/ns/istio-system/sa/ztunnel"));
    assert!(matches!(
        ask(&ztunnel, Some(CART)),
        Err(Refusal::NotOwnIdentity { .. })
    ));
}

#[test]
fn a_bound_pod_must_still_be_that_pod() {
    let bound = |uid: &str| {
        Caller::Token(TokenSubject {
            account: "istio-system/ztunnel".parse().unwrap(),
            node: "node-a".to_owned(),
            pod: Some(BoundPod {
                name: "ztunnel-x7k2p".to_owned(),
                uid: uid.to_owned(),
            }),
        })
    };
    assert_eq!(ask(&bound("5a3c"), Some(CART)), Ok(id(CART)));
    assert!(matches!(
        ask(&bound("0000"), Some(CART)),
        Err(Refusal::PodGone { .. })
    ));
    assert!(matches!(ask(&bound("0000"), None), Err(Refusal::PodGone { .. })));
}

/// Whatever is asked: what comes out is the caller's own identity, or one that runs on the caller's node.
#[test]
fn never_issues_beyond_the_node() {
    let names = ["shop", "cart", "bank", "istio-system", "ztunnel"];
    let nodes = ["node-a", "node-b"];
    let domains = ["cluster.local", "elsewhere"];
    let mut issued = 0;
    for (account_ns, account) in pairs(&names) {
        for node in nodes {
            for (ns, sa) in pairs(&names) {
                for domain in domains {
                    let wanted = id(&format!("spiffe://{domain}/ns/{ns}/sa/{sa}"));
                    let caller = token(&format!("{account_ns}/{account}"), node);
                    let Ok(got) = authorize(&NodePolicy::default(), &OneNode, &caller, Some(&wanted)) else {
                        continue;
                    };
                    issued += 1;
                    let own = (ns, sa) == (account_ns, account);
                    let proxy = (account_ns, account) == ("istio-system", "ztunnel");
                    assert_eq!(got, wanted);
                    assert_eq!(domain, "cluster.local");
                    assert!(own || (proxy && OneNode.runs(node, ns, sa)), "{caller} got {got}");
                }
            }
        }
    }
    assert_eq!(issued, 25 * 2 + 1);
}

fn pairs<'a>(names: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    names
        .iter()
        .flat_map(move |a| names.iter().map(move |b| (*a, *b)))
}
