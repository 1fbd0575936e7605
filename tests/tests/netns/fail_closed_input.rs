//! Garbage on every door: one clear line, and nothing else is affected.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Lab;
use lab::config::PodSpec;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::client::connect;
use crate::harness::{Test, test};
use crate::lifecycle_restart::{LIMIT, Pair};
use crate::party::ENROLLED;

pub(crate) const TESTS: &[Test] = &[
    test(
        "garbage_on_the_sockets_of_the_agent_is_named_and_affects_nobody",
        agent_sockets,
    ),
    test(
        "random_bytes_on_the_ports_of_control_plane_and_proxies_are_named_and_affect_nobody",
        ports,
    ),
];

fn agent_sockets(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let (events, ztunnel) = (lab.nodes()[1].event_socket(), lab.nodes()[1].ztunnel_socket());
    for request in [
        b"\x00\xff\x16\x03garbage\r\n\r\n".to_vec(),
        post("/cmdadd", "{\"Netns\": 7}"),
        post("/cmdadd", "]"),
        post("/nothing", "{}"),
        post("/cmdadd", &"x".repeat(4 << 20)),
    ] {
        let answer = converse(&events, &request)?;
        println!("{}", answer.replace("\r\n", " | "));
        ensure!(!answer.contains(" 200 "), "{answer}");
    }
    let log = lab.node(1).agent()?.log_path().to_owned();
    let complaints = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines()
            .filter(|l| l.contains("a ztunnel does not keep") || l.contains("a ztunnel's connection broke"))
            .count()
    };
    for (n, packet) in [vec![0xff; 64], vec![7; 1025], vec![0; 60_000], Vec::new()]
        .iter()
        .enumerate()
    {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.connect(&SockAddr::unix(&ztunnel)?)?;
        socket.set_read_timeout(Some(LIMIT))?;
        // A packet may be refused while it is sent, when the agent has closed already.
        drop(socket.send(packet));
        drop(socket);
        lab::wait::until(&format!("line {n} about a ztunnel that is none"), LIMIT, || {
            (complaints() > n || packet.is_empty()).then_some(())
        })?;
    }
    let lines = std::fs::read_to_string(&log)?;
    lines
        .lines()
        .filter(|l| l.contains("protocol"))
        .for_each(|l| println!("{l}"));
    let late = lab.start_pod(&PodSpec::new(ENROLLED, "late", 1))?;
    late.check()?;
    pair.answered(10)?;
    pair.nothing_failed("garbage on the agent's sockets")
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn converse(socket: &Path, request: &[u8]) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // A server that refuses early need not read all of it.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn ports(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let outside = lab.control_namespace().clone();
    let mut random = fastrand::Rng::with_seed(7);
    let mut doors: Vec<SocketAddr> = vec!["10.240.0.10:15012".parse()?];
    for party in [&pair.one, &pair.two] {
        doors.extend([15008, 15001, 15006].map(|port| party.at(port)));
        doors.push(SocketAddr::new(party.pod.v6(), 15008));
    }
    for door in doors {
        for length in [1, 100, 5000] {
            let Ok(mut stream) = connect(&outside, door)? else {
                continue;
            };
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            drop(stream.write_all(&bytes));
            drop(stream.shutdown(std::net::Shutdown::Write));
            let mut answer = Vec::new();
            // How it is refused does not matter here, but that it is.
            drop(stream.read_to_end(&mut answer));
            ensure!(!answer.windows(2).any(|w| w == b"OK"), "{door}: {answer:?}");
        }
    }
    pair.answered(10)?;
    lab.wait_controlplane_ready()?;
    lab.wait_ready()?;
    let odd = |log: String| {
        let wrong =
            |l: &&str| l.contains("panicked") || l.contains("\"level\":\"error\"") && !l.contains("access");
        log.lines()
            .filter(wrong)
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    for node in 0..2 {
        let log = lab.node(node).ztunnel()?.log();
        let refusals = log
            .lines()
            .filter(|l| l.contains("10.240.0.10:") && l.contains("error"));
        refusals.take(4).for_each(|l| println!("{l}"));
        let odd = odd(log);
        ensure!(odd.is_empty(), "{odd:#?}");
    }
    pair.nothing_failed("random bytes on all ports")
}
