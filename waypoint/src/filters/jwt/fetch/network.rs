//! One request for a key set: over the mesh where it knows the host, else to an address that may be asked.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_model::l7::ServicePort;
use mesh_net::{DialOptions, dial};
use mesh_state::StateReader;
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use mesh_types::{NextHop, Strng};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::filters::jwt::address::permitted;
use crate::filters::jwt::keys::{InvalidKeys, Keys};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::upstream::connect::connect;
use crate::upstream::{ClusterKey, Upstream};

/// Why a key set cannot be fetched; trying again may help, but for the first two.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none of a key set.
    #[error("{0}")]
    Uri(&'static str),
    /// Nobody may be asked there.
    #[error(
        "{0} has no address that may be asked: not this machine, nor this link, nor the metadata; private ones only for what the mesh knows"
    )]
    Forbidden(String),
    /// The name has no address.
    #[error("{host} cannot be resolved: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        error: io::Error,
    },
    /// Nobody answers.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, String),
    /// The server is not who it should be, or TLS failed in another way.
    #[error("TLS: {0}")]
    Tls(String),
    /// What comes is no HTTP.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// Another answer than 200; redirects are not followed.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// More bytes than keys need.
    #[error("the answer is longer than {LONGEST_SET} bytes")]
    TooLong,
    /// What comes are no keys.
    #[error(transparent)]
    Keys(#[from] InvalidKeys),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
}

/// Opens connections.
pub trait Network {
    /// To a host's port, in the clear.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = Result<Stream, FetchError>>;
}

/// The network of this process: the mesh, and what is outside.
pub struct Outside {
    upstream: Upstream,
    state: StateReader,
    namespace: Strng,
    settings: Arc<Settings>,
}

impl Outside {
    /// Over these connections; names are those that this namespace sees.
    #[must_use]
    pub fn new(upstream: Upstream, state: StateReader, namespace: Strng, settings: Arc<Settings>) -> Self {
        Self {
            upstream,
            state,
            namespace,
            settings,
        }
    }

    /// Over the mesh, if it knows endpoints of the host.
    async fn in_mesh(&self, at: &ServicePort, host: &str) -> Option<Result<Stream, FetchError>> {
        let cluster = self.upstream.cluster(&ClusterKey::Service(at.clone(), None));
        let endpoints = cluster.endpoints();
        if endpoints.is_empty() {
            return None;
        }
        let first = fastrand::usize(..endpoints.len());
        let mut last = FetchError::Forbidden(host.to_owned());
        for n in 0..endpoints.len().min(ATTEMPTS) {
            let endpoint = &endpoints[(first + n) % endpoints.len()];
            if !permitted(endpoint.address.ip(), true) {
                continue;
            }
            match connect(self.upstream.shared(), endpoint).await {
                Ok(stream) => return Some(Ok(stream)),
                Err(error) => last = FetchError::Connect(endpoint.address.to_string(), error.to_string()),
            }
        }
        Some(Err(last))
    }
}

impl Network for Outside {
    async fn connect(&self, host: &str, port: u16) -> Result<Stream, FetchError> {
        let service = self.state.query(|view| {
            let service = view.service_by_hostname(host, &self.namespace);
            service.map(|service| service.hostname.clone())
        });
        let of_the_mesh = service.is_some();
        if let Some(service) = service
            && let Some(connected) = self.in_mesh(&ServicePort { service, port }, host).await
        {
            return connected;
        }
        // Resolved once, and dialled as it was checked: a name that changes its mind between the two gains nothing.
        let addresses = resolve(host, port).await?;
        let mut may_be_asked = addresses
            .into_iter()
            .filter(|a| permitted(a.ip(), of_the_mesh))
            .peekable();
        if may_be_asked.peek().is_none() {
            return Err(FetchError::Forbidden(host.to_owned()));
        }
        let options = DialOptions {
            connect_timeout: self.settings.connect_timeout,
            ..DialOptions::default()
        };
        let mut last = String::new();
        for address in may_be_asked.take(ATTEMPTS) {
            match dial(None, NextHop::new(address), &options).await {
                Ok(stream) => return Ok(stream.into()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(FetchError::Connect(host.to_owned(), last))
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(FetchError::Resolve {
            host: host.to_owned(),
            error,
        }),
    }
}

/// Fetches a key set.
pub(super) async fn fetch(network: &impl Network, uri: &str) -> Result<Keys, FetchError> {
    let uri: Uri = uri.parse().map_err(|_| FetchError::Uri("no URI"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(FetchError::Uri("neither https nor http")),
    };
    let authority = uri.authority().ok_or(FetchError::Uri("no host"))?;
    if authority.as_str().contains('@') {
        return Err(FetchError::Uri("a user in the host"));
    }
    let host = authority.host();
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = network.connect(host, port).await?;
    let body = match tls {
        false => get(stream, &uri).await?,
        true => get(secured(stream, host).await?, &uri).await?,
    };
    Ok(Keys::parse(&body)?)
}

async fn secured(
    stream: Stream,
    host: &str,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, FetchError> {
    let failed = |error: &dyn std::fmt::Display| FetchError::Tls(error.to_string());
    // Issuers outside may know nothing newer.
    let settings = TlsSettings {
        tls12: true,
        ..TlsSettings::default()
    };
    let mut config = (*client_config(&RootSource::System, &settings).map_err(|e| failed(&e))?).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|e| failed(&e))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|e| failed(&e))
}

async fn get(io: impl AsyncRead + AsyncWrite + Unpin, uri: &Uri) -> Result<Bytes, FetchError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().map_err(|_| FetchError::Uri("no path"))?;
    let host = HeaderValue::from_str(authority).map_err(|_| FetchError::Uri("no host"))?;
    request.headers_mut().insert(header::HOST, host);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::ACCEPT, json);
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                if bytes.len() + data.len() > LONGEST_SET {
                    return Err(FetchError::TooLong);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    // An error of the connection is one of the exchange; it ends when nobody sends any more.
    let (bytes, _) = futures_util::future::join(exchange, connection).await;
    bytes
}

/// The largest public sets have a few dozen KiB.
const LONGEST_SET: usize = 512 * 1024;
/// At different addresses.
const ATTEMPTS: usize = 3;
