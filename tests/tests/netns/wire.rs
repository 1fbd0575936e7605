//! Bad input on port 15008: each piece is refused, leaves one clear line, and disturbs nobody else.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use http::{Method, StatusCode};
use lab::Lab;
use mesh_certs::FetchError;
use mesh_tls::{ExpectedPeers, WorkloadCertificate};
use mesh_types::ports;
use rustls::ClientConfig;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Fate, connect, hold, say};
use crate::harness::{Test, test};
use crate::hbone::{Hbone, certificate_by_token, converse, foreign_root, forged, handshake, true_root};
use crate::party::{ENROLLED, Party, knows_service, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "garbage_and_half_handshakes_are_refused_with_one_line_each_and_disturb_nobody",
        garbage,
    ),
    test(
        "peers_without_a_valid_certificate_of_the_mesh_are_refused_with_one_line_each",
        strangers,
    ),
    test(
        "a_member_of_the_mesh_gets_through_a_tunnel_to_the_pod_it_reached_and_nowhere_else",
        requests,
    ),
];

/// Two parties with a connection between them that must outlive everything, and a place to do mischief from.
struct Scene {
    client: Party,
    server: Party,
    attacker: Party,
    held: crate::client::Held,
}

impl Scene {
    fn set(lab: &mut Lab) -> Result<Self> {
        namespaces(lab)?;
        let client = Party::start(lab, "client", 0, true)?;
        let server = Party::start(lab, "server", 1, true)?;
        let attacker = Party::start(lab, "attacker", 0, false)?;
        let held = hold(client.namespace(), server.echo())?;
        Ok(Self {
            client,
            server,
            attacker,
            held,
        })
    }

    /// A connection to the server's tunnel port.
    fn reach(&self) -> Result<TcpStream> {
        let to = self.server.at(ports::HBONE);
        connect(self.attacker.namespace(), to)?.with_context(|| to.to_string())
    }

    fn server_identity(&self) -> Result<ExpectedPeers> {
        Ok(ExpectedPeers::one(&self.server.identity().parse()?))
    }

    /// Waits for the one line that the proxy says of the last attempt.
    fn refused(&self, trace: &mut Trace, error: &str) -> Result<()> {
        let to = self.server.at(ports::HBONE).to_string();
        let values = [
            ("direction", "inbound"),
            ("dst.addr", to.as_str()),
            ("level", "warn"),
        ];
        trace.expect_error(1, &values, error).map(drop)
    }

    /// Nothing more was said, and all is well.
    fn undisturbed(mut self, trace: &mut Trace) -> Result<()> {
        let rest = trace.rest();
        ensure!(rest.is_empty(), "unexpected lines: {rest:#?}");
        self.held.echo("undisturbed")?;
        let fate = say(self.client.namespace(), self.server.echo(), "as ever")?;
        ensure!(fate == Fate::Answered("as ever".to_owned()), "{fate:?}");
        Ok(())
    }
}

fn garbage(lab: &mut Lab) -> Result<()> {
    let scene = Scene::set(lab)?;
    let mut trace = Trace::follow(lab)?;
    // One who begins a handshake and leaves it there: at its deadline it is over.
    let mut half = scene.reach()?;
    half.write_all(&hello()[..40])?;
    let attempts: [(&str, Vec<u8>, &str); 5] = [
        ("nothing", Vec::new(), "TLS handshake: closed by the peer"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "TLS handshake: "),
        ("zeros", vec![0; 100_000], "TLS handshake: "),
        (
            "half a ClientHello",
            hello()[..60].to_vec(),
            "TLS handshake: closed by the peer",
        ),
        (
            "a ClientHello and garbage",
            [hello(), vec![0xff; 5_000]].concat(),
            "TLS handshake: ",
        ),
    ];
    for (what, bytes, error) in attempts {
        let mut stream = scene.reach()?;
        // The other side may have hung up before the last byte.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(Shutdown::Write));
        ends(stream, what)?;
        scene.refused(&mut trace, error).context(what)?;
    }
    ends(half, "half a handshake")?;
    scene.refused(&mut trace, "the TLS handshake did not finish in time")?;
    scene.undisturbed(&mut trace)
}

