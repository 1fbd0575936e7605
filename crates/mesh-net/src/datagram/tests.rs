use super::*;

fn loopback() -> BindOptions {
    BindOptions {
        addr: ([127, 0, 0, 1], 0).into(),
        mark: None,
        reuse_port: false,
    }
}

fn blocking(socket: UdpSocket) -> UdpSocket {
    socket.set_nonblocking(false).unwrap();
    let patience = std::time::Duration::from_secs(10);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let server = blocking(bind(&loopback()).unwrap());
    let stranger = bind(&loopback()).unwrap();
    let client = blocking(connect(None, server.local_addr().unwrap(), None).unwrap());
    client.send(b"question").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"question");
    stranger.send_to(b"forged", from).unwrap();
    server.send_to(b"answer", from).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");
}

#[test]
fn ports_are_shared_where_that_is_asked_for() {
    let shared = BindOptions {
        reuse_port: true,
        ..loopback()
    };
    let first = bind(&shared).unwrap();
    let same = BindOptions {
        addr: first.local_addr().unwrap(),
        ..shared
    };
    bind(&same).expect("a second socket on the port");
    let own = BindOptions {
        reuse_port: false,
        ..same
    };
    let error = bind(&own).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn both_families_have_ports_of_their_own() {
    let v4 = bind(&loopback()).unwrap();
    let port = v4.local_addr().unwrap().port();
    let v6 = BindOptions {
        addr: SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
        ..loopback()
    };
    bind(&v6).expect("the port of the other family");
}
