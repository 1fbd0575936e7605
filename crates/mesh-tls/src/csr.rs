//! Certificate signing requests (PKCS#10, RFC 2986), both ends.

use mesh_types::Identity;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::identity::uri_among;
use crate::{PeerIdentityError, PrivateKey};

/// What somebody asks a certificate for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    identity: Identity,
    spki: Vec<u8>,
}

/// Why a signing request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSigningRequest {
    /// Longer than any request of one identity is.
    #[error("signing request of {0} bytes, more than {MAX_PEM}")]
    TooLong(usize),
    /// It is no PEM text with one request in it.
    #[error("signing request is not one CERTIFICATE REQUEST in PEM")]
    Pem,
    /// It is no PKCS#10 request.
    #[error("signing request cannot be read")]
    Malformed,
    /// Its signature is not of its own key: the sender may not hold the key.
    #[error("signing request is not signed by its own key")]
    Signature,
    /// The key is none of P-256.
    #[error("signing request's key is not of P-256")]
    KeyType,
    /// It asks for other names than one identity.
    #[error("signing request asks for names other than one SPIFFE identity")]
    OtherNames,
    /// Its identity cannot be read.
    #[error("signing request: {0}")]
    Identity(PeerIdentityError),
}

/// A request could not be made: the machine's fault.
#[derive(Debug, thiserror::Error)]
#[error("signing request cannot be made: {0}")]
pub struct EncodeError(#[from] rcgen::Error);

/// A new P-256 key, and the PEM request for a certificate of it with `identity` as its only name. The subject is empty, so
/// the name is critical (RFC 5280, 4.2.1.6).
///
/// # Errors
/// Fails only when the machine cannot make keys.
pub fn encode(identity: &Identity) -> Result<(PrivateKey, String), EncodeError> {
    let pair = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
    let pem = params.serialize_request(&*pair)?.pem()?;
    let der = Zeroizing::new(pair.serialize_der());
    let key = PrivateKey::from_pkcs8_der(der).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok((key, pem))
}

/// Reads a request and checks that its sender holds the key.
///
/// # Errors
/// See [`InvalidSigningRequest`].
pub fn decode(pem: &str) -> Result<SigningRequest, InvalidSigningRequest> {
    if pem.len() > MAX_PEM {
        return Err(InvalidSigningRequest::TooLong(pem.len()));
    }
    let mut found = CertificateSigningRequestDer::pem_slice_iter(pem.as_bytes());
    let (Some(Ok(der)), None) = (found.next(), found.next()) else {
        return Err(InvalidSigningRequest::Pem);
    };
    decode_der(&der)
}

fn decode_der(der: &[u8]) -> Result<SigningRequest, InvalidSigningRequest> {
    let (rest, request) =
        X509CertificationRequest::from_der(der).map_err(|_| InvalidSigningRequest::Malformed)?;
    if !rest.is_empty() {
        return Err(InvalidSigningRequest::Malformed);
    }
    let spki = &request.certification_request_info.subject_pki;
    let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    if spki.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(InvalidSigningRequest::KeyType);
    }
    request
        .verify_signature()
        .map_err(|_| InvalidSigningRequest::Signature)?;
    Ok(SigningRequest {
        identity: requested_identity(&request)?,
        spki: spki.raw.to_vec(),
    })
}

fn requested_identity(request: &X509CertificationRequest<'_>) -> Result<Identity, InvalidSigningRequest> {
    let mut names = None;
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension
            && names.replace(&san.general_names).is_some()
        {
            return Err(InvalidSigningRequest::OtherNames);
        }
    }
    let names = names.ok_or(InvalidSigningRequest::Identity(PeerIdentityError::NoUri))?;
    let uri = uri_among(names).map_err(InvalidSigningRequest::Identity)?;
    if names.len() > 1 {
        return Err(InvalidSigningRequest::OtherNames);
    }
    uri.parse()
        .map_err(|e| InvalidSigningRequest::Identity(PeerIdentityError::NotAnIdentity(e)))
}

impl SigningRequest {
    /// The identity that is asked for. Whether the sender may have it is for the authority to say.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The public key (SubjectPublicKeyInfo, DER), of which the sender has shown that it holds the private one.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }
}

/// A P-256 request with one name is about 500 bytes; a few names of full SPIFFE length still fit.
const MAX_PEM: usize = 8 * 1024;

#[cfg(test)]
mod tests;
