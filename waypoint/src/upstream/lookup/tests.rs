use super::*;

#[test]
fn only_hosts_below_a_suffix_are_asked_for() {
    let suffixes = [Strng::from(".example.com"), Strng::from(".a.b")];
    for (host, below) in [
        ("www.example.com", true),
        ("a.b.c.example.com", true),
        ("x.a.b", true),
        ("example.com", false),
        (".example.com", false),
        ("evil-example.com", false),
        ("www.example.com.evil", false),
        ("", false),
    ] {
        assert_eq!(is_below(host, &suffixes), below, "{host}");
    }
}

#[test]
fn names_do_not_lead_to_this_machine() {
    for (ip, elsewhere) in [
        ("127.0.0.1", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("0.0.0.0", false),
        ("169.254.169.254", false),
        ("fe80::1", false),
        ("224.0.0.1", false),
        ("10.0.0.1", true),
        ("192.0.2.1", true),
        ("2001:db8::1", true),
    ] {
        assert_eq!(
            is_elsewhere(&ip.parse::<IpAddr>().unwrap().to_canonical()),
            elsewhere,
            "{ip}"
        );
    }
}
