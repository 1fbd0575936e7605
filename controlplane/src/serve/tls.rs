//! TLS of the port: a certificate by our own root, made anew before it ends. Clients may show a certificate of the mesh;
//! one that is shown must be right.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use controlplane_ca::issuer::{IssueError, Issuer};
use controlplane_ca::serving;
use mesh_tls::{TlsSettings, provider};
use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct ServingTls {
    current: Arc<RwLock<Current>>,
    issuer: Arc<Issuer>,
    names: Arc<[String]>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    renew_at: SystemTime,
}

/// There is no serving certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServingTlsError {
    /// It cannot be signed.
    #[error("serving certificate: {0}")]
    Issue(#[from] IssueError),
    /// It cannot be used.
    #[error("serving certificate: {0}")]
    Tls(String),
}

impl ServingTls {
    /// A certificate for these names.
    ///
    /// # Errors
    /// See [`ServingTlsError`].
    pub fn new(issuer: Arc<Issuer>, names: Vec<String>, now: SystemTime) -> Result<Self, ServingTlsError> {
        let current = make(&issuer, &names, now)?;
        Ok(Self {
            current: Arc::new(RwLock::new(current)),
            issuer,
            names: names.into(),
        })
    }

    /// For the next handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().config.clone()
    }

    /// Makes a new certificate whenever the present one is half through its life. Runs for good.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn renew(self) -> Result<(), Infallible> {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = SystemTime::now();
            if self.current.read().renew_at > now {
                continue;
            }
            match make(&self.issuer, &self.names, now) {
                Ok(next) => {
                    *self.current.write() = next;
                    tracing::info!("serving certificate renewed");
                }
                // There is half a life left to mend it.
                Err(e) => tracing::error!("cannot be renewed, next attempt in {LOOK:?}: {e}"),
            }
        }
    }
}

fn make(issuer: &Issuer, names: &[String], now: SystemTime) -> Result<Current, ServingTlsError> {
    let tls = |e: &dyn std::fmt::Display| ServingTlsError::Tls(e.to_string());
    let certificate = serving::make(issuer, names, now)?;
    let chain = certificate.chain.concat();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| tls(&e))?;
    let key = PrivateKeyDer::try_from(certificate.key.to_vec()).map_err(|e| tls(&e))?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(issuer.root().certificate_pem().as_bytes()) {
        roots.add(root.map_err(|e| tls(&e))?).map_err(|e| tls(&e))?;
    }
    let provider = provider(&TlsSettings::default());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| tls(&e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| tls(&e))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|e| tls(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would carry the client's certificate past its end.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Current {
        config: Arc::new(config),
        renew_at: certificate.renew_at,
    })
}

/// The clock may step, so it is looked at often rather than slept towards.
const LOOK: Duration = Duration::from_secs(60);
