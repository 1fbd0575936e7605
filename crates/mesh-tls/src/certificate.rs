//! A workload's certificate, with the TLS configurations that come of it.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_types::Identity;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pem::{self, InvalidPem};
use crate::verify::{ExpectPeer, SameTrustDomain};
use crate::{ExpectedPeers, PeerIdentityError, PrivateKey, TlsSettings, peer_identity, provider};

/// A certificate with its key, chain and roots. Made once at each renewal and shared; the TLS configurations are made once
/// too and live in here, so that they go when the certificate goes.
pub struct WorkloadCertificate {
    identity: Identity,
    info: CertificateInfo,
    chain_pem: Vec<String>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    settings: TlsSettings,
    shown: Arc<SingleCertAndKey>,
    server: Arc<ServerConfig>,
    clients: Mutex<ClientConfigs>,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
}

/// Why a chain and a key make no workload certificate. The authority's fault, except for a key that does not match.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCertificate {
    /// Fewer than two elements: the leaf and the roots.
    #[error("certificate chain of {0} elements; at least the leaf and the roots are needed")]
    TooShort(usize),
    /// An element holds no certificates.
    #[error("certificate chain, element {element}: {source}")]
    Pem {
        /// Which one, from 0.
        element: usize,
        /// What is wrong.
        source: InvalidPem,
    },
    /// A certificate cannot be read.
    #[error("certificate chain, element {element}: certificate cannot be read")]
    Malformed {
        /// Which one, from 0.
        element: usize,
    },
    /// The leaf does not say who it is for.
    #[error("leaf certificate: {0}")]
    Identity(#[from] PeerIdentityError),
    /// The leaf is for somebody else.
    #[error("leaf certificate is for {got}, asked for {wanted}")]
    OtherIdentity {
        /// Who was asked for.
        wanted: Identity,
        /// Who it is for.
        got: Identity,
    },
    /// The leaf is of another key, or the key is unusable.
    #[error("leaf certificate does not match the private key")]
    Key,
    /// TLS cannot be configured with it.
    #[error("certificate is unusable for TLS: {0}")]
    Tls(#[source] rustls::Error),
}

/// The server name to hand to rustls for mesh connections. It is never sent, and never looked at by the verifier.
#[must_use]
pub fn mesh_server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

// === impl WorkloadCertificate ===

impl WorkloadCertificate {
    /// Puts together what the authority returned. `chain_pem` is the leaf, the intermediates if any, and last the roots, of
    /// which the last element may hold several (as `IstioCertificateResponse.cert_chain`).
    ///
    /// # Errors
    /// Fails when the leaf is not for exactly this identity and key, or anything cannot be read.
    pub fn new(
        identity: Identity,
        key: &PrivateKey,
        chain_pem: &[String],
        settings: &TlsSettings,
    ) -> Result<Arc<Self>, InvalidCertificate> {
        let [to_show @ .., roots] = chain_pem else {
            return Err(InvalidCertificate::TooShort(0));
        };
        if to_show.is_empty() {
            return Err(InvalidCertificate::TooShort(1));
        }
        let roots = Arc::new(root_store(to_show.len(), roots)?);
        let shown = chain(to_show)?;
        let got = peer_identity(&shown)?;
        if got != identity {
            return Err(InvalidCertificate::OtherIdentity {
                wanted: identity,
                got,
            });
        }
        let info = CertificateInfo::of(&shown[0]).ok_or(InvalidCertificate::Malformed { element: 0 })?;

        let signing_key = key.signing_key().map_err(|_| InvalidCertificate::Key)?;
        let certified = CertifiedKey::new(shown, signing_key);
        certified.keys_match().map_err(|_| InvalidCertificate::Key)?;
        let shown = Arc::new(SingleCertAndKey::from(certified));
        let provider = provider(settings);
        let server = server_config(&identity, &roots, &provider, settings, Arc::clone(&shown))?;
        Ok(Arc::new(Self {
            identity,
            info,
            chain_pem: chain_pem.to_vec(),
            roots,
            provider,
            settings: settings.clone(),
            shown,
            server: Arc::new(server),
            clients: Mutex::default(),
        }))
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// From when it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.info.not_before
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.info.not_after
    }

    /// Its serial number, hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.info.serial
    }

    /// What it shows to peers, for dumps: leaf and intermediates, PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &[String] {
        &self.chain_pem[..self.chain_pem.len() - 1]
    }

    /// What it trusts, for dumps: one or several roots, PEM.
    #[must_use]
    pub fn roots_pem(&self) -> &str {
        self.chain_pem.last().map_or("", String::as_str)
    }

    /// TLS for a client that wants one of these at the other end. Made once for each set; ALPN `h2`; no SNI is sent (give
    /// [`mesh_server_name`] as the name).
    #[must_use]
    pub fn client_config(&self, expected: &ExpectedPeers) -> Arc<ClientConfig> {
        let mut clients = self.clients.lock();
        clients.get(expected).unwrap_or_else(|| {
            let config = Arc::new(self.new_client_config(expected));
            clients.put(expected.clone(), Arc::clone(&config));
            config
        })
    }

    /// TLS for a server: clients must show a certificate of this trust domain. ALPN `h2`.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    fn new_client_config(&self, expected: &ExpectedPeers) -> ClientConfig {
        let verifier = ExpectPeer {
            expected: expected.clone(),
            roots: Arc::clone(&self.roots),
            provider: Arc::clone(&self.provider),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.settings.versions())
            .expect("the server's configuration was made of the same provider and versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::<SingleCertAndKey>::clone(&self.shown));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.enable_sni = false;
        // A resumed session verifies no certificate, so it would outlive the roots, expiry and revocation that let the first
        // one in. Tunnels are pooled: what resumption would save is small.
        config.resumption = Resumption::disabled();
        // Whoever carries bulk data does the records itself.
        config.enable_secret_extraction = true;
        config
    }
}

