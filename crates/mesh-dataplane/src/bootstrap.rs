//! The channels to the control plane, from settings.

use mesh_grpc::Scheme;
use mesh_grpc::{
    Address, ChannelConfig, ChannelError, Credentials, GrpcChannel, Security, TlsTrust, TokenSource, channel,
};
use mesh_tls::TlsSettings;
use mesh_tls::service::{self, RootSource};

/// One server of the control plane, and what it is told about us.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// Whom to trust there; read anew at each connection.
    pub roots: RootSource,
    /// The name that its certificate must carry, where it is not the host of the address.
    pub alt_hostname: Option<String>,
    /// Further headers of each request; they may be secrets.
    pub headers: Vec<(String, String)>,
}

/// A channel to `server`, not yet connected; with the bearer token and the cluster's name on each request.
///
/// # Errors
/// Fails when a header or the address cannot be used at all.
pub fn connect(
    server: &Server,
    token: TokenSource,
    cluster: &str,
    tls: &TlsSettings,
) -> Result<GrpcChannel, ChannelError> {
    let mut credentials = Credentials::new(token).with_cluster(cluster)?;
    for (name, value) in &server.headers {
        credentials = credentials.with_header(name, value)?;
    }
    let security = match server.address.scheme() {
        Scheme::Http => Security::Plaintext,
        Scheme::Https => {
            let (roots, tls) = (server.roots.clone(), tls.clone());
            Security::Tls(TlsTrust::new(move || service::client_config(&roots, &tls)))
        }
    };
    channel(ChannelConfig {
        address: server.address.clone(),
        server_name: server.alt_hostname.clone(),
        security,
        credentials,
    })
}
