//! Rules as the kernel understands them: a client, the node between, and a pod, for both families.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command as StdCommand;

use cni_rules::plan::{HostOptions, PodOptions};
use mesh_net::process::in_namespaces;
use mesh_net::{DialError, DialOptions, ListenOptions, Netns, dial, listen, orig_dst};
use mesh_types::{NextHop, SourceAddr, ports};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

/// `client --- node (the test's own namespace) --- pod`, routed, both families.
struct Net {
    kernel: Kernel,
    node: Netns,
    client: Netns,
    pod: Netns,
    _dir: tempfile::TempDir,
}

const CLIENT: [&str; 2] = ["10.8.0.2", "fd08::2"];
const POD: [&str; 2] = ["10.9.0.2", "fd09::2"];

impl Net {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let space = |name: &str| -> (PathBuf, Netns) {
            let path = dir.path().join(name);
            let netns = Netns::create_at(&path).expect("a namespace");
            (path, netns)
        };
        let (client_path, client) = space("client");
        let (pod_path, pod) = space("pod");
        for (path, octet) in [(&client_path, 8), (&pod_path, 9)] {
            let path = path.to_str().expect("text");
            sh(&format!(
                "ip link add v{octet} type veth peer name eth0 netns {path} && ip link set v{octet} up \
                 && ip addr add 10.{octet}.0.1/24 dev v{octet} && ip addr add fd0{octet}::1/64 dev v{octet} nodad \
                 && nsenter --net={path} sh -ec '\
                 ip link set lo up; ip link set eth0 up; ip addr add 10.{octet}.0.2/24 dev eth0; \
                 ip addr add fd0{octet}::2/64 dev eth0 nodad; ip route add default via 10.{octet}.0.1; \
                 ip -6 route add default via fd0{octet}::1'"
            ));
        }
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        Self {
            kernel: Kernel::new("nft"),
            node: Netns::current().expect("own namespace"),
            client,
            pod,
            _dir: dir,
        }
    }

    async fn enrol(&self) {
        self.enrol_as(&PodOptions::default()).await;
    }

    async fn enrol_as(&self, options: &PodOptions) {
        let set = self.kernel.ensure_pod(&self.pod, options, Memory::Stale);
        set.await.expect("rules");
    }
}

fn sh(script: &str) {
    let output = StdCommand::new("sh")
        .args(["-ec", script])
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
}

fn in_net(body: impl AsyncFnOnce(Net)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(async { body(Net::new()).await });
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), port)
}

fn serve(netns: &Netns, port: u16) -> TcpListener {
    let options = ListenOptions {
        mark: Some(ports::PACKET_MARK),
        ..ListenOptions::new(at("::", port))
    };
    let listener = netns
        .run(|| listen(&options))
        .expect("the namespace")
        .expect("a listener");
    TcpListener::from_std(listener).expect("a listener")
}

async fn connect(from: &Netns, to: SocketAddr, mark: Option<u32>) -> Result<TcpStream, DialError> {
    let options = DialOptions {
        mark,
        connect_timeout: Duration::from_secs(5),
        ..DialOptions::default()
    };
    dial(Some(from), NextHop::new(to), &options).await
}

async fn is_refused(from: &Netns, to: SocketAddr, mark: Option<u32>) -> bool {
    matches!(connect(from, to, mark).await, Err(DialError::Refused { .. }))
}

/// Bytes go both ways.
async fn talks(mut a: TcpStream, mut b: TcpStream) {
    for (from, to) in [(&mut a, &mut b)] {
        from.write_all(b"ping").await.expect("sent");
        let mut four = [0; 4];
        to.read_exact(&mut four).await.expect("received");
        to.write_all(b"pong").await.expect("sent");
        from.read_exact(&mut four).await.expect("received");
        assert_eq!(&four, b"pong");
    }
}

#[test]
fn what_the_application_opens_goes_to_the_proxy_which_knows_where_it_was_to_go() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            let proxy = serve(&net.pod, ports::OUTBOUND);
            let away = serve(&net.client, 80);
            for client in CLIENT {
                let to = at(client, 80);
                let opened = connect(&net.pod, to, None).await.expect("connected");
                let (accepted, _) = proxy.accept().await.expect("at the proxy");
                assert_eq!(orig_dst(&accepted).expect("known").addr(), to);
                talks(opened, accepted).await;

                // The proxy's own connections are not captured.
                let opened = connect(&net.pod, to, Some(ports::PACKET_MARK))
                    .await
                    .expect("connected");
                let (accepted, _) = away.accept().await.expect("at the client");
                talks(opened, accepted).await;
            }
        });
    });
}

