//! Both ends over TLS on loopback: channel, connector, acceptor and callers together.

use std::net::SocketAddr;

use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource, channel};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = builder.unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    fn trust(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        Arc::new(
            builder
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Answers with what it sees of the caller.
struct Echo;

#[tonic::async_trait]
impl IstioCertificateService for Echo {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let token = crate::caller::bearer_token(request.metadata());
        let token = token.map_or_else(|e| e.to_string(), str::to_owned);
        let cluster = crate::caller::cluster(request.metadata())
            .unwrap_or_default()
            .to_owned();
        let extra = request
            .metadata()
            .get("x-extra")
            .map_or("", |v| v.to_str().unwrap())
            .to_owned();
        let peer = crate::caller::connection(request.extensions()).and_then(|c| c.peer);
        let from = peer.is_some_and(|p| p.ip().is_loopback()).to_string();
        let cert_chain = vec![token, cluster, extra, from];
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

async fn serve(config: Arc<ServerConfig>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = builder().add_service(IstioCertificateServiceServer::new(Echo));
    let serving = router.serve_with_incoming(incoming(listener, move || config.clone()));
    (addr, tokio::spawn(async move { serving.await.unwrap() }))
}

fn connect(addr: SocketAddr, name: Option<&str>, trust: TlsTrust, token: TokenSource) -> GrpcChannel {
    let credentials = Credentials::new(token).with_cluster("c1").unwrap();
    let config = ChannelConfig {
        address: addr.to_string().parse().unwrap(),
        server_name: name.map(str::to_owned),
        security: Security::Tls(trust),
        credentials: credentials.with_header("X-Extra", "yes").unwrap(),
    };
    channel(config).unwrap()
}

async fn ask(channel: &GrpcChannel) -> Result<Vec<String>, Status> {
    let mut client = IstioCertificateServiceClient::new(channel.clone());
    let answer = client
        .create_certificate(IstioCertificateRequest::default())
        .await?;
    Ok(answer.into_inner().cert_chain)
}

#[tokio::test]
async fn the_server_sees_token_headers_and_peer() {
    let authority = Authority::new();
    let (addr, _serving) = serve(authority.server("127.0.0.1")).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let trust = authority.trust();
    let trust = TlsTrust::new(move || Ok::<_, io::Error>(trust.clone()));
    let channel = connect(addr, None, trust, TokenSource::File(file.clone()));
    assert_eq!(ask(&channel).await.unwrap(), ["first", "c1", "yes", "true"]);
    // The token file is read again for each request.
    std::fs::write(&file, "second\n").unwrap();
    assert_eq!(ask(&channel).await.unwrap()[0], "second");
    std::fs::remove_file(&file).unwrap();
    let missing = ask(&channel).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert!(missing.message().contains("token file"), "{missing}");
}

#[tokio::test]
async fn the_name_of_the_certificate_can_be_given() {
    let authority = Authority::new();
    let (addr, _serving) = serve(authority.server("istiod.istio-system.svc")).await;
    let trust = || {
        let trust = authority.trust();
        TlsTrust::new(move || Ok::<_, io::Error>(trust.clone()))
    };
    let by_name = connect(
        addr,
        Some("istiod.istio-system.svc"),
        trust(),
        TokenSource::literal("t"),
    );
    assert!(ask(&by_name).await.is_ok());
    let by_address = connect(addr, None, trust(), TokenSource::literal("t"));
    let refused = ask(&by_address).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let text = channel::explain(&refused);
    assert!(
        text.contains("TLS with https://127.0.0.1") && text.contains("certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn trust_is_read_again_at_each_connection() {
    let authority = Authority::new();
    let (addr, _serving) = serve(authority.server("127.0.0.1")).await;
    let trusted = Arc::new(Mutex::new(Authority::new().trust()));
    let trust = trusted.clone();
    let trust = TlsTrust::new(move || Ok::<_, io::Error>(trust.lock().clone()));
    let channel = connect(addr, None, trust, TokenSource::literal("t"));
    assert_eq!(ask(&channel).await.unwrap_err().code(), Code::Unavailable);
    *trusted.lock() = authority.trust();
    assert!(ask(&channel).await.is_ok());
}

#[tokio::test]
async fn a_root_that_cannot_be_read_is_named() {
    let authority = Authority::new();
    let (addr, _serving) = serve(authority.server("127.0.0.1")).await;
    let trust = TlsTrust::new(|| Err(io::Error::other("root-cert.pem is gone")));
    let refused = ask(&connect(addr, None, trust, TokenSource::literal("t")))
        .await
        .unwrap_err();
    assert!(channel::explain(&refused).contains("root-cert.pem is gone"));
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_nobody() {
    let authority = Authority::new();
    let (addr, _serving) = serve(authority.server("127.0.0.1")).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let trust = authority.trust();
    let trust = TlsTrust::new(move || Ok::<_, io::Error>(trust.clone()));
    assert!(
        ask(&connect(addr, None, trust, TokenSource::literal("t")))
            .await
            .is_ok()
    );
    drop(silent);
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_found_again() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let trust = authority.trust();
    let trust = TlsTrust::new(move || Ok::<_, io::Error>(trust.clone()));
    let channel = connect(addr, None, trust, TokenSource::literal("t"));
    let away = ask(&channel).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert!(channel::explain(&away).contains("cannot be reached"));
    let listener = TcpListener::bind(addr).await.unwrap();
    let config = authority.server("127.0.0.1");
    let router = builder().add_service(IstioCertificateServiceServer::new(Echo));
    tokio::spawn(router.serve_with_incoming(incoming(listener, move || config.clone())));
    assert!(ask(&channel).await.is_ok());
}

#[tokio::test]
async fn plaintext_and_tls_are_not_confused() {
    let trust = Authority::new().trust();
    let security = [
        (
            "http://127.0.0.1:1",
            Security::Tls(TlsTrust::new(move || Ok::<_, io::Error>(trust.clone()))),
        ),
        ("https://127.0.0.1:1", Security::Plaintext),
    ];
    for (address, security) in security {
        let config = ChannelConfig {
            address: address.parse().unwrap(),
            server_name: None,
            security,
            credentials: Credentials::new(TokenSource::literal("t")),
        };
        let refused = ask(&channel(config).unwrap()).await.unwrap_err();
        assert!(channel::explain(&refused).contains("disagree about TLS"));
    }
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials::new(TokenSource::literal("s3cret"))
        .with_header("x-key", "hidden")
        .unwrap();
    let printed = format!("{credentials:?}");
    assert!(
        !printed.contains("s3cret") && !printed.contains("hidden"),
        "{printed}"
    );
    assert!(
        Credentials::new(TokenSource::Anonymous)
            .with_header("bad name", "v")
            .is_err()
    );
    assert!(
        Credentials::new(TokenSource::Anonymous)
            .with_header("name", "bad\nvalue")
            .is_err()
    );
}
