//! DNS of the pods: names of the mesh from the configuration, everything else from the machine's servers.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::{io, io::Read as _, io::Write as _};

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::ip::Namespace;
use lab::lab::Options;
use mesh_dns::message::{Found, Reply, Trouble, Unusable, question, read_answer, reply};
use mesh_dns::{Kind, Query};
use mesh_net::Netns;
use nix::mount::{MsFlags, mount};
use parking_lot::Mutex;

use crate::client::{Fate, LIMIT, connect, listen, say};
use crate::harness::Test;
use crate::party::{ENROLLED, Party, knows_service, namespaces};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_pods_dns_knows_the_services_of_the_mesh_and_asks_the_machines_server_for_the_rest",
        options: captured,
        run: knows_and_asks,
    },
    Test {
        name: "hosts_of_service_entries_have_addresses_in_a_pod_which_lead_to_their_endpoints",
        options: captured,
        run: service_entries,
    },
    Test {
        name: "a_pods_own_resolver_finds_services_by_their_short_names_and_connects",
        options: captured,
        run: own_resolver,
    },
    Test {
        name: "a_pods_dns_says_so_when_the_machines_server_is_gone_and_still_knows_the_mesh",
        options: captured,
        run: server_gone,
    },
];

/// What a name server outside of the mesh heard: who asked for what.
type Heard = Arc<Mutex<Vec<(IpAddr, String)>>>;

fn captured() -> Options {
    Options {
        ztunnel_env: BTreeMap::from([("LATEEN_RESOLV_CONF".to_owned(), RESOLV_CONF.to_owned())]),
        agent_env: BTreeMap::from([("AMBIENT_DNS_CAPTURE".to_owned(), "on".to_owned())]),
        ..Options::default()
    }
}

fn knows_and_asks(lab: &mut Lab) -> Result<()> {
    let (client, names, heard) = world(lab)?;
    let known = |ip: &str| Ok(vec![ip.parse().expect("an address")]);
    let nothing = || Ok(Vec::new());
    for over in [Over::Datagram, Over::Stream] {
        for (name, kind, expected) in [
            ("web.shop.svc.cluster.local", Kind::A, known(VIP)),
            ("web", Kind::A, known(VIP)),
            ("WEB.shop", Kind::A, known(VIP)),
            // It exists, and has no address of the kind.
            ("web.shop.svc.cluster.local", Kind::Aaaa, nothing()),
            // What stands before a search domain.
            (
                "web.shop.svc.cluster.local.shop.svc.cluster.local",
                Kind::A,
                known(VIP),
            ),
            ("outside.example", Kind::A, Ok(vec![names.pod.v4()])),
            ("outside.example", Kind::Aaaa, nothing()),
            ("outside.example.shop.svc.cluster.local", Kind::A, nothing()),
            (
                "refused.example",
                Kind::A,
                Err("the server answered NOTIMP".to_owned()),
            ),
        ] {
            let found = ask(client.namespace(), CLUSTER_DNS, over, name, kind)?;
            let found = found.map(|f| f.addresses).map_err(|why| why.to_string());
            ensure!(
                found == expected,
                "{name} {kind:?} {over:?}: {found:?}, not {expected:?}"
            );
        }
    }
    let heard = heard.lock().clone();
    // The mesh's own names stay in the pod, and what leaves it comes from the pod.
    let own = client.pod.v4();
    ensure!(
        heard
            .iter()
            .all(|(from, name)| *from == own && !name.starts_with("web")),
        "{heard:?}"
    );
    ensure!(
        heard.iter().any(|(_, name)| name == "outside.example"),
        "{heard:?}"
    );
    // A pod that is not enrolled asks whom it likes.
    let found = ask(
        names.namespace(),
        SocketAddr::new(names.pod.v4(), 53),
        Over::Datagram,
        "outside.example",
        Kind::A,
    )?;
    ensure!(found.is_ok_and(|f| f.addresses.len() == 1));
    let metrics = lab.nodes()[0].metrics()?;
    for series in [
        "istio_dns_requests_total{request_protocol=\"udp\",request_query_type=\"A\"",
        "istio_dns_requests_total{request_protocol=\"tcp\",request_query_type=\"AAAA\"",
        "istio_dns_upstream_requests_total{request_protocol=\"udp\",request_query_type=\"A\"",
        "istio_dns_upstream_request_duration_seconds_bucket",
    ] {
        ensure!(metrics.contains(series), "no {series} in\n{metrics}");
    }
    Ok(())
}

