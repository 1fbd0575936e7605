use std::net::{IpAddr, TcpListener};

use socket2::SockRef;

use super::*;
use crate::process::{in_namespaces, set_interface_up};

#[tokio::test]
async fn a_connection_has_its_options() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = NextHop::new(listener.local_addr().unwrap());
    let options = DialOptions {
        user_timeout: Some(Duration::from_secs(9)),
        ..DialOptions::default()
    };
    let stream = dial(None, to, &options).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Keepalive::default().time);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = dial(None, NextHop::new(addr), &DialOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::Refused { .. }), "{error}");
    assert!(error.is_retryable() && !error.is_local());
}

#[tokio::test(start_paused = true)]
async fn nobody_answering_is_a_timeout() {
    // Linux drops the SYN when the queue of a listener that never accepts is full.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let _queued = std::net::TcpStream::connect(addr).unwrap();

    let error = dial(None, NextHop::new(addr), &DialOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::Timeout { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("connecting to {addr}: no answer within 10000 ms")
    );
}

#[test]
fn no_route_is_unreachable() {
    in_namespaces(|| {
        let to = NextHop::new("192.0.2.1:80".parse().unwrap());
        let error = block_on(dial(None, to, &DialOptions::default())).unwrap_err();
        assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
    });
}

#[test]
fn the_source_is_the_one_that_was_asked_for() {
    in_namespaces(|| {
        for (listen, from) in [("127.0.0.1:0", "127.1.2.3"), ("[::1]:0", "::1")] {
            let listener = TcpListener::bind(listen).unwrap();
            let to = NextHop::new(listener.local_addr().unwrap());
            let from: IpAddr = from.parse().unwrap();
            let options = DialOptions {
                source: Some(SourceAddr::new((from, 0).into())),
                mark: Some(0x539),
                ..DialOptions::default()
            };
            let stream = block_on(dial(None, to, &options)).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), from);
            assert_eq!(SockRef::from(&stream).mark().unwrap(), 0x539);
        }
    });
}

#[test]
fn many_connections_of_one_source_share_its_ports() {
    in_namespaces(|| {
        // Two ports for four connections, to two destinations.
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
        let options = DialOptions {
            source: Some(SourceAddr::new("127.1.2.3:0".parse().unwrap())),
            ..DialOptions::default()
        };
        let mut open = Vec::new();
        for listen in ["127.0.0.1:81", "127.0.0.2:81"] {
            let listener = TcpListener::bind(listen).unwrap();
            let to = NextHop::new(listener.local_addr().unwrap());
            for _ in 0..2 {
                open.push(block_on(dial(None, to, &options)).unwrap());
            }
            let error = block_on(dial(None, to, &options)).unwrap_err();
            assert!(error.is_local() && error.is_retryable(), "{error}");
        }
    });
}

#[test]
fn a_source_that_cannot_be_had_is_an_error() {
    in_namespaces(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = NextHop::new(listener.local_addr().unwrap());
        let options = DialOptions {
            source: Some(SourceAddr::new("[2001:db8::1]:0".parse().unwrap())),
            ..DialOptions::default()
        };
        let error = block_on(dial(None, to, &options)).unwrap_err();
        let step = DialStep::Source;
        assert!(
            matches!(error, DialError::Local { step: s, .. } if s == step),
            "{error}"
        );
        assert!(!error.is_retryable());
    });
}

#[test]
fn a_socket_meeting_itself_is_nobody_listening() {
    in_namespaces(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
        for port in [40000, 40001, 40000, 40001] {
            let to = NextHop::new(([127, 0, 0, 1], port).into());
            let error = block_on(dial(None, to, &DialOptions::default())).unwrap_err();
            assert!(matches!(error, DialError::Refused { .. }), "{error}");
        }
    });
}

#[test]
fn the_socket_is_the_namespaces() {
    in_namespaces(|| {
        let pod = Netns::create().unwrap();
        let listener = pod
            .run(|| {
                set_interface_up("lo").unwrap();
                TcpListener::bind("127.0.0.1:0").unwrap()
            })
            .unwrap();
        let to = NextHop::new(listener.local_addr().unwrap());
        let options = DialOptions::default();
        block_on(dial(Some(&pod), to, &options)).unwrap();
        let outside = block_on(dial(None, to, &options)).unwrap_err();
        assert!(matches!(outside, DialError::Refused { .. }), "{outside}");
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}
