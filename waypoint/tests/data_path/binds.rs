//! What comes in: PROXY protocol, TLS, listeners of a gateway.

use std::rc::Rc;
use std::sync::Arc;

use mesh_model::AppProtocol;
use mesh_model::l7::bind::{BindProtocol, Frontend as Served, ProxyTrust, Serves};
use mesh_model::l7::route::{Route, RouteParent, Rules, TcpBackend, TlsRule};
use mesh_model::l7::tls::{Certificate, TlsTermination};
use mesh_net::proxy_protocol::Header;
use mesh_state::l7::L7Update;
use mesh_testkit::{pod, service};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::lab::{Lab, in_lab};
use crate::{answering, backend, head, http, http_rule, rest, route, to};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

/// A port for PROXY protocol, and whom it believes.
fn proxy(node: bool, addresses_from: &[&str]) -> BindProtocol {
    BindProtocol::Proxy {
        serves: Serves::All,
        trust: ProxyTrust {
            node,
            addresses_from: addresses_from
                .iter()
                .map(|range| range.parse().unwrap())
                .collect(),
        },
    }
}

#[test]
fn who_is_not_trusted_speaks_for_nobody() {
    in_lab(|lab| async move {
        backend(&lab, "web", 1, AppProtocol::Http11, |s| answering(s, OK)).await;
        lab.apply([
            service("waypoint").at("10.96.0.100").into(),
            service("shop")
                .at("10.96.0.50")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            pod("shop").at(&lab.ip(1)).serving("shop", 80, 9000).into(),
        ]);
        let header = Header {
            source: "10.9.8.7:4321".parse().unwrap(),
            destination: "10.96.0.50:80".parse().unwrap(),
            peer_identity: Some("spiffe://cluster.local/ns/shop/sa/client"),
        };
        let all = [&header.encode().unwrap()[..], GET].concat();
        let ask = |from: &'static str, address: std::net::SocketAddr| {
            let all = all.clone();
            async move {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind(from.parse().unwrap()).unwrap();
                let mut stream = socket.connect(address).await.unwrap();
                // Whoever refuses may not read to the end.
                let _ = stream.write_all(&all).await;
                rest(&mut stream).await
            }
        };
        assert_eq!(ask("127.0.0.1:0", lab.open(proxy(false, &[]))).await, "");
        assert_eq!(
            ask("127.0.0.1:0", lab.open(proxy(false, &["10.0.0.0/8"]))).await,
            ""
        );
        assert!(
            lab.metrics()
                .contains("lateen_waypoint_refused_total{reason=\"untrusted_proxy\"} 2")
        );
        // A load balancer says where connections come from, and nothing about identities.
        let balancer = lab.open(proxy(false, &["127.0.0.0/8"]));
        assert!(ask("127.0.0.1:0", balancer).await.ends_with("ok"));
        let seen = &lab.reports(1).await[0].accepted.client;
        assert_eq!(
            (&seen.identity, seen.peer.to_string().as_str()),
            (&None, "10.9.8.7:4321")
        );
        // The node's proxy is believed.
        assert!(
            ask("127.0.0.1:0", lab.open(proxy(true, &[])))
                .await
                .ends_with("ok")
        );
        assert!(lab.reports(2).await[1].accepted.client.identity.is_some());
    });
}

