//! A channel to the control plane: it connects when first used, connects again when the connection is lost, and puts
//! the token and extra headers on every request.

use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::Service;

use crate::address::Address;
use crate::connect::{Connector, Security};
use crate::token::TokenSource;

/// What the clients of this house speak over.
pub type GrpcChannel = InterceptedService<Channel, Credentials>;

/// How to reach a control plane, and what to say there about oneself.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Where it is.
    pub address: Address,
    /// The name that its certificate must carry, when it is not the address' host (`ALT_XDS_HOSTNAME`).
    pub server_name: Option<String>,
    /// How it is trusted; read anew at each connection.
    pub security: Security,
    /// What every request carries.
    pub credentials: Credentials,
}

/// What every request carries: the bearer token, the cluster's name, and headers that the operator asked for.
#[derive(Clone, Debug)]
pub struct Credentials {
    token: TokenSource,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

/// Why there can be no channel: the configuration is wrong, a retry does not help.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is no URI.
    #[error("address {address} is not usable: {source}")]
    Address {
        /// The address.
        address: Address,
        /// Why.
        source: tonic::transport::Error,
    },
    /// A header's name or value is not allowed.
    #[error("header {0:?} is not allowed in a request: its name or value holds a forbidden character")]
    Header(String),
}

/// A channel, not yet connected. Must be called on a tokio runtime, which then drives the connections.
///
/// # Errors
/// Fails when the configuration cannot be used at all; a server that cannot be reached is an error of the requests.
pub fn channel(config: ChannelConfig) -> Result<GrpcChannel, ChannelError> {
    let endpoint = endpoint(&config.address)?;
    let connector = Connector::new(config.address, config.server_name, config.security);
    let channel = endpoint.connect_with_connector_lazy(connector);
    Ok(InterceptedService::new(channel, config.credentials))
}

/// A channel over connections of the caller's making: in-memory pipes, Unix sockets.
///
/// # Panics
/// Does not: the address is a constant.
pub fn channel_over<C, Io>(connector: C, credentials: Credentials) -> GrpcChannel
where
    C: Service<Uri, Response = TokioIo<Io>> + Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    C::Future: Send,
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    Box<dyn std::error::Error + Send + Sync>: From<C::Error>,
{
    let endpoint = keep_alive(Endpoint::from_static("http://localhost"));
    InterceptedService::new(endpoint.connect_with_connector_lazy(connector), credentials)
}

/// A status with its causes, for logs: tonic's own message says only "transport error".
#[must_use]
pub fn explain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

// === impl Credentials ===

impl Credentials {
    /// Requests with this token.
    #[must_use]
    pub fn new(token: TokenSource) -> Self {
        Self {
            token,
            headers: Vec::new(),
        }
    }

    /// Adds the header by which the control plane finds the cluster whose API server can judge the token.
    ///
    /// # Errors
    /// Fails when the name cannot stand in a header.
    pub fn with_cluster(self, cluster: &str) -> Result<Self, ChannelError> {
        self.with_header(CLUSTER_HEADER, cluster)
    }

    /// Adds a header (`XDS_HEADER_*`, `CA_HEADER_*`); it is treated as a secret.
    ///
    /// # Errors
    /// Fails when name or value cannot stand in a header.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, ChannelError> {
        let wrong = || ChannelError::Header(name.to_owned());
        let key: AsciiMetadataKey = name.to_ascii_lowercase().parse().map_err(|_| wrong())?;
        let mut value: AsciiMetadataValue = value.parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        self.headers.push((key, value));
        Ok(self)
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self
            .token
            .read()
            .map_err(|e| Status::unauthenticated(e.to_string()))?;
        if let Some(token) = token {
            let header = zeroize::Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = AsciiMetadataValue::try_from(header.as_str())
                .map_err(|_| Status::unauthenticated("the token cannot stand in a header"))?;
            // Kept out of HPACK's dynamic table and out of every Debug output.
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        for (key, value) in &self.headers {
            request.metadata_mut().insert(key.clone(), value.clone());
        }
        Ok(request)
    }
}

fn endpoint(address: &Address) -> Result<Endpoint, ChannelError> {
    let endpoint = Endpoint::from_shared(address.to_string()).map_err(|source| ChannelError::Address {
        address: address.clone(),
        source,
    })?;
    Ok(keep_alive(endpoint))
}

fn keep_alive(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

/// The request header with the cluster's name (Istio's `clusterid`).
pub const CLUSTER_HEADER: &str = "clusterid";
/// Resolving, TCP and TLS together, as upstream's ztunnel has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 pings, as upstream's ztunnel sends them; istiod allows one in 15 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A first push may be many MiB; the default of 64 KiB would cost a round trip for each of them.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