impl fmt::Debug for WorkloadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadCertificate")
            .field("identity", &self.identity)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn server_config(
    identity: &Identity,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    settings: &TlsSettings,
    shown: Arc<SingleCertAndKey>,
) -> Result<ServerConfig, InvalidCertificate> {
    let trust_domain = identity.trust_domain().clone();
    let verifier = SameTrustDomain::new(trust_domain, Arc::clone(roots), Arc::clone(provider))
        .map_err(|e| InvalidCertificate::Tls(rustls::Error::General(e.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(settings.versions())
        .map_err(InvalidCertificate::Tls)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // No resumption, for the reason that the client's configuration gives; nor tickets that nobody can use.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    Ok(config)
}

fn chain(elements: &[String]) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let mut chain = Vec::with_capacity(elements.len());
    for (element, text) in elements.iter().enumerate() {
        let certs = pem::certificates(text).map_err(|source| InvalidCertificate::Pem { element, source })?;
        chain.extend(certs);
    }
    Ok(chain)
}

fn root_store(element: usize, text: &str) -> Result<RootCertStore, InvalidCertificate> {
    let mut roots = RootCertStore::empty();
    for cert in pem::certificates(text).map_err(|source| InvalidCertificate::Pem { element, source })? {
        roots
            .add(cert)
            .map_err(|_| InvalidCertificate::Malformed { element })?;
    }
    Ok(roots)
}

// === impl CertificateInfo ===

impl CertificateInfo {
    /// What a certificate (DER) says; `None` when it cannot be read.
    #[must_use]
    pub fn of(cert: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(cert).ok()?;
        let at = |seconds: i64| {
            let seconds = u64::try_from(seconds).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        Some(Self {
            serial: serial_number(cert.raw_serial()),
            not_before: at(cert.validity().not_before.timestamp())?,
            not_after: at(cert.validity().not_after.timestamp())?,
        })
    }
}

/// As every tool writes it, so that a line here can be found in the authority's log: hexadecimal, without the zero that
/// DER puts before a number whose first bit is set (X.690, 8.3.3).
fn serial_number(der: &[u8]) -> String {
    let digits = match der {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => der,
    };
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The configurations made so far, the latest last. One identity speaks to few services at a time; beyond that the oldest
/// is made again when it is needed, which takes microseconds.
#[derive(Default)]
struct ClientConfigs(VecDeque<(ExpectedPeers, Arc<ClientConfig>)>);

impl ClientConfigs {
    fn get(&self, expected: &ExpectedPeers) -> Option<Arc<ClientConfig>> {
        let mut newest_first = self.0.iter().rev();
        newest_first
            .find(|(of, _)| of == expected)
            .map(|(_, config)| Arc::clone(config))
    }

    fn put(&mut self, expected: ExpectedPeers, config: Arc<ClientConfig>) {
        if self.0.len() == MAX_CLIENT_CONFIGS {
            self.0.pop_front();
        }
        self.0.push_back((expected, config));
    }
}

const MAX_CLIENT_CONFIGS: usize = 64;
/// HTTP/2 (RFC 9113, 3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";

#[cfg(test)]
mod tests;