#[test]
fn a_proxy_protocol_header_says_who_is_there_and_what_is_meant() {
    in_lab(|lab| async move {
        let ip = lab.ip(1);
        backend(&lab, "web", 1, AppProtocol::Http11, |s| answering(s, OK)).await;
        lab.apply([
            service("waypoint").at("10.96.0.100").into(),
            service("shop")
                .at("10.96.0.50")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            service("other").at("10.96.0.51").port(80, 9000).into(),
            pod("shop").at(&ip).serving("shop", 80, 9000).into(),
        ]);
        let address = lab.open(proxy(true, &[]));
        let said = |destination: &str, identity: Option<&str>| {
            let header = Header {
                source: "10.9.8.7:4321".parse().unwrap(),
                destination: destination.parse().unwrap(),
                peer_identity: identity,
            };
            header.encode().unwrap()
        };
        let client = "spiffe://cluster.local/ns/shop/sa/client";
        let mut stream = TcpStream::connect(address).await.unwrap();
        let all = [&said("10.96.0.50:80", Some(client))[..], GET].concat();
        for piece in all.chunks(11) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(rest(&mut stream).await.ends_with("ok"));
        let report = &lab.reports(1).await[0];
        let seen = &report.accepted.client;
        assert_eq!(
            seen.identity.as_ref().map(ToString::to_string).as_deref(),
            Some(client)
        );
        assert_eq!(seen.peer.to_string(), "10.9.8.7:4321");
        for (destination, identity) in [
            ("10.96.0.50:81", Some(client)),
            ("10.96.0.51:80", Some(client)),
            ("192.0.2.1:80", None),
            ("10.96.0.50:80", Some("spiffe://nonsense")),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let all = [&said(destination, identity)[..], GET].concat();
            stream.write_all(&all).await.unwrap();
            assert_eq!(rest(&mut stream).await, "", "{destination} {identity:?}");
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
    });
}

/// A certificate of its own for these names, and its key.
fn certificate(names: &[&str]) -> (Certificate, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let served = Certificate {
        chain: certificate.pem().into(),
        key: key.serialize_pem().into(),
    };
    (served, certificate)
}

fn connector(trusted: &rcgen::Certificate) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = mesh_tls::provider(&mesh_tls::TlsSettings::default());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// A rule for a listener of the test's gateway.
fn at_listener(update: L7Update) -> L7Update {
    at("mesh", update)
}

fn at(listener: &str, update: L7Update) -> L7Update {
    let L7Update::Route(route) = update else {
        return update;
    };
    L7Update::Route(Arc::new(Route {
        parents: vec![RouteParent::Bind(format!("shop/waypoint/{listener}").into())],
        ..(*route).clone()
    }))
}

fn routes(hostnames: &[&str], protocol: AppProtocol) -> Served {
    Served::Routes {
        hostnames: hostnames.iter().map(|name| (*name).into()).collect(),
        protocol,
    }
}

#[test]
fn tls_ends_here_with_the_certificate_of_its_name() {
    in_lab(|lab| async move {
        backend(&lab, "web", 1, AppProtocol::Http11, |s| answering(s, OK)).await;
        lab.serve([at_listener(route("HTTPRoute", "web", http(http_rule("web"))))]);
        let (first, first_root) = certificate(&["first.example"]);
        let (second, second_root) = certificate(&["*.second.example"]);
        let termination = TlsTermination::Terminate {
            certificates: vec![first, second],
            client_authorities: None,
        };
        let served = routes(&["*.example"], AppProtocol::Http11);
        let address = lab.open(BindProtocol::Tls(termination, served));
        for (name, root, host, status) in [
            ("first.example", &first_root, "first.example", "200"),
            ("a.second.example", &second_root, "a.second.example", "200"),
            ("first.example", &first_root, "elsewhere.test", "404"),
        ] {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(name).unwrap();
            let mut stream = connector(root).connect(name, stream).await.unwrap();
            let get = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(get.as_bytes()).await.unwrap();
            let answer = head(&mut stream).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{host}: {answer}"
            );
        }
        // Whoever has another certificate in mind is not served with one that is not his.
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("third.example").unwrap();
        assert!(connector(&second_root).connect(name, stream).await.is_err());
        let report = &lab.reports(1).await[0];
        assert_eq!(
            report.accepted.client.server_name.as_deref(),
            Some("first.example")
        );
        // Plain bytes are refused.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        assert!(!rest(&mut stream).await.contains("HTTP/1.1"));
    });
}

#[test]
fn tls_goes_on_by_its_name_to_who_ends_it() {
    in_lab(|lab| async move {
        let (served, root) = certificate(&["pass.example"]);
        let config = mesh_tls::termination_config(
            &[mesh_tls::ServedCertificate {
                chain: &served.chain,
                key: &served.key,
            }],
            None,
            &mesh_tls::TlsSettings::default(),
        )
        .unwrap();
        backend(&lab, "web", 1, AppProtocol::Tls, move |s| {
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            async move {
                let mut stream = acceptor.accept(s).await.unwrap();
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        })
        .await;
        let rule = TlsRule {
            name: None,
            server_names: vec!["pass.example".into()],
            backends: vec![TcpBackend {
                weight: 1,
                destination: to("web"),
            }],
        };
        lab.serve([at_listener(route("TLSRoute", "pass", Rules::Tls(vec![rule])))]);
        let address = lab.open(BindProtocol::Tls(
            TlsTermination::Passthrough,
            routes(&[], AppProtocol::Unknown),
        ));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("pass.example").unwrap();
        let mut stream = connector(&root).connect(name, stream).await.unwrap();
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hello");
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("other.example").unwrap();
        assert!(connector(&root).connect(name, stream).await.is_err());
    });
}

#[test]
fn a_gateway_serves_its_routes_by_host() {
    in_lab(|lab: Rc<Lab>| async move {
        backend(&lab, "web", 1, AppProtocol::Http11, |s| answering(s, OK)).await;
        let L7Update::Route(of_host) = at_listener(route("HTTPRoute", "web", http(http_rule("web")))) else {
            unreachable!("it is a route")
        };
        lab.serve([L7Update::Route(Arc::new(Route {
            hostnames: vec!["shop.example".into()],
            ..(*of_host).clone()
        }))]);
        let address = lab.open(BindProtocol::Plain(routes(&["*.example"], AppProtocol::Http11)));
        for (host, status) in [
            ("shop.example", 200),
            ("SHOP.example:80", 200),
            ("other.example", 404),
            ("shop.test", 404),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let get = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(get.as_bytes()).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{host}: {answer}"
            );
        }
    });
}

