use std::net::UdpSocket;

use super::*;
use crate::process::{in_namespaces, interface_index};

#[test]
fn a_canary_is_seen_on_the_wire() {
    in_namespaces(|| {
        let mut capture = PacketSocket::open(interface_index("lo").unwrap()).unwrap();
        capture.set_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.send_to(b"canary-in-plain-sight", to.local_addr().unwrap())
            .unwrap();

        let mut frame = [0; 2048];
        let len = capture.recv(&mut frame).unwrap();
        let canary = b"canary-in-plain-sight";
        assert!(frame[..len].windows(canary.len()).any(|window| window == canary));
        assert_eq!(capture.dropped().unwrap(), 0);
    });
}