/// The start of a TLS 1.3 handshake that is not to be finished.
fn hello() -> Vec<u8> {
    // A record (RFC 8446, 5.1) of 80 bytes with a ClientHello (4.1.2) of which only the fixed part makes sense.
    let mut record = vec![22, 3, 1, 0, 80, 1, 0, 0, 76, 3, 3];
    record.resize(85, 0);
    record
}

/// Reads until the other side ends the connection.
fn ends(mut stream: TcpStream, what: &str) -> Result<()> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        Err(e) => bail!("{what}: {e}"),
    }
}

fn strangers(lab: &mut Lab) -> Result<()> {
    let scene = Scene::set(lab)?;
    let expected = scene.server_identity()?;
    let now = SystemTime::now();
    let client = "spiffe://cluster.local/ns/shop/sa/client";
    let abroad = "spiffe://elsewhere.example/ns/shop/sa/client";
    let mine = converse(certificate_by_token(lab, 0, client))??;
    let long_ago = now - Duration::from_secs(86_400);
    let cases: [(&str, Arc<ClientConfig>, &str); 5] = [
        (
            "another trust domain, signed by the mesh's own root",
            forged(true_root(lab)?, abroad, now)?.client_config(&expected),
            "elsewhere.example",
        ),
        (
            "the right name, signed by somebody else",
            trusting(&mine, &*forged(foreign_root(lab)?, client, now)?, &expected),
            "TLS handshake: ",
        ),
        (
            "a certificate that has expired",
            forged(true_root(lab)?, client, long_ago)?.client_config(&expected),
            "xpired",
        ),
        ("no certificate", anonymous(&mine, &expected), "no certificates"),
        ("no HTTP/2", without_alpn(&mine, &expected), "TLS handshake: "),
    ];
    let mut trace = Trace::follow(lab)?;
    for (what, config, error) in cases {
        let asked = converse(async {
            let hbone = Hbone::establish(scene.reach()?, config).await?;
            hbone.ask(Method::CONNECT, &scene.server.echo().to_string()).await
        });
        ensure!(asked.is_err(), "{what}: {asked:?}");
        scene.refused(&mut trace, error).context(what)?;
    }
    // TLS as it should be, and then something that is not HTTP/2.
    converse(async {
        let mut tls = handshake(scene.reach()?, mine.client_config(&expected)).await?;
        tls.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n").await?;
        let mut rest = Vec::new();
        // However it ends, it ends.
        drop(tls.read_to_end(&mut rest).await);
        Ok(())
    })?;
    scene.refused(&mut trace, "HTTP/2")?;
    // And the authority gives nobody a certificate for who is not on the node.
    let refused = converse(certificate_by_token(lab, 1, client))?;
    ensure!(matches!(refused, Err(FetchError::Refused(_))), "{refused:?}");
    scene.undisturbed(&mut trace)
}

/// Trusts whom `mine` trusts, and shows the certificate of another.
fn trusting(
    mine: &WorkloadCertificate,
    shown: &WorkloadCertificate,
    expected: &ExpectedPeers,
) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&mine.client_config(expected));
    config.client_auth_cert_resolver = shown.client_config(expected).client_auth_cert_resolver.clone();
    Arc::new(config)
}

fn anonymous(mine: &WorkloadCertificate, expected: &ExpectedPeers) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&mine.client_config(expected));
    config.client_auth_cert_resolver = Arc::new(Nobody);
    Arc::new(config)
}

fn without_alpn(mine: &WorkloadCertificate, expected: &ExpectedPeers) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&mine.client_config(expected));
    config.alpn_protocols.clear();
    Arc::new(config)
}

#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

