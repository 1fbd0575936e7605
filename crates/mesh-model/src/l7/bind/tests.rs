use super::*;

#[test]
fn only_the_node_is_believed_about_identities() {
    let trust = |node, ranges: &[&str]| ProxyTrust {
        node,
        addresses_from: ranges
            .iter()
            .map(|range| range.parse().expect("a range"))
            .collect(),
    };
    for (trust, peer, expected) in [
        (trust(true, &[]), "10.0.0.5", Believed::Identity),
        (trust(true, &[]), "::ffff:10.0.0.5", Believed::Identity),
        (trust(true, &[]), "127.0.0.1", Believed::Identity),
        (trust(true, &[]), "::1", Believed::Identity),
        (trust(true, &[]), "10.0.0.6", Believed::Nothing),
        (trust(false, &[]), "10.0.0.5", Believed::Nothing),
        (trust(false, &[]), "127.0.0.1", Believed::Nothing),
        (trust(false, &["10.0.0.0/24"]), "10.0.0.5", Believed::Addresses),
        (
            trust(false, &["10.0.0.0/24"]),
            "::ffff:10.0.0.7",
            Believed::Addresses,
        ),
        (trust(true, &["10.0.0.0/24"]), "10.0.1.7", Believed::Nothing),
        (trust(true, &["0.0.0.0/0"]), "fd00::1", Believed::Nothing),
        (ProxyTrust::default(), "10.0.0.5", Believed::Nothing),
    ] {
        let (peer, local) = (peer.parse().expect("one"), "10.0.0.5".parse().expect("one"));
        assert_eq!(trust.believes(peer, local), expected, "{trust:?} {peer}");
    }
}
