//! TLS of a gateway's clients: it ends here, with a certificate that is chosen by server name.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::{ServiceTlsError, Strictness, roots};
use crate::{TlsSettings, pem, provider};

/// A certificate that clients are shown.
#[derive(Clone, Copy)]
pub struct ServedCertificate<'a> {
    /// The chain, leaf first, as PEM.
    pub chain: &'a [u8],
    /// The leaf's key, as PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: &'a [u8],
}

/// TLS for a gateway's clients. They are shown the first certificate that has the name they ask for, or has it below a
/// wildcard; others, and those that ask for none, the first of all. ALPN `h2` and `http/1.1`.
///
/// With `client_authorities` (PEM) they must show one that these have signed.
///
/// # Errors
/// See [`ServiceTlsError`]; also when there is no certificate.
pub fn termination_config(
    certificates: &[ServedCertificate<'_>],
    client_authorities: Option<&[u8]>,
    settings: &TlsSettings,
) -> Result<Arc<ServerConfig>, ServiceTlsError> {
    let provider = provider(settings);
    let served: Result<Vec<_>, _> = certificates
        .iter()
        .map(|certificate| Served::load(certificate, &provider))
        .collect();
    let served = served?;
    if served.is_empty() {
        return Err(ServiceTlsError::Key);
    }
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(settings.versions())?;
    let builder = match client_authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let from = "client authorities";
            let roots = roots(from, &text(authorities, from)?, Strictness::Every)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|_| ServiceTlsError::Malformed {
                from: from.to_owned(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(served)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

struct Served {
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

struct ByName(Vec<Served>);

impl Served {
    fn load(certificate: &ServedCertificate<'_>, provider: &CryptoProvider) -> Result<Self, ServiceTlsError> {
        let from = "serving certificate";
        let chain =
            pem::certificates(&text(certificate.chain, from)?).map_err(|source| ServiceTlsError::Pem {
                from: from.to_owned(),
                source,
            })?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key).map_err(|_| ServiceTlsError::Key)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| ServiceTlsError::Key)?;
        let names = names(&chain[0]).ok_or_else(|| ServiceTlsError::Malformed {
            from: from.to_owned(),
        })?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| ServiceTlsError::Key)?;
        Ok(Self {
            names,
            key: Arc::new(key),
        })
    }

    fn has(&self, name: &str) -> bool {
        let below = name.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            // RFC 6125, 6.4.3: for one label.
            Some(suffix) => below.is_some_and(|below| below.eq_ignore_ascii_case(suffix)),
            None => own.eq_ignore_ascii_case(name),
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| self.0.iter().find(|served| served.has(name)));
        Some(named.unwrap_or(self.0.first()?).key.clone())
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|served| &served.names))
            .finish()
    }
}

fn text(pem: &[u8], from: &str) -> Result<String, ServiceTlsError> {
    String::from_utf8(pem.to_vec()).map_err(|_| ServiceTlsError::Malformed {
        from: from.to_owned(),
    })
}

/// The DNS names of a certificate.
fn names(leaf: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let alternative = certificate.subject_alternative_name().ok()?;
    let names = alternative
        .into_iter()
        .flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(dns.collect())
}
