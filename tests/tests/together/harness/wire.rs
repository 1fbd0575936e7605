//! Connections of clients: through tunnels, as their nodes' proxies make them, and plain ones.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use mesh_hbone::request::WorkloadKind;
use mesh_hbone::{
    Baggage, ConnectRequest, ConnectResponse, Forwarded, HboneOptions, Hop, Pool, ReceiveBudget, Refusal,
    Tunnel, serve_tls,
};
use mesh_net::{DialOptions, RelayCounters, TcpChunks, relay};
use mesh_register::Redirection;
use mesh_testkit::TestAuthority;
use mesh_testkit::objects::identity;
use mesh_tls::{ExpectedPeers, WorkloadCertificate};
use mesh_types::{Authority, Identity, NextHop, WorkloadUid};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;

use super::request::{self, Answer, Ask};
use super::{NAMESPACE, Together, address, pod_object};

/// The nodes' proxies of all clients.
pub(super) struct Clients {
    authority: TestAuthority,
    waypoint: Identity,
    pools: RefCell<HashMap<String, Rc<Pool<TestAuthority>>>>,
}

/// A connection for any bytes.
pub(crate) struct Conn<'a> {
    mesh: &'a Together,
    stream: Pin<Box<dyn Io>>,
}

/// A connection for several requests.
pub(crate) struct Kept<'a> {
    mesh: &'a Together,
    sender: RefCell<Sender>,
}

/// Any stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Io for S {}

pub(super) enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Together {
    /// A Pod in the mesh without its node's proxy; gives its address.
    pub(crate) fn mute(&self, name: &str, labels: &str) -> IpAddr {
        self.apply(&pod_object(name, name, labels));
        let ip = address();
        self.plane
            .borrow_mut()
            .register(name, Redirection::Enabled, vec![ip]);
        self.settle();
        ip
    }
}

impl Clients {
    pub(super) fn new(authority: &TestAuthority, gateway: &str) -> Self {
        Self {
            authority: authority.clone(),
            waypoint: identity(NAMESPACE, gateway),
            pools: RefCell::default(),
        }
    }

    /// A stream of an account's connection to the waypoint; `account` may have a namespace before it.
    pub(super) async fn tunnel(
        &self,
        account: &str,
        waypoint: SocketAddr,
        target: &str,
    ) -> Result<Tunnel, String> {
        let (namespace, name) = super::split(account);
        let pool = self.pool(account);
        let hop = Hop {
            next: NextHop::new(waypoint),
            netns: None,
            dial: DialOptions::default(),
            source: identity(namespace, name),
            source_ip: IpAddr::from([127, 0, 0, 1]),
            expected: ExpectedPeers::one(&self.waypoint),
            instance: WorkloadUid::new("waypoint"),
        };
        let target: Authority = target.parse().map_err(|error| format!("{target}: {error}"))?;
        let mut request = ConnectRequest::to(target);
        request.headers.baggage = Some(Baggage {
            cluster: Some("Kubernetes".into()),
            namespace: Some(namespace.into()),
            workload: Some((WorkloadKind::Deployment, name.into())),
            service: Some(name.into()),
            revision: Some("latest".into()),
            ..Baggage::default()
        });
        request.headers.forwarded = Some(Forwarded {
            for_: CLIENT.parse().unwrap(),
            host: None,
        });
        let tunnel = pool.tunnel(&hop, &request).await;
        tunnel.map_err(|error| error.to_string())
    }

    fn pool(&self, account: &str) -> Rc<Pool<TestAuthority>> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(account.to_owned()).or_insert_with(|| {
            Rc::new(Pool::new(
                self.authority.clone(),
                Rc::new(HboneOptions::default()),
                ReceiveBudget::default(),
                |_, task| drop(spawn_local(task)),
            ))
        });
        pool.clone()
    }
}

impl<'a> Conn<'a> {
    pub(super) fn new(mesh: &'a Together, stream: impl Io + 'static) -> Self {
        Self {
            mesh,
            stream: Box::pin(stream),
        }
    }