/// What one request on a connection of its own is answered.
async fn asked<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &str) -> String {
    let get = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(get.as_bytes()).await.unwrap();
    let head = head(stream).await.unwrap();
    let mut body = [0; 2];
    if head.contains("content-length: 2") {
        stream.read_exact(&mut body).await.unwrap();
    }
    format!(
        "{} {}",
        head.split(' ').nth(1).unwrap(),
        String::from_utf8_lossy(&body)
    )
}

const BY_WILDCARD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nwi";
const BY_NAME: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nna";

/// Backends that say which one they are, each behind a listener of its name.
async fn several<const N: usize>(lab: &Rc<Lab>, answers: [(&'static str, &'static str); N]) {
    for (host, (name, answer)) in (1..).zip(answers) {
        backend(lab, name, host, AppProtocol::Http11, move |s| {
            answering(s, answer)
        })
        .await;
        lab.serve([at(name, route("HTTPRoute", name, http(http_rule(name))))]);
    }
}

#[test]
fn listeners_of_one_port_are_told_apart_by_host() {
    in_lab(|lab| async move {
        several(&lab, [("wild", BY_WILDCARD), ("named", BY_NAME)]).await;
        let plain = |hosts: &[&str]| BindProtocol::Plain(routes(hosts, AppProtocol::Http11));
        let address = lab.open_several(vec![
            ("wild", plain(&["*.example"])),
            ("named", plain(&["shop.example"])),
        ]);
        // However the kernel spreads connections, and on one connection as well.
        for _ in 0..4 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for (host, answer) in [
                ("shop.example", "200 na"),
                ("other.example", "200 wi"),
                ("SHOP.example:80", "200 na"),
                ("shop.test", "404 \0\0"),
                ("other.example", "200 wi"),
            ] {
                assert_eq!(asked(&mut stream, host).await, answer, "{host}");
            }
        }
    });
}

/// The server name says whose a connection is, and its certificate; a request for the host of another listener was sent
/// the wrong way, also where the certificate covers it.
#[test]
fn tls_listeners_of_one_port_are_told_apart_by_the_name_of_the_handshake() {
    in_lab(|lab| async move {
        several(&lab, [("wild", BY_WILDCARD), ("named", BY_NAME), ("first", OK)]).await;
        let (wild, wild_root) = certificate(&["*.wild.example"]);
        let (named, named_root) = certificate(&["shop.wild.example"]);
        let (first, first_root) = certificate(&["first.example", "shop.wild.example"]);
        let tls = |certificate: Certificate, hosts: &[&str]| {
            let termination = TlsTermination::Terminate {
                certificates: vec![certificate],
                client_authorities: None,
            };
            BindProtocol::Tls(termination, routes(hosts, AppProtocol::Http11))
        };
        let address = lab.open_several(vec![
            ("wild", tls(wild, &["*.wild.example"])),
            ("named", tls(named, &["shop.wild.example"])),
            ("first", tls(first, &["first.example"])),
        ]);
        let (first, named, wild) = ("first.example", "shop.wild.example", "other.wild.example");
        for (name, root, host, answer) in [
            (named, &named_root, named, Some("200 na")),
            (wild, &wild_root, wild, Some("200 wi")),
            (wild, &wild_root, "another.wild.example", Some("200 wi")),
            (first, &first_root, first, Some("200 ok")),
            // Another one has exactly this name, or covers it alone.
            (wild, &wild_root, named, Some("421 \0\0")),
            (wild, &wild_root, first, Some("421 \0\0")),
            (named, &named_root, wild, Some("421 \0\0")),
            (first, &first_root, named, Some("421 \0\0")),
            (first, &first_root, wild, Some("421 \0\0")),
            (first, &first_root, "elsewhere.test", Some("404 \0\0")),
            // Others' certificates, and nobody's.
            (named, &wild_root, named, None),
            ("shop.wild.test", &wild_root, named, None),
        ] {
            let stream = TcpStream::connect(address).await.unwrap();
            let server = ServerName::try_from(name).unwrap();
            let shaken = connector(root).connect(server, stream).await;
            let given = match shaken {
                Ok(mut stream) => Some(asked(&mut stream, host).await),
                Err(_) => None,
            };
            assert_eq!(given.as_deref(), answer, "{name}, {host}");
        }
    });
}
