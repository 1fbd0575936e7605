//! Fuzz targets: whatever the bytes are, nothing panics and no two readings of them disagree. The same functions serve
//! libFuzzer.

use rustls::pki_types::CertificateDer;

use crate::{csr, identity, pem};

/// A peer's certificate, DER.
pub fn peer_certificate(data: &[u8]) {
    let cert = CertificateDer::from(data);
    if let Ok(identity) = crate::peer_identity(std::slice::from_ref(&cert)) {
        let uri = identity::only_uri(&cert).expect("an identity was read from the certificate's only URI");
        assert_eq!(uri, identity.to_string());
    }
    let _ = crate::certificate::CertificateInfo::of(&cert);
}

/// A signing request, PEM.
pub fn signing_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(request) = csr::decode(text) {
        assert!(!request.public_key().is_empty());
    }
}

/// A chain of certificates, PEM.
pub fn chain(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(certs) = pem::certificates(text) {
        assert!(!certs.is_empty());
    }
}

#[cfg(test)]
mod tests;