    /// Sends bytes.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.mesh.block_on(async {
            self.stream.write_all(bytes.as_ref()).await.unwrap();
            self.stream.flush().await.unwrap();
        });
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.mesh.block_on(async {
            let _ = self.stream.shutdown().await;
        });
    }

    /// Reads so many bytes; less where it ends before.
    pub(crate) fn read(&mut self, count: usize) -> String {
        self.mesh.block_on(async {
            let mut bytes = vec![0; count];
            let mut read = 0;
            while read < count {
                match self.stream.read(&mut bytes[read..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => read += n,
                }
            }
            bytes.truncate(read);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    /// Reads until these bytes, which are part of the result; less where it ends before.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let mut seen = String::new();
        while !seen.ends_with(end) {
            let byte = self.read(1);
            if byte.is_empty() {
                break;
            }
            seen += &byte;
        }
        seen
    }

    /// Reads to the end, or to a reset.
    pub(crate) fn rest(&mut self) -> String {
        self.mesh.block_on(async {
            let mut bytes = Vec::new();
            let _ = self.stream.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    /// TLS for this server name over it; whose certificate it is shown is not looked at, only told.
    pub(crate) fn tls(self, server_name: &str, alpn: &[&str]) -> Result<(Self, Vec<u8>), String> {
        let shown = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let provider = mesh_tls::provider(&mesh_tls::TlsSettings::default());
        let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody {
                shown: shown.clone(),
                provider,
            }))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = self.mesh.block_on(connector.connect(name, self.stream));
        let stream = connected.map_err(|error| error.to_string())?;
        let shown = shown.lock().clone();
        Ok((Self::new(self.mesh, stream), shown))
    }

    pub(super) fn mesh(&self) -> &'a Together {
        self.mesh
    }

    pub(super) fn into_stream(self) -> Pin<Box<dyn Io>> {
        self.stream
    }

    /// Requests over it from now on.
    pub(crate) fn http(self, two: bool) -> Kept<'a> {
        let mesh = self.mesh;
        let sender = mesh.block_on(handshake(self.stream, two)).unwrap();
        Kept {
            mesh,
            sender: RefCell::new(sender),
        }
    }
}

impl<'a> Kept<'a> {
    pub(super) fn open(mesh: &'a Together, ask: &Ask<'_>) -> Self {
        let sender = mesh.block_on(ask.open()).unwrap();
        Self {
            mesh,
            sender: RefCell::new(sender),
        }
    }

    /// Sends a request over it; where it goes to is what the connection was made for.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Answer {
        let request = ask.request();
        let answer = self
            .mesh
            .block_on(request::send(&mut self.sender.borrow_mut(), request));
        answer.unwrap_or_else(|error| panic!("{ask:?}: {error}"))
    }
}

pub(super) async fn handshake(stream: impl Io + 'static, two: bool) -> Result<Sender, String> {
    let io = TokioIo::new(stream);
    if two {
        let (sender, connection) = http2::handshake(LocalExecutor, io)
            .await
            .map_err(|error| error.to_string())?;
        spawn_local(async move { drop(connection.await) });
        return Ok(Sender::Two(sender));
    }
    let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
    spawn_local(async move { drop(connection.await) });
    Ok(Sender::One(sender))
}

#[derive(Clone)]
pub(super) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        spawn_local(async move { drop(task.await) });
    }
}

/// The node's proxy of a backend: tunnels to it end here. It lasts as long as the process.
pub(super) fn end_tunnels(certificate: Arc<WorkloadCertificate>, ip: IpAddr, peers: Peers) {
    let listener = std::net::TcpListener::bind((ip, 15008)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(end_connection(stream, certificate.clone(), ip, peers.clone()));
            }
        });
    };
    std::thread::Builder::new()
        .name("node".to_owned())
        .spawn(serve)
        .unwrap();
}

async fn end_connection(stream: TcpStream, certificate: Arc<WorkloadCertificate>, ip: IpAddr, peers: Peers) {
    let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
    let Ok(mut connection) = serve_tls(stream, certificate.server_config(), &options, &budget).await else {
        return;
    };
    peers.lock().push(connection.peer().to_string());
    while let Some(Ok(tunnel)) = connection.next().await {
        let Authority::Ip(asked) = tunnel.request.authority.clone() else {
            continue;
        };
        // Somebody else's address: it is a waypoint, which here leads to the application beside it.
        let to = match asked.ip() == ip {
            true => asked,
            false => {
                peers.lock().push(format!("{} for {asked}", connection.peer()));
                let bytes = asked.port() == 9000;
                SocketAddr::new(ip, if bytes { 9000 } else { 8080 })
            }
        };
        spawn_local(async move {
            match TcpStream::connect(to).await {
                Ok(stream) => {
                    let tunnel = tunnel.accept(&ConnectResponse::default()).unwrap();
                    relay(tunnel, TcpChunks::new(stream), &RelayCounters::default()).await;
                }
                Err(_) => tunnel.refuse(Refusal::Unavailable),
            }
        });
    }
}

/// Trusts anybody, and remembers whom.
#[derive(Debug)]
struct Anybody {
    shown: Arc<parking_lot::Mutex<Vec<u8>>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        end_entity: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.shown.lock() = end_entity.to_vec();
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Who came through tunnels.
pub(super) type Peers = Arc<parking_lot::Mutex<Vec<String>>>;

/// The address of every client, as their nodes' proxies tell it.
pub(crate) const CLIENT: &str = "10.244.0.9:40000";
