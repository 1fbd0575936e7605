use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::process::in_namespaces;

#[test]
fn nft_lists_what_was_set_and_nothing_where_it_is_of_no_port() {
    in_namespaces(|| {
        set(15006, &PortSet::AllBut([8080, 9090].into())).unwrap();
        let expected = [
            "type filter hook output priority mangle; policy accept;",
            "tcp sport != 15006 accept comment \"not what came in the clear\"",
            "ct original proto-dst 8080 accept comment \"may be served in the clear\"",
            "ct original proto-dst 9090 accept comment \"may be served in the clear\"",
            "tcp window set 0 comment \"nothing may be said in the clear before it is refused\"",
        ];
        assert_eq!(rules_listed(), expected);
        set(15006, &PortSet::Only([80].into())).unwrap();
        let only = rules_listed();
        assert_eq!(only.len(), 3, "{only:?}");
        assert!(
            only[2].starts_with("ct original proto-dst 80 tcp window set 0 "),
            "{only:?}"
        );
        nft("add table inet theirs");
        set(15006, &PortSet::none()).unwrap();
        assert_eq!(listed(), "table inet theirs {\n}\n");
        let generation = generation::here();
        assert_eq!(
            set(15006, &PortSet::none()).unwrap(),
            generation,
            "nothing was touched"
        );
    });
}

#[test]
fn whoever_connects_is_let_in_and_may_say_nothing_until_it_is_lifted() {
    in_namespaces(|| {
        nft(
            "add table inet nat { chain out { type nat hook output priority -100; tcp dport { 80, 8080 } redirect to :15006; }; }",
        );
        let listener = TcpListener::bind("[::]:15006").unwrap();
        let says = |to: &str| {
            let mut client = TcpStream::connect(to).unwrap();
            let (server, _) = listener.accept().unwrap();
            client.write_all(b"secret").unwrap();
            (client, server)
        };
        set(15006, &PortSet::AllBut([8080].into())).unwrap();
        let silent: Vec<_> = ["127.0.0.1:80", "[::1]:80", "127.0.0.1:15006"].map(says).into();
        for (_, server) in &silent {
            assert_eq!(heard(server), None);
        }
        assert_eq!(heard(&says("127.0.0.1:8080").1).as_deref(), Some("secret"));
        set(15006, &PortSet::none()).unwrap();
        assert_eq!(heard(&says("127.0.0.1:80").1).as_deref(), Some("secret"));
        for (_, server) in &silent {
            server.set_nonblocking(false).unwrap();
            server.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut said = [0; 6];
            (&*server)
                .read_exact(&mut said)
                .expect("what was kept back, in the end");
            assert_eq!(&said, b"secret");
        }
    });
}

#[test]
fn who_was_refused_hears_so_and_has_said_nothing() {
    in_namespaces(|| {
        let listener = TcpListener::bind("127.0.0.1:15006").unwrap();
        set(15006, &PortSet::all()).unwrap();
        let mut client = TcpStream::connect("127.0.0.1:15006").unwrap();
        client.write_all(b"secret").unwrap();
        let (server, _) = listener.accept().unwrap();
        socket2::SockRef::from(&server)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(server);
        let refused = client.read(&mut [0]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_change_by_somebody_else_is_another_generation() {
    in_namespaces(|| {
        let first = set(15006, &PortSet::all()).unwrap();
        assert!(first.is_some());
        assert_eq!(generation::here(), first);
        nft("flush ruleset");
        assert_ne!(generation::here(), first);
        let second = set(15006, &PortSet::all()).unwrap();
        assert_eq!(generation::here(), second);
    });
}

#[test]
fn many_ports_are_no_matter_and_too_many_change_nothing() {
    in_namespaces(|| {
        set(15006, &PortSet::AllBut((1..=500).collect())).unwrap();
        let before = listed();
        assert!(before.contains("ct original proto-dst 500 "), "{before}");
        set(15006, &PortSet::AllBut((1..=u16::MAX).collect())).unwrap_err();
        assert_eq!(listed(), before);
    });
}

/// What arrives at once, or in a time in which it would.
fn heard(server: &TcpStream) -> Option<String> {
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut said = [0; 6];
    let read = (&*server).read(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said[..read]).into_owned())
}

/// Versions of nft differ in how often they say what follows from the rest.
fn rules_listed() -> Vec<String> {
    let listed = listed().replace("meta l4proto tcp ct", "ct");
    let lines = listed.lines().skip(2).take_while(|line| *line != "\t}");
    lines.map(|line| line.trim().to_owned()).collect()
}

fn listed() -> String {
    let output = Command::new("nft")
        .args(["-s", "list", "ruleset"])
        .output()
        .expect("nft");
    String::from_utf8(output.stdout).unwrap()
}

fn nft(command: &str) {
    let status = Command::new("nft")
        .arg(command)
        .stdin(Stdio::null())
        .status()
        .expect("nft");
    assert!(status.success(), "{command}");
}