#[test]
fn what_comes_in_goes_to_the_proxy_unless_it_is_hbone() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            let plaintext = serve(&net.pod, ports::INBOUND_PLAINTEXT);
            let hbone = serve(&net.pod, ports::HBONE);
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                let to = at(pod, 8080);
                let opened = connect(&net.client, to, None).await.expect("connected");
                let (accepted, peer) = plaintext.accept().await.expect("at the proxy");
                assert_eq!(orig_dst(&accepted).expect("known").addr(), to);
                assert_eq!(
                    peer.ip().to_canonical(),
                    client.parse::<IpAddr>().expect("an address")
                );
                talks(opened, accepted).await;

                let opened = connect(&net.client, at(pod, ports::HBONE), None)
                    .await
                    .expect("connected");
                let (accepted, _) = hbone.accept().await.expect("at the proxy");
                talks(opened, accepted).await;
            }
        });
    });
}

#[test]
fn without_a_proxy_an_enrolled_pod_is_closed_both_ways() {
    in_namespaces(|| {
        in_net(async |net| {
            let _app = serve(&net.pod, 8080);
            let _away = serve(&net.client, 80);
            net.enrol().await;
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                assert!(is_refused(&net.pod, at(client, 80), None).await, "{client}");
                assert!(is_refused(&net.client, at(pod, 8080), None).await, "{pod}");
            }
        });
    });
}

#[test]
fn the_application_sees_the_client_and_its_replies_come_back_to_the_proxy() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            let app = serve_unmarked(&net.pod, 8080);
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                let options = DialOptions {
                    mark: Some(ports::PACKET_MARK),
                    source: Some(SourceAddr::new(at(client, 0))),
                    connect_timeout: Duration::from_secs(5),
                    ..DialOptions::default()
                };
                let spoofed = dial(Some(&net.pod), NextHop::new(at(pod, 8080)), &options).await;
                let spoofed = spoofed.expect("the application's replies come back");
                let (accepted, peer) = app.accept().await.expect("at the application");
                assert_eq!(
                    peer.ip().to_canonical(),
                    client.parse::<IpAddr>().expect("an address")
                );
                talks(spoofed, accepted).await;
            }
        });
    });
}

#[test]
fn a_pod_calls_itself_without_the_proxy() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            let app = serve_unmarked(&net.pod, 8080);
            for own in [POD[0], POD[1], "127.0.0.1", "::1", "127.0.0.53"] {
                let opened = connect(&net.pod, at(own, 8080), None).await.expect(own);
                let (accepted, _) = app.accept().await.expect("at the application");
                talks(opened, accepted).await;
            }
        });
    });
}

#[test]
fn the_nodes_own_probes_reach_the_application_and_forwarded_traffic_does_not() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            let pods = POD.map(|ip| ip.parse().expect("an address")).into();
            let options = HostOptions {
                pods,
                ..HostOptions::default()
            };
            let rules = NodeRules::new(net.kernel.clone(), net.node.clone());
            rules.ensure(&options, Memory::Valid).await.expect("host rules");
            let app = serve_unmarked(&net.pod, 8080);
            let probes: [IpAddr; 2] = [ports::HOST_PROBE_V4.into(), ports::HOST_PROBE_V6.into()];
            for (pod, probe) in POD.into_iter().zip(probes) {
                let opened = connect(&net.node, at(pod, 8080), None).await.expect("a probe");
                let (accepted, peer) = app.accept().await.expect("at the application");
                assert_eq!(peer.ip().to_canonical(), probe);
                talks(opened, accepted).await;
                // Routed through the node, hence without a socket there: captured, and there is no proxy.
                assert!(is_refused(&net.client, at(pod, 8080), None).await);
            }
            // A pod that is not in the set is none of this rule's business.
            rules
                .ensure(&HostOptions::default(), Memory::Stale)
                .await
                .expect("host rules");
            assert!(is_refused(&net.node, at(POD[0], 8080), None).await);
        });
    });
}

#[test]
fn others_rules_on_the_node_are_not_looked_at_and_changes_of_ours_are_found() {
    in_namespaces(|| {
        in_net(async |net| {
            let options = HostOptions {
                pods: POD.map(|ip| ip.parse().expect("an address")).into(),
                ..HostOptions::default()
            };
            let rules = NodeRules::new(net.kernel.clone(), net.node.clone());
            let audit = async || rules.ensure(&options, Memory::Valid).await.expect("host rules");
            assert_ne!(audit().await, [], "there were none");
            assert_eq!(audit().await, []);
            sh("nft add table inet kube-proxy");
            assert_eq!(audit().await, []);
            let wanted = plan::host(&options);
            let listing = net.kernel.listing(&net.node, &wanted).await.expect("a listing");
            assert!(!listing.contains("kube-proxy"), "{listing}");
            sh("nft flush chain inet istio-ambient-nat postrouting");
            assert_ne!(audit().await, []);
            sh("nft delete table inet istio-ambient-nat");
            assert_ne!(audit().await, []);
            // Set without a look, they are in order, too.
            rules
                .ensure(&HostOptions::default(), Memory::Stale)
                .await
                .expect("host rules");
            rules.ensure(&options, Memory::Stale).await.expect("host rules");
            assert_eq!(audit().await, []);
        });
    });
}