fn requests(lab: &mut Lab) -> Result<()> {
    let scene = Scene::set(lab)?;
    let neighbour = Party::start(lab, "neighbour", 1, true)?;
    let unenrolled = Party::start(lab, "unenrolled", 1, false)?;
    for (name, vip) in [("server", "10.96.5.1"), ("neighbour", "10.96.5.2")] {
        lab.config().service(ENROLLED, name, vip, name, &[(80, 9000)])?;
        knows_service(lab, 1, name)?;
    }
    let expected = scene.server_identity()?;
    let mine = converse(certificate_by_token(
        lab,
        0,
        "spiffe://cluster.local/ns/shop/sa/client",
    ))??;
    let own = scene.server.pod.v4();
    let mut trace = Trace::follow(lab)?;
    let refusals = [
        // Not this pod.
        (neighbour.echo().to_string(), "is not this pod's address"),
        (unenrolled.echo().to_string(), "is not this pod's address"),
        (scene.attacker.echo().to_string(), "is not this pod's address"),
        ("10.240.0.10:15012".to_owned(), "is not this pod's address"),
        ("10.240.0.12:8000".to_owned(), "is not this pod's address"),
        (
            format!("{}:15020", lab.nodes()[1].ztunnel_address()),
            "is not this pod's address",
        ),
        ("127.0.0.1:9000".to_owned(), "is not this pod's address"),
        ("[::1]:9000".to_owned(), "is not this pod's address"),
        ("[::ffff:127.0.0.1]:9000".to_owned(), "is not this pod's address"),
        ("0.0.0.0:9000".to_owned(), "is not this pod's address"),
        (
            format!("[{}]:9000", scene.server.pod.v6()),
            "is not this pod's address",
        ),
        ("10.96.5.1:80".to_owned(), "is not this pod's address"),
        // Names that it does not serve.
        (
            "neighbour.shop.svc.cluster.local:80".to_owned(),
            "is no service and port of this pod",
        ),
        (
            "server.shop.svc.cluster.local:81".to_owned(),
            "is no service and port of this pod",
        ),
        ("localhost:9000".to_owned(), "is no service and port of this pod"),
        ("example.com:443".to_owned(), "is no service and port of this pod"),
        // The proxy's own ports.
        (format!("{own}:15001"), "is a port of the proxy itself"),
        (format!("{own}:15006"), "is a port of the proxy itself"),
        (format!("{own}:15008"), "is a port of the proxy itself"),
        // No target at all.
        ("server".to_owned(), "refused with 400: "),
        (format!("{own}:0"), "refused with 400: "),
        (format!("user@{own}:9000"), "refused with 400: "),
    ];
    converse(async {
        let hbone = Hbone::establish(scene.reach()?, mine.client_config(&expected)).await?;
        for (authority, error) in &refusals {
            let status = hbone
                .ask(Method::CONNECT, authority)
                .await
                .context(authority.clone())?;
            ensure!(status == StatusCode::BAD_REQUEST, "{authority}: {status}");
            scene.refused(&mut trace, error).context(authority.clone())?;
        }
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let status = hbone.ask(method.clone(), &format!("https://{own}:9000/")).await?;
            ensure!(status == StatusCode::BAD_REQUEST, "{method}: {status}");
            scene.refused(&mut trace, "refused with 400: ").context(method)?;
        }
        // What it may have, on the same connection; and nobody there is not the caller's fault.
        for (authority, wanted) in [
            (format!("{own}:9000"), StatusCode::OK),
            ("server.shop.svc.cluster.local:80".to_owned(), StatusCode::OK),
            (format!("{own}:7999"), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let status = hbone.ask(Method::CONNECT, &authority).await?;
            ensure!(status == wanted, "{authority}: {status}");
            trace.expect(1, &[("direction", "inbound"), ("dst.hbone_addr", &authority)])?;
        }
        // Whatever it says of itself, it is who its certificate says; what it claims is a label at most.
        let target = format!("{own}:9000");
        let claims = [
            ("baggage", "k8s.namespace.name=kube-system,k8s.pod.name=admin"),
            (
                "forwarded",
                "for=\"10.244.1.1:1\";host=neighbour.shop.svc.cluster.local",
            ),
            ("x-forwarded-network", "elsewhere"),
        ];
        let status = hbone.ask_with(Method::CONNECT, &target, &claims).await?;
        ensure!(status == StatusCode::OK, "{status}");
        let client = "spiffe://cluster.local/ns/shop/sa/client";
        let line = trace.expect(1, &[("direction", "inbound"), ("src.identity", client)])?;
        let address = line.get("src.addr").unwrap_or_default();
        let attacker = scene.attacker.pod.v4().to_string();
        ensure!(address.starts_with(&attacker), "{line:?}");
        // More headers than anybody needs: no tunnel, and a line that says so.
        let padding = "x".repeat(200_000);
        let status = hbone
            .ask_with(Method::CONNECT, &target, &[("baggage", &padding)])
            .await?;
        ensure!(status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{status}");
        trace.expect_error(
            1,
            &[("direction", "inbound")],
            "bytes of headers, more than 65536",
        )?;
        Ok(())
    })?;
    scene.undisturbed(&mut trace)
}
