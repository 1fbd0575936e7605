//! One request: a connection, TLS where the address says so, the whole answer.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a request carries.
pub(crate) type Body = Full<Bytes>;

/// What speaks to registries.
#[derive(Clone)]
pub struct Http {
    /// None on a machine without roots: nobody there can be known.
    tls: Option<TlsConnector>,
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// With TLS, and everybody that it sends us to, too.
    Tls,
    /// Without, to a registry on this machine.
    Plain,
}

impl Transport {
    /// As addresses begin.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "https",
            Self::Plain => "http",
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    /// Checks registries by this machine's roots.
    ///
    /// # Errors
    /// Fails when TLS is wanted and there are no roots to check a certificate by.
    pub(crate) fn new(transport: Transport) -> Result<Self> {
        Self::with_roots(transport, &ROOTS.map(Path::new))
    }

    /// By the first of these bundles that is there.
    pub(crate) fn with_roots(transport: Transport, bundles: &[&Path]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = bundles.iter().find_map(|bundle| fs::read(bundle).ok()) {
            // Bundles have certificates that no verifier can use; those that can be used are enough.
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        }
        match (transport, roots.is_empty()) {
            (Transport::Tls, true) => bail!("{}", no_roots(bundles)),
            // It may still send us to somebody who gives tokens over TLS, and then that fails.
            (Transport::Plain, true) => return Ok(Self { tls: None }),
            (Transport::Tls | Transport::Plain, false) => {}
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }

    /// Sends a request to where its URI says.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Answer> {
        let uri = request.uri().clone();
        let what = format!("{} {uri}", request.method());
        let sent = tokio::time::timeout(PATIENCE, self.exchange(request));
        sent.await
            .with_context(|| format!("{what}: no answer"))?
            .with_context(|| what)
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Answer> {
        let uri = request.uri().clone();
        let host = uri.host().context("an address without a host")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("is neither http:// nor https://"),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((bare, port))
            .await
            .with_context(|| format!("{host}:{port}"))?;
        if !secure {
            return over(tcp, request).await;
        }
        let name = ServerName::try_from(bare.to_owned()).context("the host's name")?;
        let connector = self
            .tls
            .as_ref()
            .with_context(|| no_roots(&ROOTS.map(Path::new)))?;
        let tls = connector.connect(name, tcp).await.context("TLS")?;
        over(tls, request).await
    }
}

async fn over(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: Request<Body>,
) -> Result<Answer> {
    let uri = request.uri().clone();
    let authority = uri.authority().context("an address without a host")?.as_str();
    request
        .headers_mut()
        .insert("host", HeaderValue::from_str(authority)?);
    request
        .headers_mut()
        .insert("user-agent", HeaderValue::from_static(AGENT));
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|e| anyhow::anyhow!("its answer: {e}"))?.to_bytes();
        anyhow::Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    tokio::pin!(exchange);
    // The connection does the reading and writing; it may end right after the answer.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

impl Answer {
    /// # Errors
    /// Fails with what the registry said when the status is none of these.
    pub(crate) fn expect(&self, statuses: &[StatusCode], what: &str) -> Result<()> {
        if statuses.contains(&self.status) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&self.body);
        let said: String = said.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect();
        bail!("{what}: {} {said}", self.status)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(crate) fn body(bytes: Bytes) -> Body {
    Full::new(bytes)
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

fn no_roots(bundles: &[&Path]) -> String {
    format!(
        "no roots to check a registry's certificate by in any of {bundles:?}: install the package ca-certificates, or push with \
         --plain-http to a registry on this machine"
    )
}

/// Where systems keep their roots.
const ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
const AGENT: &str = concat!("lateen-images/", env!("CARGO_PKG_VERSION"));
/// Layers of some ten megabytes go over slow lines, too.
const PATIENCE: Duration = Duration::from_secs(600);
/// Answers are errors, tokens, or nothing.
const MAX_ANSWER: usize = 1 << 20;
const MAX_SAID: usize = 300;
