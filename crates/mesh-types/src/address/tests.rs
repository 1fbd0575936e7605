use super::*;

#[test]
fn authorities_survive_a_round_trip() {
    for s in [
        "10.0.0.1:80",
        "[fd00::1]:8080",
        "web.shop.svc.cluster.local:443",
        "*.example.com:443",
    ] {
        let parsed: Authority = s.parse().unwrap();
        assert_eq!(parsed.to_string(), s);
    }
}

#[test]
fn mapped_addresses_become_ipv4() {
    assert_eq!(
        "[::ffff:10.0.0.1]:80".parse::<Authority>().unwrap().to_string(),
        "10.0.0.1:80"
    );
    assert_eq!(
        NetworkAddress::new("", "::ffff:10.0.0.1".parse().unwrap()).to_string(),
        "/10.0.0.1"
    );
}

#[test]
fn host_names_lose_case_and_the_trailing_dot() {
    assert_eq!(
        "Web.Shop.:80".parse::<Authority>().unwrap().to_string(),
        "web.shop:80"
    );
}

#[test]
fn what_is_no_authority_is_refused() {
    for s in [
        "",
        ":80",
        "web",
        "web:",
        "web:0",
        "web:65536",
        "web:+80",
        "web: 80",
        "10.0.0.1",
        "10.0.0:80",
        "1.2.3.4.5:80",
        "[fd00::1:80",
        "fd00::1:80",
        "[10.0.0.1]:80",
        "we b:80",
        "a..b:80",
        "-a:80",
        "user@web:80",
        "web/x:80",
        "[::1]",
    ] {
        assert!(s.parse::<Authority>().is_err(), "{s:?} was taken");
    }
}

#[test]
fn namespaced_names() {
    let n: NamespacedName = "shop/web".parse().unwrap();
    assert_eq!((n.namespace.as_str(), n.name.as_str()), ("shop", "web"));
    assert_eq!("/web".parse::<NamespacedName>().unwrap().namespace, "");
    assert!("shop".parse::<NamespacedName>().is_err());
    assert!("shop/a/b".parse::<NamespacedHostname>().is_err());
}