#[test]
fn once_the_mesh_has_left_a_late_change_brings_no_rule_back_to_the_node() {
    in_namespaces(|| {
        in_net(async |net| {
            let pods = POD.map(|ip| ip.parse().expect("an address")).into();
            let options = HostOptions {
                pods,
                ..HostOptions::default()
            };
            let rules = NodeRules::new(net.kernel.clone(), net.node.clone());
            rules.ensure(&options, Memory::Valid).await.expect("host rules");
            // The last change is on its way while the mesh leaves, in either order; then an audit.
            let none = HostOptions::default();
            let (leave, late) = tokio::join!(rules.leave(), rules.ensure(&none, Memory::Stale));
            leave.expect("removed");
            late.expect("nothing to do");
            rules
                .ensure(&options, Memory::Valid)
                .await
                .expect("nothing to do");
            let listed = net.kernel.nft(&net.node, &["list", "ruleset"], "").await;
            assert_eq!(listed.expect("the node's rules").trim(), "");
        });
    });
}

#[test]
fn udp_passes_untouched() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                let open = |netns: &Netns, ip: &str, port| {
                    let bound = netns.run(|| std::net::UdpSocket::bind(at(ip, port)));
                    let socket = bound.expect("the namespace").expect("a socket");
                    socket.set_nonblocking(true).expect("a socket");
                    UdpSocket::from_std(socket).expect("a socket")
                };
                let (inside, outside) = (open(&net.pod, pod, 53), open(&net.client, client, 53));
                let mut buf = [0; 8];
                inside.send_to(b"query", at(client, 53)).await.expect("sent");
                let (n, from) = outside.recv_from(&mut buf).await.expect("received");
                assert_eq!((&buf[..n], from), (&b"query"[..], at(pod, 53)));
                outside.send_to(b"answer", from).await.expect("sent");
                let (n, from) = inside.recv_from(&mut buf).await.expect("received");
                assert_eq!((&buf[..n], from), (&b"answer"[..], at(client, 53)));
            }
        });
    });
}

#[test]
fn dns_goes_to_the_proxys_server_where_its_capture_is_asked_for() {
    in_namespaces(|| {
        in_net(async |net| {
            let options = PodOptions {
                dns_capture: true,
                ..PodOptions::default()
            };
            net.enrol_as(&options).await;
            let dns = serve(&net.pod, ports::DNS);
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                let open = |ip: &str, port| {
                    let bound = net.pod.run(|| std::net::UdpSocket::bind(at(ip, port)));
                    let socket = bound.expect("the namespace").expect("a socket");
                    socket.set_nonblocking(true).expect("a socket");
                    UdpSocket::from_std(socket).expect("a socket")
                };
                let loopback = if client.contains(':') { "::1" } else { "127.0.0.1" };
                let (server, app) = (open(loopback, ports::DNS), open(pod, 0));
                let mut buf = [0; 8];
                app.send_to(b"query", at(client, 53)).await.expect("sent");
                let (n, from) = server.recv_from(&mut buf).await.expect("at the proxy");
                assert_eq!(&buf[..n], b"query");
                server.send_to(b"answer", from).await.expect("sent");
                let (n, from) = app.recv_from(&mut buf).await.expect("received");
                assert_eq!((&buf[..n], from), (&b"answer"[..], at(client, 53)));

                let opened = connect(&net.pod, at(client, 53), None).await.expect("connected");
                let (accepted, _) = dns.accept().await.expect("at the proxy");
                talks(opened, accepted).await;
            }
        });
    });
}

#[test]
fn an_ingress_gateway_takes_plaintext_itself() {
    in_namespaces(|| {
        in_net(async |net| {
            let options = PodOptions {
                bypass_inbound_capture: true,
                ..PodOptions::default()
            };
            net.enrol_as(&options).await;
            let app = serve_unmarked(&net.pod, 8080);
            for (pod, client) in POD.into_iter().zip(CLIENT) {
                let opened = connect(&net.client, at(pod, 8080), None)
                    .await
                    .expect("connected");
                let (accepted, _) = app.accept().await.expect("at the application");
                talks(opened, accepted).await;
                assert!(
                    is_refused(&net.pod, at(client, 80), None).await,
                    "outbound is captured"
                );
            }
        });
    });
}

