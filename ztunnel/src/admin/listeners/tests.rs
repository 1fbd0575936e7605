use std::net::TcpListener;

use super::*;

fn hex(address: &str) -> String {
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => format!("{:08X}", u32::from_ne_bytes(v4.octets())),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let words = octets.chunks(4);
            let words = words.map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")));
            words.map(|word| format!("{word:08X}")).collect()
        }
    }
}

#[test]
fn lines_of_sockets_that_listen_give_their_addresses() {
    let line = |address: &str, state: &str| {
        format!(
            "   0: {}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000",
            hex(address)
        )
    };
    for (address, expected) in [
        ("127.0.0.1", "127.0.0.1:8080"),
        ("0.0.0.0", "0.0.0.0:8080"),
        ("10.1.2.3", "10.1.2.3:8080"),
        ("::1", "[::1]:8080"),
        ("fd00::1:2", "[fd00::1:2]:8080"),
        ("::ffff:127.0.0.1", "127.0.0.1:8080"),
    ] {
        let expected: SocketAddr = expected.parse().expect("an address");
        assert_eq!(listener(&line(address, "0A")), Some(expected), "{address}");
        assert_eq!(listener(&line(address, "01")), None, "{address} is connected");
    }
}

#[test]
fn what_is_no_such_line_is_passed_over() {
    for line in [
        "",
        "  sl  local_address rem_address   st tx_queue rx_queue",
        "   0: 0100007F 00000000:0000 0A",
        "   0: 7F:1F90 00000000:0000 0A",
        "   0: 0100007G:1F90 00000000:0000 0A",
        "   0: 0100007F:FFFFF 00000000:0000 0A",
    ] {
        assert_eq!(listener(line), None, "{line:?}");
    }
}

#[test]
fn the_kernel_lists_what_listens_here() {
    let bound = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = bound.local_addr().expect("its address");
    assert!(listening().expect("a table").contains(&address));
}