/// Hosts that no DNS knows, or knows otherwise, have automatic addresses.
fn service_entries(lab: &mut Lab) -> Result<()> {
    let (client, names, _heard) = world(lab)?;
    let endpoint = names.pod.v4();
    for (name, resolution, endpoints) in [
        // Nobody but the mesh knows this one.
        (
            "static.example",
            "STATIC",
            format!("endpoints: [{{address: {endpoint}}}], "),
        ),
        // The machine's server knows where this one is; it is the name server's own pod.
        ("outside.example", "DNS", String::new()),
    ] {
        let short = name.split('.').next().unwrap_or_default();
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {short}, namespace: {ENROLLED}}}\nspec: {{hosts: [{name}], ports: [{{number: 80, name: tcp, protocol: TCP, targetPort: 9000}}], {endpoints}resolution: {resolution}}}\n"
        );
        lab.config().write(&format!("entry-{short}.yaml"), &text)?;
        let asked = || ask(client.namespace(), CLUSTER_DNS, Over::Datagram, name, Kind::A);
        let address = lab::wait::until(&format!("the address of {name}"), LIMIT, || {
            let found = asked().ok()?.ok()?.addresses;
            found
                .into_iter()
                .find(|ip| ip.to_string().starts_with("240.240."))
        })?;
        let fate = say(client.namespace(), SocketAddr::new(address, 80), "to an entry")?;
        ensure!(
            fate == Fate::Answered("to an entry".to_owned()),
            "{name}: {fate:?}"
        );
    }
    let metrics = lab.nodes()[0].metrics()?;
    ensure!(
        metrics.contains("istio_on_demand_dns_total{hostname=\"outside.example\""),
        "{metrics}"
    );
    Ok(())
}

/// The C library's resolver, with the configuration that Kubernetes gives a pod.
fn own_resolver(lab: &mut Lab) -> Result<()> {
    let (client, names, _heard) = world(lab)?;
    let outside = names.pod.v4().to_string();
    let conf = lab.dir().join("pods-resolv.conf");
    let text = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
    fs::write(&conf, text)?;
    over_resolv_conf(&conf)?;
    for (name, expected) in [
        ("web", VIP),
        ("web.shop", VIP),
        ("web.shop.svc.cluster.local", VIP),
        ("outside.example", outside.as_str()),
    ] {
        let said = client.pod.run("getent", &["ahostsv4", name])?;
        let found = said.out.split_ascii_whitespace().next().unwrap_or_default();
        ensure!(found == expected, "{name}: {said:?}");
    }
    let unknown = client.pod.run("getent", &["ahostsv4", "nobody.example"])?;
    ensure!(!unknown.ok, "{unknown:?}");
    // The address leads where the name said.
    let fate = say(client.namespace(), SocketAddr::new(VIP.parse()?, 80), "by name")?;
    ensure!(fate == Fate::Answered("by name".to_owned()), "{fate:?}");
    Ok(())
}

fn server_gone(lab: &mut Lab) -> Result<()> {
    let (client, ..) = world(lab)?;
    // An address of the client's own, at which nobody answers.
    write_resolv_conf(client.pod.v4())?;
    let asked = |name| ask(client.namespace(), CLUSTER_DNS, Over::Datagram, name, Kind::A);
    let failed = lab::wait::until("the change of servers", LIMIT, || {
        match asked("outside.example") {
            Ok(Err(why)) => Some(why),
            Ok(Ok(_)) | Err(_) => None,
        }
    })?;
    ensure!(failed.to_string() == "the server answered SERVFAIL", "{failed}");
    let web = asked("web")?;
    ensure!(web.is_ok_and(|f| f.addresses.len() == 1));
    Ok(())
}

