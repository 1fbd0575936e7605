use super::*;

fn identity(s: &str) -> Result<Identity, InvalidIdentity> {
    s.parse()
}

#[test]
fn parts_and_text_agree() {
    let id = identity("spiffe://cluster.local/ns/shop/sa/web").unwrap();
    assert_eq!(id.trust_domain().as_str(), "cluster.local");
    assert_eq!(id.namespace().as_str(), "shop");
    assert_eq!(id.service_account().as_str(), "web");
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(id.principal(), "cluster.local/ns/shop/sa/web");
}

#[test]
fn anything_else_is_refused() {
    for bad in [
        "",
        "https://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/shop/sa/web/extra",
        "spiffe://cluster.local/ns//sa/web",
        "spiffe://cluster.local/ns/shop/sa/",
        "spiffe:///ns/shop/sa/web",
        "spiffe://user@cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local:80/ns/shop/sa/web",
        "spiffe://Cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/we\0b",
        "spiffe://cluster.local/ns/../sa/web",
        "spiffe://cluster.local/ns/shop/sa/web?x=1",
        "spiffe://cluster.local/NS/shop/sa/web",
    ] {
        assert!(identity(bad).is_err(), "{bad:?} was taken");
    }
    let long = format!("spiffe://cluster.local/ns/shop/sa/{}", "a".repeat(2048));
    assert!(matches!(identity(&long), Err(InvalidIdentity::TooLong(_))));
}
