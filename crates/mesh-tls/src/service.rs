//! TLS of the gRPC services (discovery, certificates, registration): the server is known by a DNS name, clients by tokens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::ALPN_H2;
use crate::pem::{self, InvalidPem};
use crate::{PrivateKey, TlsSettings, provider};

/// Where the roots come from that a service's certificate is checked against (`XDS_ROOT_CA`, `CA_ROOT_CA`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// A PEM file, read anew at each connection, since it is replaced while we run.
    Path(PathBuf),
    /// PEM text.
    Inline(String),
    /// What the operating system trusts.
    System,
}

/// Why a service cannot be trusted, or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceTlsError {
    /// A file cannot be read; it may be there later.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The roots hold no certificates.
    #[error("{from}: {source}")]
    Pem {
        /// Where they come from.
        from: String,
        /// What is wrong.
        source: InvalidPem,
    },
    /// A certificate cannot be read.
    #[error("{from}: a certificate cannot be read")]
    Malformed {
        /// Where it comes from.
        from: String,
    },
    /// The operating system keeps its roots in none of the places that are known.
    #[error(
        "no roots of the operating system in any of {SYSTEM_BUNDLES:?}: mount a PEM bundle at one of them, or name the roots \
         themselves instead of the system's"
    )]
    NoSystemRoots,
    /// The serving certificate is of another key.
    #[error("serving certificate does not match its private key")]
    Key,
    /// TLS cannot be configured.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl RootSource {
    /// What a setting means: `SYSTEM`, PEM text, or else a path.
    #[must_use]
    pub fn from_setting(setting: &str) -> Self {
        let setting = setting.trim();
        if setting == "SYSTEM" {
            Self::System
        } else if setting.starts_with("-----BEGIN") {
            Self::Inline(setting.to_owned())
        } else {
            Self::Path(PathBuf::from(setting))
        }
    }

    /// The roots as they are now.
    ///
    /// # Errors
    /// See [`ServiceTlsError`].
    pub fn load(&self) -> Result<RootCertStore, ServiceTlsError> {
        match self {
            Self::Path(path) => roots(&path.display().to_string(), &read(path)?, Strictness::Every),
            Self::Inline(text) => roots("inline roots", text, Strictness::Every),
            Self::System => {
                let path = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.is_file());
                let path = path.ok_or(ServiceTlsError::NoSystemRoots)?;
                roots(&path.display().to_string(), &read(path)?, Strictness::Usable)
            }
        }
    }
}

/// TLS for a client of a service, with the roots as they are now: to be called anew for each connection. ALPN `h2`; the name
/// that is verified (and sent as SNI) is the one that the connection is made with.
///
/// # Errors
/// See [`ServiceTlsError`].
pub fn client_config(
    roots: &RootSource,
    settings: &TlsSettings,
) -> Result<Arc<ClientConfig>, ServiceTlsError> {
    let mut config = ClientConfig::builder_with_provider(provider(settings))
        .with_protocol_versions(settings.versions())?
        .with_root_certificates(roots.load()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // The configuration serves one connection.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// TLS for a service: it shows `chain_pem` (leaf first) and asks clients for no certificate. ALPN `h2`.
///
/// # Errors
/// See [`ServiceTlsError`].
pub fn server_config(
    chain_pem: &str,
    key: &PrivateKey,
    settings: &TlsSettings,
) -> Result<Arc<ServerConfig>, ServiceTlsError> {
    let chain = pem::certificates(chain_pem).map_err(|source| ServiceTlsError::Pem {
        from: "serving certificate".to_owned(),
        source,
    })?;
    let certified = CertifiedKey::new(chain, key.signing_key().map_err(|_| ServiceTlsError::Key)?);
    certified.keys_match().map_err(|_| ServiceTlsError::Key)?;
    let mut config = ServerConfig::builder_with_provider(provider(settings))
        .with_protocol_versions(settings.versions())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(Arc::new(config))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// A root that cannot be read is an error: somebody chose each of them.
    Every,
    /// One that cannot be read is passed over: nobody here chose them.
    Usable,
}

pub(crate) fn roots(
    from: &str,
    text: &str,
    strictness: Strictness,
) -> Result<RootCertStore, ServiceTlsError> {
    let certs = pem::certificates(text).map_err(|source| ServiceTlsError::Pem {
        from: from.to_owned(),
        source,
    })?;
    let mut store = RootCertStore::empty();
    for cert in certs {
        let added = store.add(cert);
        if added.is_err() && strictness == Strictness::Every {
            return Err(ServiceTlsError::Malformed {
                from: from.to_owned(),
            });
        }
    }
    Ok(store)
}

fn read(path: &Path) -> Result<String, ServiceTlsError> {
    fs::read_to_string(path).map_err(|source| ServiceTlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Where the operating system's roots are looked for, the first that is there: Debian and Alpine, Fedora, openSUSE. No
/// environment variable counts beside them.
pub const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

#[cfg(test)]
mod tests;
