use super::*;

fn of(address: &str) -> Reach {
    reach(address.parse().unwrap())
}

#[test]
fn what_only_this_machine_can_reach_is_forbidden() {
    for address in [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ] {
        assert_eq!(of(address), Reach::Forbidden, "{address}");
        assert!(!permitted(address.parse().unwrap(), true), "{address}");
    }
}

#[test]
fn private_networks_are_for_what_the_mesh_knows() {
    for address in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "fc00::1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ] {
        assert_eq!(of(address), Reach::Private, "{address}");
        let address = address.parse().unwrap();
        assert!(permitted(address, true) && !permitted(address, false));
    }
}

#[test]
fn the_rest_is_public() {
    for address in [
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::101:101",
    ] {
        assert_eq!(of(address), Reach::Public, "{address}");
    }
}
