//! TLS of the port: the certificate that an operator mounted, taken anew when it changes; else one by our own root, made anew
//! before it ends. Clients may show a certificate of the mesh; one that is shown must be right.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
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
use zeroize::Zeroizing;

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct ServingTls {
    current: Arc<RwLock<Current>>,
    issuer: Arc<Issuer>,
    names: Arc<[String]>,
    /// Where an operator's own certificate is mounted, if there is one.
    mounted: Arc<Path>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// Nothing for a certificate that somebody else makes.
    renew_at: Option<SystemTime>,
    /// What the files said.
    files: Option<Files>,
}

/// A certificate with its key, as they were read.
#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    /// The key is never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
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
    /// The certificate that is mounted in a directory (`tls.crt`, `tls.key`), else one of our own for these names.
    ///
    /// # Errors
    /// See [`ServingTlsError`].
    pub fn new(
        issuer: Arc<Issuer>,
        names: Vec<String>,
        mounted: PathBuf,
        now: SystemTime,
    ) -> Result<Self, ServingTlsError> {
        let current = make(&issuer, &names, Files::read(&mounted)?, now)?;
        Ok(Self {
            current: Arc::new(RwLock::new(current)),
            issuer,
            names: names.into(),
            mounted: mounted.into(),
        })
    }

    /// For the next handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().config.clone()
    }

    /// Takes a new certificate whenever another one is mounted, the present one is half through its life, or another root
    /// signs. Runs for good.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn renew(self) -> Result<(), Infallible> {
        let mut trusted = self.issuer.trusted();
        let mut told = None;
        loop {
            let retrusted = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                // Whoever signs is here.
                changed = trusted.changed() => changed.is_ok(),
            };
            match self.look(retrusted, SystemTime::now()) {
                Ok(true) => {
                    told = None;
                    tracing::info!("serving certificate renewed");
                }
                Ok(false) => told = None,
                // The present one serves meanwhile. A fault that lasts is told once.
                Err(e) => {
                    let text = e.to_string();
                    if told.as_ref() != Some(&text) {
                        tracing::error!("{text}; the one before it goes on serving");
                        told = Some(text);
                    }
                }
            }
        }
    }

    /// Takes a new certificate where there is a reason to; says whether there was.
    fn look(&self, retrusted: bool, now: SystemTime) -> Result<bool, ServingTlsError> {
        let files = Files::read(&self.mounted)?;
        let stays = {
            let current = self.current.read();
            let is_due = current.renew_at.is_some_and(|at| at <= now);
            // Files that went away are on their way back, or our own certificate takes their place.
            !retrusted && !is_due && files == current.files
        };
        if stays {
            return Ok(false);
        }
        let next = make(&self.issuer, &self.names, files, now)?;
        *self.current.write() = next;
        Ok(true)
    }
}

impl Files {
    /// What is mounted; nothing where there is none.
    fn read(dir: &Path) -> Result<Option<Self>, ServingTlsError> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|e| ServingTlsError::Tls(format!("{}: {e}", path.display())))
        };
        if !dir.join(CERTIFICATE).exists() {
            return Ok(None);
        }
        Ok(Some(Self {
            chain: read(CERTIFICATE)?,
            key: Zeroizing::new(read(KEY)?),
        }))
    }
}

fn make(
    issuer: &Issuer,
    names: &[String],
    files: Option<Files>,
    now: SystemTime,
) -> Result<Current, ServingTlsError> {
    let tls = |e: &dyn std::fmt::Display| ServingTlsError::Tls(e.to_string());
    let (chain, key, renew_at) = match &files {
        Some(files) => {
            let key = PrivateKeyDer::from_pem_slice(&files.key);
            let key = key.map_err(|e| ServingTlsError::Tls(format!("{KEY}: {e}")))?;
            (files.chain.clone(), key, None)
        }
        None => {
            let own = serving::make(issuer, names, now)?;
            let key = PrivateKeyDer::try_from(own.key.to_vec()).map_err(|e| tls(&e))?;
            (own.chain.concat().into_bytes(), key, Some(own.renew_at))
        }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|e| ServingTlsError::Tls(format!("{CERTIFICATE}: {e}")))?;
    let root = issuer.root();
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root.certificate_pem().as_bytes()) {
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
        renew_at,
        files,
    })
}

/// As Secrets of type `kubernetes.io/tls` have them.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The clock may step, and files change: looked at often rather than slept towards.
const LOOK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
