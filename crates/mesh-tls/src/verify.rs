//! The two verifiers of mesh connections: the chain against the mesh's roots, then the one identity.

use std::sync::Arc;

use mesh_types::{Identity, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::identity::{only_uri, peer_identity};
use crate::{ExpectedPeers, PeerIdentityError};

/// Why a peer whose chain is good was turned away all the same. Found among the sources of a handshake's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectedPeer {
    /// Its certificate does not say who it is.
    #[error("peer: {0}")]
    NoIdentity(#[from] PeerIdentityError),
    /// It is somebody else.
    #[error("peer is {shown}, expected {expected}")]
    NotExpected {
        /// Who it is.
        shown: String,
        /// Who was expected.
        expected: ExpectedPeers,
    },
    /// It belongs to another mesh.
    #[error("peer {shown} is of another trust domain than {ours}")]
    TrustDomain {
        /// Who it is.
        shown: Identity,
        /// The trust domain of this side.
        ours: TrustDomain,
    },
}

impl RejectedPeer {
    /// The rejection in a handshake's error, if that was its cause.
    #[must_use]
    pub fn among<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) =
                error.downcast_ref()
            {
                return inner.downcast_ref();
            }
            // An io::Error shows what it carries by `get_ref`, and only what that carries by `source`.
            next = match error.downcast_ref::<std::io::Error>() {
                Some(io) => io
                    .get_ref()
                    .map(|inner| inner as &(dyn std::error::Error + 'static)),
                None => error.source(),
            };
        }
        None
    }

    fn into_tls(self) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }
}

/// A client's view of the server: one of the expected identities. The name in the URL or SNI plays no part.
#[derive(Debug)]
pub(crate) struct ExpectPeer {
    pub(crate) expected: ExpectedPeers,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ExpectPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let shown = only_uri(end_entity).map_err(|e| RejectedPeer::from(e).into_tls())?;
        if self.expected.contains(&shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let expected = self.expected.clone();
        Err(RejectedPeer::NotExpected { shown, expected }.into_tls())
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

/// A server's view of the client: it must show a certificate, of an identity in this trust domain.
#[derive(Debug)]
pub(crate) struct SameTrustDomain {
    trust_domain: TrustDomain,
    chain: Arc<dyn ClientCertVerifier>,
}

impl SameTrustDomain {
    pub(crate) fn new(
        trust_domain: TrustDomain,
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider)
            // Clients have one certificate; a list of roots would only make the handshake longer.
            .clear_root_hint_subjects()
            .build()?;
        Ok(Self { trust_domain, chain })
    }
}

impl ClientCertVerifier for SameTrustDomain {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let shown =
            peer_identity(std::slice::from_ref(end_entity)).map_err(|e| RejectedPeer::from(e).into_tls())?;
        if shown.trust_domain() == &self.trust_domain {
            return Ok(verified);
        }
        let ours = self.trust_domain.clone();
        Err(RejectedPeer::TrustDomain { shown, ours }.into_tls())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
