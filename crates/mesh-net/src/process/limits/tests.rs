use super::*;
use crate::process::in_namespaces;

#[test]
fn the_limit_is_as_high_as_it_may_be() {
    let now = raise_nofile_limit().unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!((soft, hard), (now, now));
}

#[test]
fn interfaces_are_found_and_brought_up() {
    in_namespaces(|| {
        let pod = crate::Netns::create().unwrap();
        pod.run(|| {
            assert!(std::net::TcpListener::bind("[::1]:0").is_err(), "lo starts down");
            set_interface_up("lo").unwrap();
            std::net::TcpListener::bind("[::1]:0").unwrap();
            assert_eq!(interface_index("lo").unwrap(), 1);
        })
        .unwrap();
    });
    assert!(interface_index("no-such-device").is_err());
    let long = set_interface_up("a-name-that-no-interface-can-have").unwrap_err();
    assert_eq!(long.kind(), io::ErrorKind::InvalidInput);
}
