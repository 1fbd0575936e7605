//! Which groups, ciphers and versions are spoken. Nothing is left to a default of the process or of a library, so that a
//! benchmark and a fleet know what they run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// How TLS is spoken, on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// Key exchange, preferred first; not empty.
    pub groups: Vec<KeyExchangeGroup>,
    /// Bulk ciphers, preferred first; not empty.
    pub ciphers: Vec<CipherSuite>,
    /// TLS 1.2 as well, for peers that have nothing newer (upstream's `TLS12_ENABLED`).
    pub tls12: bool,
}

/// A key exchange group (IANA TLS Supported Groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyExchangeGroup {
    /// X25519 with ML-KEM-768: safe against a recording that is broken by a quantum computer later.
    X25519MlKem768,
    /// X25519.
    X25519,
    /// NIST P-256.
    Secp256r1,
}

/// A bulk cipher with its hash; for TLS 1.2 the ECDHE suites of the same cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CipherSuite {
    /// AES-256-GCM, SHA-384.
    Aes256Gcm,
    /// AES-128-GCM, SHA-256.
    Aes128Gcm,
}

/// A name that is no group of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key exchange group; known are X25519MLKEM768, X25519 and P-256")]
pub struct UnknownGroup(pub String);

impl Default for TlsSettings {
    /// Hybrid key exchange first, TLS 1.3 only; ciphers in upstream's order.
    fn default() -> Self {
        Self {
            groups: vec![
                KeyExchangeGroup::X25519MlKem768,
                KeyExchangeGroup::X25519,
                KeyExchangeGroup::Secp256r1,
            ],
            ciphers: vec![CipherSuite::Aes256Gcm, CipherSuite::Aes128Gcm],
            tls12: false,
        }
    }
}

/// The crypto provider for these settings: aws-lc-rs, made explicitly and never installed as the process's default.
#[must_use]
pub fn provider(settings: &TlsSettings) -> Arc<CryptoProvider> {
    let groups = settings.groups.iter().map(|group| group.implementation());
    let ciphers = settings.ciphers.iter();
    let mut suites: Vec<_> = ciphers.clone().map(|cipher| cipher.tls13()).collect();
    if settings.tls12 {
        suites.extend(ciphers.flat_map(|cipher| cipher.tls12()));
    }
    Arc::new(CryptoProvider {
        cipher_suites: suites,
        kx_groups: groups.collect(),
        ..aws_lc_rs::default_provider()
    })
}

impl TlsSettings {
    pub(crate) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.tls12 { &TLS13_AND_12 } else { &TLS13_ONLY }
    }
}

impl KeyExchangeGroup {
    fn implementation(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519MlKem768 => kx_group::X25519MLKEM768,
            Self::X25519 => kx_group::X25519,
            Self::Secp256r1 => kx_group::SECP256R1,
        }
    }

    /// The name that IANA gave it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "X25519MLKEM768",
            Self::X25519 => "X25519",
            Self::Secp256r1 => "P-256",
        }
    }
}

impl fmt::Display for KeyExchangeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyExchangeGroup {
    type Err = UnknownGroup;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.to_ascii_lowercase().as_str() {
            "x25519mlkem768" => Ok(Self::X25519MlKem768),
            "x25519" => Ok(Self::X25519),
            "p-256" | "secp256r1" => Ok(Self::Secp256r1),
            _ => Err(UnknownGroup(s.to_owned())),
        }
    }
}

impl CipherSuite {
    fn tls13(self) -> SupportedCipherSuite {
        match self {
            Self::Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
        }
    }

    fn tls12(self) -> [SupportedCipherSuite; 2] {
        match self {
            Self::Aes256Gcm => [
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ],
            Self::Aes128Gcm => [
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ],
        }
    }
}

static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
static TLS13_AND_12: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
