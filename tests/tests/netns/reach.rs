//! Who reaches whom, and how: mTLS or plain, by pod address, by service address, in both families.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lab::Lab;

use crate::client::{Fate, listen, say};
use crate::harness::{Test, test};
use crate::party::{ENROLLED, Party, knows_service, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "captured_and_uncaptured_pods_reach_each_other_on_and_across_nodes_and_only_captured_pairs_use_mtls",
        all_pairs,
    ),
    test(
        "a_service_address_leads_to_an_endpoint_whether_the_endpoint_is_enrolled_or_not",
        services,
    ),
    test(
        "a_service_without_endpoints_and_a_port_it_does_not_have_are_refused_with_the_reason",
        no_endpoints,
    ),
    test(
        "a_destination_outside_the_mesh_is_reached_as_it_is",
        outside_the_mesh,
    ),
    test(
        "a_pod_reaches_itself_by_its_own_address_by_its_service_and_by_localhost",
        itself,
    ),
];

fn all_pairs(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let clients = [
        Party::start(lab, "plain-client", 0, false)?,
        Party::start(lab, "client", 0, true)?,
    ];
    let mut servers = Vec::new();
    for node in 0..2 {
        servers.push(Party::start(lab, &format!("plain-server-{node}"), node, false)?);
        servers.push(Party::start(lab, &format!("server-{node}"), node, true)?);
    }
    let mut trace = Trace::follow(lab)?;
    for client in &clients {
        for server in &servers {
            for address in [server.pod.v4(), server.pod.v6()] {
                exchange(&mut trace, client, server, SocketAddr::new(address, 9000), None)?;
            }
        }
    }
    // Pairs without a captured pod come first and leave nothing behind, nor does any other flow leave more than expected.
    let rest = trace.rest();
    ensure!(rest.is_empty(), "unexpected lines: {rest:#?}");
    Ok(())
}

fn services(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let servers = [
        Party::start(lab, "same", 0, true)?,
        Party::start(lab, "cross", 1, true)?,
        Party::start(lab, "plain", 1, false)?,
    ];
    let mut trace = Trace::follow(lab)?;
    for (i, server) in servers.iter().enumerate() {
        for vip in [format!("10.96.1.{i}"), format!("fd00:96::1:{i}")] {
            let vip: IpAddr = vip.parse()?;
            let namespace = &server.pod.spec().namespace;
            let name = format!("{}-{}", server.name(), if vip.is_ipv4() { "v4" } else { "v6" });
            lab.config()
                .service(namespace, &name, &vip.to_string(), server.name(), &[(80, 9000)])?;
            knows_service(lab, 0, &name)?;
            let hostname = format!("{name}.{namespace}.svc.cluster.local");
            exchange(
                &mut trace,
                &client,
                server,
                SocketAddr::new(vip, 80),
                Some(&hostname),
            )?;
        }
    }
    Ok(())
}

/// One exchange, and the lines that it must leave.
fn exchange(
    trace: &mut Trace,
    client: &Party,
    server: &Party,
    to: SocketAddr,
    service: Option<&str>,
) -> Result<()> {
    let what = format!("{} to {} at {to}", client.name(), server.name());
    let text = format!("hello from {what}");
    let fate = say(client.namespace(), to, &text)?;
    ensure!(fate == Fate::Answered(text.clone()), "{what}: {fate:?}");

    let mtls = client.captured && server.captured;
    let (from, at) = (client.identity(), server.identity());
    let bytes = text.len().to_string();
    let (own, known) = (client.name().to_owned(), server.name().to_owned());
    for (node, direction, present) in [
        (client.node(), "outbound", client.captured),
        (server.node(), "inbound", server.captured),
    ] {
        if !present {
            continue;
        }
        let mut values = vec![
            ("direction", direction),
            ("src.workload", own.as_str()),
            ("dst.workload", known.as_str()),
            ("bytes_sent", bytes.as_str()),
            ("bytes_recv", bytes.as_str()),
            ("message", "connection complete"),
        ];
        values.extend(service.map(|s| ("dst.service", s)));
        let line = trace.expect(node, &values).context(what.clone())?;
        let identities = (line.get("src.identity"), line.get("dst.identity"));
        let tunnel = line.get("dst.hbone_addr");
        if mtls {
            ensure!(
                identities == (Some(from.as_str()), Some(at.as_str())),
                "{what}: {line:?}"
            );
            ensure!(tunnel.is_some(), "{what}: {line:?}");
        } else {
            ensure!(identities == (None, None) && tunnel.is_none(), "{what}: {line:?}");
        }
        ensure!(line.get("error").is_none(), "{what}: {line:?}");
    }
    Ok(())
}

