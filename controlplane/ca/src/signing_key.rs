//! An ECDSA P-256 key whose every serialized copy is wiped.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

/// A signing key, wiped when it is dropped.
pub(crate) struct P256Key(KeyPair);

impl P256Key {
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self)
    }

    /// The first private key of a PEM file.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let mut der: PrivateKeyDer<'static> = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| format!("holds no private key: {e}"))?;
        let key = KeyPair::from_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256);
        der.zeroize();
        key.map(Self)
            .map_err(|e| format!("the private key is no ECDSA P-256 key: {e}"))
    }

    /// PKCS#8, PEM.
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// PKCS#8, DER.
    pub(crate) fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_der())
    }

    /// The public key: an uncompressed point.
    pub(crate) fn public_point(&self) -> &[u8] {
        self.0.public_key_raw()
    }
}

impl Drop for P256Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for P256Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for P256Key {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(msg)
    }
}

/// A signing key of any kind that certificates of authorities have: ECDSA or RSA. Wiped when it is dropped.
pub(crate) struct AuthorityKey(KeyPair);

impl AuthorityKey {
    /// The first private key of a PEM file.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let mut der: PrivateKeyDer<'static> = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| format!("holds no private key: {e}"))?;
        let key = KeyPair::try_from(&der);
        der.zeroize();
        key.map(Self)
            .map_err(|e| format!("the private key is no ECDSA or RSA key: {e}"))
    }

    /// The public key, as certificates have it.
    pub(crate) fn public_bits(&self) -> &[u8] {
        self.0.public_key_raw()
    }
}

impl Drop for AuthorityKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(msg)
    }
}
