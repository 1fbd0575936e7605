//! Ports that belong to the mesh itself are no way around it: whoever calls them gets an end, never a loop, a wait or
//! somebody else's answer.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use lab::Lab;
use mesh_types::ports;

use crate::client::{Fate, LIMIT, say};
use crate::harness::{Test, test};
use crate::party::{Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[test(
    "calls_to_the_proxys_own_ports_come_to_an_end_and_reach_nobody",
    internal_ports,
)];

/// Every port of upstream's list, whether or not this version serves it.
const PORTS: [u16; 8] = [
    ports::OUTBOUND,
    ports::INBOUND_PLAINTEXT,
    ports::HBONE,
    ports::DNS,
    ports::SOCKS5,
    ports::ADMIN,
    ports::STATS,
    ports::READINESS,
];

fn internal_ports(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let clients = [
        Party::start(lab, "client", 0, true)?,
        Party::start(lab, "plain-client", 0, false)?,
    ];
    let server = Party::start(lab, "server", 1, true)?;
    let mut trace = Trace::follow(lab)?;
    let mut calls = 0;
    for client in &clients {
        for (whose, address) in addresses(lab, client, &server)? {
            for port in PORTS {
                for attempt in attempts(&server) {
                    let to = SocketAddr::new(address, port);
                    let fate = say(client.namespace(), to, &attempt)?;
                    let what = format!("{} to {whose} {to} with {attempt:?}: {fate:?}", client.name());
                    match &fate {
                        Fate::Answered(said) => ensure!(is_own_answer(whose, port, said), "{what}"),
                        fate => ensure!(fate.is_rejection(), "{what}"),
                    }
                    calls += 1;
                }
            }
        }
    }
    // None went round in circles: a call leaves one line at each proxy that it meets.
    let lines = trace.rest().len();
    ensure!(lines <= 2 * calls, "{calls} calls left {lines} lines");
    // And none is still open.
    for node in lab.nodes() {
        lab::wait::until("no connection in any proxy", LIMIT, || {
            let dump = node.config_dump().ok()?;
            let pods = dump["workloadState"].as_object()?.values();
            let open = |pod: &serde_json::Value, direction: &str| {
                pod["connections"][direction]
                    .as_array()
                    .is_none_or(|open| !open.is_empty())
            };
            (!pods
                .into_iter()
                .any(|pod| open(pod, "inbound") || open(pod, "outbound")))
            .then_some(())
        })?;
    }
    // The mesh is as well as before.
    for client in &clients {
        let fate = say(client.namespace(), server.echo(), "as before")?;
        ensure!(
            fate == Fate::Answered("as before".to_owned()),
            "{}: {fate:?}",
            client.name()
        );
    }
    Ok(())
}

/// What a proxy says for itself: a TLS alert (RFC 8446, section 5.1: content type 21), and pages that are for everybody.
fn is_own_answer(whose: &str, port: u16, said: &str) -> bool {
    match port {
        ports::HBONE => said.starts_with('\u{15}') && said.len() == 7,
        ports::STATS | ports::READINESS => whose == "ztunnel" && said.starts_with("HTTP/1.1 "),
        _ => false,
    }
}

fn addresses(lab: &Lab, client: &Party, server: &Party) -> Result<Vec<(&'static str, IpAddr)>> {
    let [near, far] = [0, 1].map(|n| lab.nodes()[n].ztunnel_address());
    Ok(vec![
        ("its own", client.pod.v4()),
        ("its own", client.pod.v6()),
        ("the server's", server.pod.v4()),
        ("the server's", server.pod.v6()),
        ("ztunnel", near),
        ("ztunnel", far),
        ("localhost", "127.0.0.1".parse()?),
        ("localhost", "::1".parse()?),
    ])
}

/// What somebody says who hopes for a proxy: nothing, HTTP, HTTP CONNECT, SOCKS5.
fn attempts(server: &Party) -> [String; 4] {
    let to = server.at(9001);
    [
        String::new(),
        format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n"),
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n"),
        "\x05\x01\x00".to_owned(),
    ]
}