fn no_endpoints(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let server = Party::start(lab, "server", 1, true)?;
    lab.config()
        .service(ENROLLED, "empty", "10.96.2.1", "nobody", &[(80, 9000)])?;
    lab.config()
        .service(ENROLLED, "server", "10.96.2.2", "server", &[(80, 9000)])?;
    knows_service(lab, 0, "empty")?;
    knows_service(lab, 0, "server")?;
    let mut trace = Trace::follow(lab)?;
    for (to, reason) in [
        (
            "10.96.2.1:80",
            "empty.shop.svc.cluster.local has no healthy endpoint",
        ),
        ("10.96.2.2:81", "server.shop.svc.cluster.local has no port 81"),
    ] {
        let fate = say(client.namespace(), to.parse()?, "anybody?")?;
        ensure!(fate == Fate::Reset, "{to}: {fate:?}");
        let fate = say(client.namespace(), to.parse()?, "")?;
        ensure!(fate == Fate::Reset, "{to}, client silent: {fate:?}");
        trace.expect_error(0, &[("direction", "outbound")], reason)?;
    }
    // The service itself is fine.
    let fate = say(client.namespace(), "10.96.2.2:80".parse()?, "hello")?;
    ensure!(fate == Fate::Answered("hello".to_owned()), "{fate:?}");
    drop(server);
    // Nor does a pod that nobody answers at leave its client waiting.
    let nobody = SocketAddr::new(client.pod.v4(), 9999);
    let fate = say(client.namespace(), nobody, "hello")?;
    ensure!(fate.is_rejection(), "{fate:?}");
    Ok(())
}

fn outside_the_mesh(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    // The control plane's machine is a host like any other: no pod, no workload.
    let outside = lab.control_namespace().clone();
    let mut trace = Trace::follow(lab)?;
    for address in ["10.240.0.10", "fd00:240::a"] {
        let at = SocketAddr::new(address.parse()?, 9000);
        let listener = listen(&outside, at)?;
        let server = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
        });
        let fate = say(client.namespace(), at, "out there")?;
        ensure!(fate == Fate::Answered("out there".to_owned()), "{at}: {fate:?}");
        server.join().expect("the server does not panic")?;
        let line = trace.expect(0, &[("direction", "outbound"), ("dst.addr", &at.to_string())])?;
        ensure!(line.get("dst.workload").is_none(), "{line:?}");
        ensure!(line.get("src.identity").is_none(), "{line:?}");
        // The listener is gone, and the client is told.
        let fate = say(client.namespace(), at, "still there?")?;
        ensure!(fate == Fate::Reset, "{at}: {fate:?}");
        trace.expect_error(0, &[("dst.addr", &at.to_string())], "refused")?;
    }
    // Nobody has this address: the network says so after a while, and the client is told.
    let nobody: SocketAddr = "10.240.0.99:9000".parse()?;
    let fate = say(client.namespace(), nobody, "anybody?")?;
    ensure!(fate == Fate::Reset, "{nobody}: {fate:?}");
    trace.expect_error(0, &[("dst.addr", &nobody.to_string())], "unreachable")?;
    Ok(())
}

fn itself(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let me = Party::start(lab, "me", 0, true)?;
    lab.config()
        .service(ENROLLED, "me", "10.96.3.1", "me", &[(80, 9000)])?;
    knows_service(lab, 0, "me")?;
    let mut trace = Trace::follow(lab)?;
    let own = [me.pod.v4(), me.pod.v6()];
    let local = ["127.0.0.1".parse()?, "::1".parse()?];
    for ip in own.into_iter().chain(local) {
        let fate = say(me.namespace(), SocketAddr::new(ip, 9000), "me, myself")?;
        ensure!(fate == Fate::Answered("me, myself".to_owned()), "{ip}: {fate:?}");
    }
    // By its service it goes through the mesh, to itself, over mTLS as to anybody else.
    let fate = say(me.namespace(), "10.96.3.1:80".parse()?, "and I")?;
    ensure!(fate == Fate::Answered("and I".to_owned()), "{fate:?}");
    let identity = me.identity();
    for direction in ["outbound", "inbound"] {
        let both = [("src.identity", identity.as_str()), ("dst.identity", &identity)];
        trace.expect(0, &[&both[..], &[("direction", direction)]].concat())?;
    }
    // And nothing of the other calls went through the proxy.
    let rest = trace.rest();
    ensure!(rest.is_empty(), "unexpected lines: {rest:#?}");
    Ok(())
}
