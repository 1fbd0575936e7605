//! A client of the wire format itself: it asks what a well-behaved proxy never would.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use controlplane_ca::issuer::Issuer;
use controlplane_ca::root::Root;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use lab::Lab;
use mesh_certs::client::{CaClientSettings, FetchCertificate as _};
use mesh_certs::{CaClient, FetchError};
use mesh_grpc::{ChannelConfig, Credentials, Security, TlsTrust, TokenSource};
use mesh_tls::service::{self, RootSource};
use mesh_tls::{TlsSettings, WorkloadCertificate, csr, mesh_server_name};
use mesh_types::{Identity, TrustDomain};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::LIMIT;

/// An HBONE connection.
pub(crate) struct Hbone(SendRequest<Bytes>);

impl Hbone {
    /// TLS and HTTP/2 over a connection.
    pub(crate) async fn establish(stream: std::net::TcpStream, config: Arc<ClientConfig>) -> Result<Self> {
        let tls = handshake(stream, config).await?;
        let (sender, connection) = h2::client::handshake(tls).await.context("HTTP/2")?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// One request; its stream is closed again at once.
    pub(crate) async fn ask(&self, method: Method, target: &str) -> Result<StatusCode> {
        self.ask_with(method, target, &[]).await
    }

    /// One request with further headers.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<StatusCode> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(())?;
        let mut sender = timeout(LIMIT, self.0.clone().ready())
            .await
            .context("no stream")??;
        let (response, _body) = sender.send_request(request, false)?;
        let response = timeout(LIMIT, response).await.context("no answer")??;
        Ok(response.status())
    }
}

/// TLS over a connection that was made in some namespace.
pub(crate) async fn handshake(
    stream: std::net::TcpStream,
    config: Arc<ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    stream.set_nonblocking(true)?;
    let connect = TlsConnector::from(config).connect(mesh_server_name(), TcpStream::from_std(stream)?);
    timeout(LIMIT, connect)
        .await
        .context("no TLS handshake")?
        .context("TLS")
}

/// The certificate of a workload, as the ztunnel of a node gets it: by the token of that node.
pub(crate) async fn certificate_by_token(
    lab: &Lab,
    node: usize,
    identity: &str,
) -> Result<Result<Arc<WorkloadCertificate>, FetchError>> {
    let token = std::fs::read_to_string(lab.token("istio-system/ztunnel", node, "1h")?)?;
    certificate_for(lab, &token, identity).await
}

/// The certificate of a workload, by a token as it is.
pub(crate) async fn certificate_for(
    lab: &Lab,
    token: &str,
    identity: &str,
) -> Result<Result<Arc<WorkloadCertificate>, FetchError>> {
    let roots = RootSource::Path(lab.root_certificate());
    let trust = TlsTrust::new(move || service::client_config(&roots, &TlsSettings::default()));
    let channel = mesh_grpc::channel(ChannelConfig {
        address: "https://istiod.istio-system.svc:15012".parse()?,
        server_name: None,
        security: Security::Tls(trust),
        credentials: Credentials::new(TokenSource::literal(token)),
    })?;
    let settings = CaClientSettings {
        lifetime: Duration::from_secs(600),
        impersonate: true,
        tls: TlsSettings::default(),
    };
    let identity: Identity = identity.parse()?;
    Ok(CaClient::new(channel, settings).fetch(&identity).await)
}

/// A certificate that the authority would never give: signed by `root`, for whomever, valid around `at`.
pub(crate) fn forged(root: Root, identity: &str, at: SystemTime) -> Result<Arc<WorkloadCertificate>> {
    let identity: Identity = identity.parse()?;
    let (key, request) = csr::encode(&identity)?;
    let request = csr::decode(&request)?;
    let ttl = Duration::from_secs(600);
    let issued = Issuer::new(root).issue(&identity, request.public_key(), ttl, at)?;
    let settings = TlsSettings::default();
    Ok(WorkloadCertificate::new(
        identity,
        &key,
        &issued.chain,
        &settings,
    )?)
}

/// The mesh's own root, as an attacker would have it who took the authority's key.
pub(crate) fn true_root(lab: &Lab) -> Result<Root> {
    let domain = TrustDomain::default();
    Ok(Root::load_or_create(
        &lab.state_dir(),
        &domain,
        SystemTime::now(),
    )?)
}

/// Somebody else's root.
pub(crate) fn foreign_root(lab: &Lab) -> Result<Root> {
    let dir = lab.dir().join("foreign");
    std::fs::create_dir_all(&dir)?;
    let domain = TrustDomain::default();
    Ok(Root::load_or_create(&dir, &domain, SystemTime::now())?)
}

/// Runs a conversation to its end.
pub(crate) fn converse<T>(conversation: impl Future<Output = Result<T>>) -> Result<T> {
    // Connections move on a thread of their own, also while the test waits for a line of a log.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        timeout(LIMIT * 2, conversation)
            .await
            .map_err(|_| anyhow!("the conversation does not end"))?
    })
}
