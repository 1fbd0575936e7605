//! Private keys: never printed, and wiped from memory when dropped.

use std::fmt;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

/// A private key, PKCS#8.
pub struct PrivateKey(Zeroizing<Vec<u8>>);

/// The text or bytes are no private key of a kind that is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key of a supported kind")]
pub struct InvalidPrivateKey;

impl PrivateKey {
    /// A key from PKCS#8, DER.
    ///
    /// # Errors
    /// Fails when it cannot sign for TLS.
    pub fn from_pkcs8_der(der: impl Into<Zeroizing<Vec<u8>>>) -> Result<Self, InvalidPrivateKey> {
        let key = Self(der.into());
        key.signing_key().map(|_| key)
    }

    /// A key from PKCS#8, PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// Fails when the text holds no such key, or one that cannot sign for TLS.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPrivateKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| InvalidPrivateKey)?;
        let der = Zeroizing::new(der);
        Self::from_pkcs8_der(der.secret_pkcs8_der().to_vec())
    }

    /// The secret itself, DER: for whoever has to keep it.
    #[must_use]
    pub fn expose_pkcs8_der(&self) -> &[u8] {
        &self.0
    }

    /// The key as rustls signs with it.
    pub(crate) fn signing_key(
        &self,
    ) -> Result<std::sync::Arc<dyn rustls::sign::SigningKey>, InvalidPrivateKey> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.as_slice()));
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|_| InvalidPrivateKey)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests;
