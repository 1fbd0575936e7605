//! TLS towards servers outside the mesh's own tunnels: what a DestinationRule's `tls` or a BackendTLSPolicy asks for.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pem;
use crate::service::{RootSource, ServiceTlsError};
use crate::{TlsSettings, provider};

/// How TLS is spoken to a server.
#[derive(Clone, Copy, Debug)]
pub struct Origination<'a> {
    /// Whom to trust.
    pub trust: Trust<'a>,
    /// One of these names (DNS names, or URIs) must be in the server's certificate; none: the name of the handshake.
    pub names: &'a [&'a str],
    /// What is shown: a chain and its key, PEM.
    pub certificate: Option<(&'a str, &'a str)>,
}

/// Whom to trust.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// What the operating system trusts.
    System,
    /// These, PEM.
    Authorities(&'a str),
    /// Anybody: neither chain nor name is looked at.
    Anybody,
}

/// The configuration; without ALPN and with rustls's own resumption of sessions.
///
/// TLS 1.2 is spoken, too: servers outside are as old as they are.
///
/// # Errors
/// See [`ServiceTlsError`].
pub fn client_config(origination: &Origination<'_>) -> Result<ClientConfig, ServiceTlsError> {
    let settings = TlsSettings {
        tls12: true,
        ..TlsSettings::default()
    };
    let provider = provider(&settings);
    let roots = match origination.trust {
        Trust::System => Some(RootSource::System.load()?),
        Trust::Authorities(pem) => Some(RootSource::Inline(pem.to_owned()).load()?),
        Trust::Anybody => None,
    };
    let verifier = OneOf {
        roots,
        names: origination.names.iter().map(|name| (*name).to_owned()).collect(),
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(settings.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((chain, key)) = origination.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = pem::certificates(chain).map_err(|source| ServiceTlsError::Pem {
        from: "client certificate".to_owned(),
        source,
    })?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| ServiceTlsError::Key)?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

/// A chain to one of the roots, and one of the names.
#[derive(Debug)]
struct OneOf {
    /// Absent where anybody is trusted.
    roots: Option<RootCertStore>,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl OneOf {
    fn verify_names(
        &self,
        parsed: &ParsedCertificate<'_>,
        end_entity: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.names.is_empty() {
            return verify_server_name(parsed, server_name);
        }
        let is_shown = |name: &String| match name.contains("://") {
            true => has_uri(end_entity, name),
            false => ServerName::try_from(name.as_str())
                .is_ok_and(|name| verify_server_name(parsed, &name).is_ok()),
        };
        match self.names.iter().any(is_shown) {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
        }
    }
}

fn has_uri(cert: &CertificateDer<'_>, wanted: &str) -> bool {
    let Ok((_, cert)) = X509Certificate::from_der(cert) else {
        return false;
    };
    let Ok(Some(names)) = cert.subject_alternative_name() else {
        return false;
    };
    let mut names = names.value.general_names.iter();
    names.any(|name| matches!(name, GeneralName::URI(uri) if *uri == wanted))
}

impl ServerCertVerifier for OneOf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        self.verify_names(&parsed, end_entity, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