#[test]
fn the_rules_of_an_agent_before_are_in_order_however_this_machine_lists_them() {
    in_namespaces(|| {
        in_net(async |net| {
            for dns_capture in [false, true] {
                let options = PodOptions {
                    dns_capture,
                    ..PodOptions::default()
                };
                net.enrol_as(&options).await;
                let restarted = Kernel::new("nft");
                let ensure = async || restarted.ensure_pod(&net.pod, &options, Memory::Valid).await;
                assert_eq!(ensure().await.expect("rules"), []);
                let tampering = net
                    .pod
                    .run(|| sh("nft insert rule inet istio-ambient-nat output accept"));
                tampering.expect("the namespace");
                assert!(!ensure().await.expect("rules").is_empty());
            }
        });
    });
}

#[test]
fn what_is_in_order_is_left_alone_and_what_is_not_is_put_right() {
    in_namespaces(|| {
        in_net(async |net| {
            let options = PodOptions::default();
            net.enrol().await;
            let ensure = async || {
                net.kernel
                    .ensure_pod(&net.pod, &options, Memory::Valid)
                    .await
                    .expect("rules")
            };
            assert_eq!(ensure().await, []);
            for tampering in [
                "nft flush ruleset",
                "nft flush chain inet istio-ambient-nat output",
                "nft insert rule inet istio-ambient-nat prerouting accept",
                "ip rule del pref 32764",
                "ip -6 rule del pref 32764",
                "ip route flush table 100",
                "ip -6 route flush table 100",
            ] {
                let done = net.pod.run(|| sh(tampering));
                done.expect("the namespace");
                assert!(!ensure().await.is_empty(), "{tampering} was not noticed");
                assert_eq!(ensure().await, [], "{tampering} was not put right");
            }
        });
    });
}

#[test]
fn of_a_namespace_that_is_held_no_more_nothing_is_remembered() {
    in_namespaces(|| {
        in_net(async |net| {
            let remembered = || net.kernel.inner.in_effect.lock().len();
            net.enrol().await;
            assert_eq!(remembered(), 1);
            net.kernel.forget(net.pod.id());
            assert_eq!(remembered(), 0);
            // Whoever asks again is told by the namespace itself.
            let options = PodOptions::default();
            let found = net.kernel.ensure_pod(&net.pod, &options, Memory::Valid).await;
            assert_eq!(found.expect("rules"), []);
            assert_eq!(remembered(), 1);
        });
    });
}

#[test]
fn removed_rules_leave_nothing_and_removing_twice_is_no_error() {
    in_namespaces(|| {
        in_net(async |net| {
            net.enrol().await;
            for _ in 0..2 {
                net.kernel.clear_pod(&net.pod).await.expect("removed");
            }
            let left = net
                .kernel
                .nft(&net.pod, &["list", "ruleset"], "")
                .await
                .expect("a listing");
            assert_eq!(left.trim(), "");
            let rules = net
                .pod
                .run(|| sh("! ip rule | grep -q 32764 && ! ip -6 rule | grep -q 32764"));
            rules.expect("the namespace");
            let away = serve(&net.client, 80);
            let opened = connect(&net.pod, at(CLIENT[0], 80), None)
                .await
                .expect("connected");
            let (accepted, _) = away.accept().await.expect("at the client");
            talks(opened, accepted).await;
        });
    });
}

#[test]
fn a_pod_without_ipv6_is_enrolled_and_stays_closed_should_it_get_some() {
    in_namespaces(|| {
        in_net(async |net| {
            let set = |value: &str| {
                let script = format!(
                    "for i in all default lo; do echo {value} > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done"
                );
                net.pod.run(|| sh(&script)).expect("the namespace");
            };
            set("1");
            net.enrol().await;
            assert_eq!(
                net.kernel
                    .ensure_pod(&net.pod, &PodOptions::default(), Memory::Valid)
                    .await
                    .expect("rules"),
                []
            );
            set("0");
            net.pod
                .run(|| sh("ip addr add fd09::2/64 dev eth0 nodad; ip -6 route add default via fd09::1"))
                .expect("the namespace");
            let _away = serve(&net.client, 80);
            assert!(is_refused(&net.pod, at(CLIENT[1], 80), None).await);
        });
    });
}

#[test]
fn a_missing_nft_is_named() {
    in_namespaces(|| {
        in_net(async |net| {
            let kernel = Kernel::new("nft-that-is-not-there");
            let error = kernel
                .ensure_pod(&net.pod, &PodOptions::default(), Memory::Valid)
                .await
                .expect_err("no nft");
            assert!(error.to_string().contains("package nftables"), "{error}");
        });
    });
}

/// As applications listen: without the proxy's mark.
fn serve_unmarked(netns: &Netns, port: u16) -> TcpListener {
    let listener = netns.run(|| listen(&ListenOptions::new(at("::", port))));
    TcpListener::from_std(listener.expect("the namespace").expect("a listener")).expect("a listener")
}
