//! Certificates out of PEM text (RFC 7468).

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Why PEM text gives no certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPem {
    /// Longer than anybody's certificates are.
    #[error("more than {MAX_PEM} bytes of PEM")]
    TooLong,
    /// A block is broken.
    #[error("broken PEM block")]
    Broken,
    /// It holds no certificate.
    #[error("no certificate in the PEM text")]
    Empty,
}

/// All certificates in the text, in its order. Blocks of other kinds and text between blocks are passed over, as
/// [RFC 7468](https://www.rfc-editor.org/rfc/rfc7468#section-5.2) allows.
///
/// # Errors
/// See [`InvalidPem`].
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    if pem.len() > MAX_PEM {
        return Err(InvalidPem::TooLong);
    }
    let certs = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match certs {
        Err(_) => Err(InvalidPem::Broken),
        Ok(certs) if certs.is_empty() => Err(InvalidPem::Empty),
        Ok(certs) => Ok(certs),
    }
}

/// A system's whole trust store is about 220 kB.
const MAX_PEM: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
