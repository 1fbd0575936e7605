use std::io::Read;
use std::net::{Ipv6Addr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::*;
use crate::netns::Netns;
use crate::process::{in_namespaces, set_interface_up};

#[test]
fn the_ipv6_wildcard_serves_both_families() {
    let listener = listen(&ListenOptions::new(wildcard_v6())).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(false).unwrap();
    for ip in ["127.0.0.1", "::1"] {
        let client = TcpStream::connect((ip, port)).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.port(), client.local_addr().unwrap().port());
    }
}

#[test]
fn v6_only_leaves_ipv4_to_others() {
    let mut options = ListenOptions::new(wildcard_v6());
    options.v6_only = true;
    let v6 = listen(&options).unwrap();
    let port = v6.local_addr().unwrap().port();
    listen(&ListenOptions::new(([127, 0, 0, 1], port).into())).expect("the IPv4 port is free");
}

#[test]
fn somebody_who_listens_is_found_out_and_what_connections_left_behind_is_not() {
    // A process of its own: what other tests start there has, until it executes, a copy of every descriptor.
    in_namespaces(|| {
        set_interface_up("lo").unwrap();
        for addr in [wildcard_v6(), SocketAddr::from(([0, 0, 0, 0], 0)), loopback()] {
            let mut options = ListenOptions::new(addr);
            options.reuse_port = true;
            let listener = listen(&options).unwrap();
            let port = listener.local_addr().unwrap().port();
            let of_all = SocketAddr::from(([0, 0, 0, 0], port));
            assert!(is_listened_on(of_all).unwrap(), "{addr}");
            // The listener's side closes first, and its end stays for a minute.
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(false).unwrap();
            drop(listener.accept().unwrap());
            drop(listener);
            drop(client);
            assert!(!is_listened_on(of_all).unwrap(), "{addr}");
        }
    });
}

#[test]
fn what_waits_in_a_closing_listeners_queue_passes_on_to_its_successor() {
    in_namespaces(|| {
        let pod = Netns::create().unwrap();
        pod.run(|| {
            set_interface_up("lo").unwrap();
            pass_on_queued().unwrap();
            for addr in [loopback(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
                let mut options = ListenOptions::new(addr);
                options.reuse_port = true;
                let closing = listen(&options).unwrap();
                options.addr = closing.local_addr().unwrap();
                let connect = || TcpStream::connect(options.addr).unwrap();
                let mut clients: Vec<_> = (0..100).map(|_| connect()).collect();
                let successor = listen(&options).unwrap();
                clients.extend((0..100).map(|_| connect()));
                drop(closing);
                let mut accepted = Vec::new();
                while let Ok((stream, _)) = successor.accept() {
                    accepted.push(stream);
                }
                assert_eq!(accepted.len(), 200);
                drop(accepted);
                for mut client in clients {
                    assert_eq!(client.read(&mut [0]).unwrap(), 0, "closed, not reset");
                }
            }
        })
        .unwrap();
    });
}

#[test]
fn a_held_listener_lets_nobody_in_nor_a_byte_until_it_is_opened() {
    in_namespaces(|| {
        set_interface_up("lo").unwrap();
        for addr in [loopback(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let mut options = ListenOptions::new(addr);
            options.reuse_port = true;
            options.keepalive = Some(Keepalive::default());
            let held = listen_held(&options).unwrap();
            options.addr = held.socket.local_addr().unwrap().as_socket().unwrap();
            // Another worker's, at the same door.
            let other = listen_held(&options).unwrap();
            let hurried = |within| TcpStream::connect_timeout(&options.addr, within);
            let error = hurried(Duration::from_millis(50)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{addr}");

            let patient = thread::spawn(move || TcpStream::connect(options.addr));
            for held in [&held, &other] {
                held.open().unwrap();
                held.open().unwrap();
            }
            patient.join().unwrap().unwrap();
            let listeners = [held, other].map(|held| held.into_listener().unwrap());
            let accepted: Vec<_> = listeners.iter().filter_map(|l| l.accept().ok()).collect();
            assert_eq!(accepted.len(), 1, "the patient client alone");
            assert!(SockRef::from(&accepted[0].0).keepalive().unwrap());
        }
    });
}

#[test]
fn a_held_listener_can_refuse_and_be_opened_after_that() {
    // A namespace of its own, for a port that was asked for by its number: one that the kernel chose is given back.
    in_namespaces(|| {
        set_interface_up("lo").unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], 15006));
        let mut options = ListenOptions::new(addr);
        options.reuse_port = true;
        let held = [(); 2].map(|()| listen_held(&options).unwrap());
        for held in &held {
            held.refuse().unwrap();
        }
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let taken = listen(&ListenOptions::new(addr)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "the port stays its own");

        let listeners = held.map(|held| held.into_listener().unwrap());
        let _client = TcpStream::connect(addr).unwrap();
        assert!(listeners.iter().any(|listener| listener.accept().is_ok()));
        drop(listeners);
        listen(&options).expect("what was accepted leaves the port to a successor");
    });
}

#[test]
fn accepted_connections_inherit_what_the_listener_has() {
    let mut options = ListenOptions::new(loopback());
    options.keepalive = Some(Keepalive {
        time: Duration::from_secs(77),
        interval: Duration::from_secs(7),
        retries: 3,
    });
    let listener = listen(&options).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_nonblocking(false).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
}

#[test]
fn a_port_in_use_is_named() {
    let first = listen(&ListenOptions::new(loopback())).unwrap();
    let addr = first.local_addr().unwrap();
    let error = listen(&ListenOptions::new(addr)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[test]
fn a_shared_port_is_shared() {
    let mut options = ListenOptions::new(loopback());
    options.reuse_port = true;
    let first = listen(&options).unwrap();
    options.addr = first.local_addr().unwrap();
    listen(&options).unwrap();
}

#[test]
fn mark_and_transparency() {
    in_namespaces(|| {
        for transparent_v6 in [false, true] {
            let mut options = ListenOptions::new(if transparent_v6 { wildcard_v6() } else { loopback() });
            options.mark = Some(0x539);
            options.transparent = true;
            let listener = listen(&options).unwrap();
            let socket = SockRef::from(&listener);
            assert_eq!(socket.mark().unwrap(), 0x539);
            assert!(socket.ip_transparent_v4().unwrap());
            assert!(!transparent_v6 || socket.ip_transparent_v6().unwrap());

            let port = listener.local_addr().unwrap().port();
            let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(false).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(SockRef::from(&accepted).mark().unwrap(), 0x539);
        }
    });
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn wildcard_v6() -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, 0).into()
}
