//! Who a peer is: the one URI name of its certificate (SPIFFE X.509-SVID, section 2: "exactly one URI SAN").

use mesh_types::{Identity, InvalidIdentity};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate says nothing certain about its holder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdentityError {
    /// The peer showed none.
    #[error("no certificate was shown")]
    NoCertificate,
    /// It is no X.509 certificate, or its names cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// None of its names is a URI.
    #[error("the certificate has no URI name")]
    NoUri,
    /// More than one of its names is a URI: two checks could look at different ones.
    #[error("the certificate has {0} URI names, where exactly one is allowed")]
    SeveralUris(usize),
    /// The URI is no SPIFFE identity, or has a form that the mesh does not use.
    #[error("the certificate's URI name is no identity: {0}")]
    NotAnIdentity(#[from] InvalidIdentity),
    /// The URI holds a control character, such as the NUL that ends strings for some.
    #[error("the certificate's URI name holds a control character")]
    ControlCharacter,
}

/// The identity in the first (the peer's own) of these certificates. Says nothing about whether it may be believed: that is
/// the verifiers' part.
///
/// Names of other kinds are passed over: SPIFFE allows them, and nobody reads an identity from them.
///
/// # Errors
/// See [`PeerIdentityError`].
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<Identity, PeerIdentityError> {
    let leaf = certs.first().ok_or(PeerIdentityError::NoCertificate)?;
    Ok(only_uri(leaf)?.parse()?)
}

/// The certificate's only URI name.
pub(crate) fn only_uri(cert: &CertificateDer<'_>) -> Result<String, PeerIdentityError> {
    let (rest, cert) = X509Certificate::from_der(cert).map_err(|_| PeerIdentityError::Malformed)?;
    if !rest.is_empty() {
        return Err(PeerIdentityError::Malformed);
    }
    // Fails when the extension is there twice.
    let names = cert
        .subject_alternative_name()
        .map_err(|_| PeerIdentityError::Malformed)?
        .ok_or(PeerIdentityError::NoUri)?;
    uri_among(&names.value.general_names)
}

/// The only URI among a certificate's, or a request's, names.
pub(crate) fn uri_among(names: &[GeneralName<'_>]) -> Result<String, PeerIdentityError> {
    let mut uris = Vec::new();
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(PeerIdentityError::Malformed),
            _ => {}
        }
    }
    match uris.as_slice() {
        [] => Err(PeerIdentityError::NoUri),
        [uri] if uri.chars().any(char::is_control) => Err(PeerIdentityError::ControlCharacter),
        [uri] => Ok((*uri).to_owned()),
        several => Err(PeerIdentityError::SeveralUris(several.len())),
    }
}

#[cfg(test)]
mod tests;