/// An enrolled client, an enrolled service `web`, and a pod outside of the mesh that is the machine's name server.
fn world(lab: &mut Lab) -> Result<(Party, Party, Heard)> {
    namespaces(lab)?;
    let names = Party::start(lab, "names", 1, false)?;
    let heard = name_server(&names)?;
    write_resolv_conf(names.pod.v4())?;
    let server = Party::start(lab, "web", 1, true)?;
    lab.config().service(ENROLLED, "web", VIP, "web", &[(80, 9000)])?;
    let client = Party::start(lab, "client", 0, true)?;
    knows_service(lab, 0, "web")?;
    // It serves until the lab ends.
    std::mem::forget(server);
    Ok((client, names, heard))
}

fn write_resolv_conf(server: IpAddr) -> Result<()> {
    let hidden = format!("{RESOLV_CONF}.new");
    fs::write(&hidden, format!("nameserver {server}\n"))?;
    Ok(fs::rename(hidden, RESOLV_CONF)?)
}

/// Every program of this lab that looks names up reads this file from now on.
fn over_resolv_conf(conf: &std::path::Path) -> Result<()> {
    let at =
        fs::canonicalize("/etc/resolv.conf").context("/etc/resolv.conf: the test mounts its own over it")?;
    mount(Some(conf), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).context("over /etc/resolv.conf")
}

/// Serves a zone whose one host is the server itself on port 53 of a pod, for both transports.
fn name_server(pod: &Party) -> Result<Heard> {
    let heard = Heard::default();
    let at = SocketAddr::new(pod.pod.v4(), 53);
    let socket = Netns::open(&pod.namespace().path())?.run(|| UdpSocket::bind(at))??;
    let listener = listen(pod.namespace(), at)?;
    let log = heard.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = of_zone(&buffer[..length], from.ip(), at.ip(), &log) {
                drop(socket.send_to(&answer, from));
            }
        }
    });
    let log = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            drop(of_stream(stream, at.ip(), &log));
        }
    });
    Ok(heard)
}

fn of_stream(mut stream: TcpStream, own: IpAddr, heard: &Heard) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let from = stream.peer_addr()?.ip();
    loop {
        let question = read_framed(&mut stream)?;
        if let Some(answer) = of_zone(&question, from, own, heard) {
            write_framed(&mut stream, &answer)?;
        }
    }
}

fn of_zone(octets: &[u8], from: IpAddr, own: IpAddr, heard: &Heard) -> Option<Vec<u8>> {
    let query = Query::read(octets).ok()?;
    let name = query.name()?;
    heard.lock().push((from, name.clone()));
    let address = [own];
    let answer = match name.as_str() {
        "outside.example" => Reply::Addresses {
            alias: None,
            addresses: &address,
            ttl: 60,
        },
        "refused.example" => Reply::Trouble(Trouble::NotImplemented),
        _ => Reply::Addresses {
            alias: None,
            addresses: &[],
            ttl: 60,
        },
    };
    Some(reply(&query, &answer, 65_535))
}

#[derive(Clone, Copy, Debug)]
enum Over {
    Datagram,
    Stream,
}

/// One question from inside a namespace, as a resolver there would ask it.
fn ask(
    from: &Namespace,
    to: SocketAddr,
    over: Over,
    name: &str,
    kind: Kind,
) -> Result<Result<Found, Unusable>> {
    let asked = question(fastrand::u16(..), name, kind).context("a host name")?;
    let answer = match over {
        Over::Datagram => {
            let socket = Netns::open(&from.path())?.run(|| UdpSocket::bind(("0.0.0.0", 0)))??;
            socket.set_read_timeout(Some(LIMIT))?;
            socket.connect(to)?;
            socket.send(&asked)?;
            let mut buffer = vec![0; 4096];
            let length = socket
                .recv(&mut buffer)
                .with_context(|| format!("no answer for {name}"))?;
            buffer.truncate(length);
            buffer
        }
        Over::Stream => {
            let mut stream = connect(from, to)??;
            write_framed(&mut stream, &asked)?;
            read_framed(&mut stream).with_context(|| format!("no answer for {name}"))?
        }
    };
    Ok(read_answer(&asked, &answer, kind))
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

const VIP: &str = "10.96.1.1";
/// Where pods believe their DNS to be; nobody has the address.
const CLUSTER_DNS: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 10)), 53);
const RESOLV_CONF: &str = "/run/lateen/machine-resolv.conf";
