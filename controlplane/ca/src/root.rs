//! The root: an ECDSA P-256 key and its certificate, made once in the state directory; or what an operator or other
//! replicas have, which may be an intermediate authority under roots of its own.
//!
//! In the state directory, key and certificate share one file, so that no crash and no second starter can pair one's key with another's
//! certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_types::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    SerialNumber, SigningKey,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::random;
use crate::secret_file::{self, SecretFileError};
use crate::signing_key::{AuthorityKey, P256Key};

pub mod renewal;

/// The mesh's root: signs every certificate. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Root {
    issuer: Arc<Issuer<'static, AuthorityKey>>,
    /// What stands for what it signs, PEM each.
    own: Vec<String>,
    /// What is trusted: that, and others beside it.
    certificate_pem: String,
    /// From what signs up to what is trusted, PEM each; none where that is the same.
    intermediates: Vec<String>,
    life: Life,
    /// What signs: name and key, DER. Certificates of both are good for one another's signatures.
    signer: Signer,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug)]
struct Life {
    not_before: SystemTime,
    not_after: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signer {
    name: Vec<u8>,
    key: Vec<u8>,
}

/// Where an authority is kept: it says what helps when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a file of the state directory.
    StateDirectory,
    /// In the Secret that replicas share.
    Secret,
    /// In files that an operator mounts.
    Mounted,
}

impl Kept {
    fn when_expired(self) -> &'static str {
        match self {
            Self::StateDirectory => "move the file away to have a new one made",
            Self::Secret => "delete the Secret and restart the control plane to have a new one made",
            Self::Mounted => "mount a new one (Secret cacerts)",
        }
    }
}

/// A certificate authority, as PEM texts: the keys of Istio's Secrets (`cacerts`, `istio-ca-secret`).
#[derive(Clone, Default)]
pub struct AuthorityPems {
    /// `ca-cert.pem`: what signs.
    pub certificate: String,
    /// `ca-key.pem`: its key.
    pub key: Zeroizing<String>,
    /// `cert-chain.pem`: from what signs upwards; empty where that is trusted itself.
    pub chain: String,
    /// `root-cert.pem`: what is trusted; empty where that is what signs.
    pub roots: String,
}

/// Why there is no root to sign with. All are the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The file is there, and is no root.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The public copy for clients cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Publish {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Root {
    /// The root of the state directory, made now where there is none yet. Safe against several starters.
    ///
    /// # Errors
    /// Fails when the file cannot be read or written, is readable by others, is no root, or has expired.
    pub fn load_or_create(
        state_dir: &Path,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, RootError> {
        let path = state_dir.join(SECRET_FILE);
        let content = secret_file::load_or_create(&path, || make(trust_domain, now))?;
        let root = Self::parse(&content, Kept::StateDirectory, now);
        let root = root.map_err(|reason| RootError::Unusable { path, reason })?;
        root.publish(state_dir)?;
        Ok(root)
    }

    /// Lays what is trusted where clients of this machine find it.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn publish(&self, state_dir: &Path) -> Result<(), RootError> {
        let public = state_dir.join(PUBLIC_FILE);
        secret_file::publish(&public, self.certificate_pem.as_bytes())
            .map_err(|source| RootError::Publish { path: public, source })
    }

    /// What somebody else keeps.
    ///
    /// # Errors
    /// Fails with one line that says which part is wrong.
    pub fn from_pems(pems: &AuthorityPems, kept: Kept, now: SystemTime) -> Result<Self, String> {
        let content = Zeroizing::new([pems.key.as_str(), "\n", &pems.certificate].concat());
        let mut root = Self::parse(&content, kept, now)?;
        if pems.roots.trim().is_empty() {
            return Ok(root);
        }
        let own = root.certificate_pem.trim().to_owned();
        let trusted = blocks(&pems.roots)?;
        if !trusted.iter().any(|t| t.trim() == own) {
            root.intermediates.push(format!("{own}\n"));
            let above = blocks(&pems.chain)?.into_iter();
            let above = above.filter(|c| c.trim() != own && !trusted.iter().any(|t| t.trim() == c.trim()));
            root.intermediates.extend(above);
        }
        root.certificate_pem = trusted.concat();
        root.own = trusted;
        Ok(root)
    }

    /// The same authority, with these others (PEM) trusted beside it, and nothing else; those that have ended are left out.
    #[must_use]
    pub fn trusting<'a>(&self, others: impl IntoIterator<Item = &'a str>, now: SystemTime) -> Self {
        let mut trusted = self.own.clone();
        let others = others.into_iter().flat_map(|o| blocks(o).unwrap_or_default());
        for other in others {
            if !trusted.contains(&other) && end_of(&other).is_some_and(|end| now < end) {
                trusted.push(other);
            }
        }
        Self {
            certificate_pem: trusted.concat(),
            ..self.clone()
        }
    }

    /// What stands for what this authority signs: the roots above it, or its own certificate; PEM each.
    #[must_use]
    pub fn own(&self) -> &[String] {
        &self.own
    }

    /// Whether it signs with the same certificate under the same roots.
    #[must_use]
    pub fn is_same_authority(&self, other: &Self) -> bool {
        self.own == other.own && self.intermediates == other.intermediates
    }

    /// Whether something that is trusted here is among these (PEM) too.
    #[must_use]
    pub fn shares_trust_with(&self, others: &str) -> bool {
        let others = blocks(others).unwrap_or_default();
        let own = blocks(&self.certificate_pem).unwrap_or_default();
        own.iter()
            .any(|own| others.iter().any(|other| other.trim() == own.trim()))
    }

    /// Where clients find the certificate, without the key.
    #[must_use]
    pub fn public_path(state_dir: &Path) -> PathBuf {
        state_dir.join(PUBLIC_FILE)
    }

    /// From what signs up to what is trusted, PEM each, without the latter.
    #[must_use]
    pub fn intermediates(&self) -> &[String] {
        &self.intermediates
    }

    /// What is trusted: one certificate or several, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// When the root ends, and everything that it signed with it.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.life.not_after
    }

    /// Whether it signs by the same name and key, so that whoever trusts one of them trusts what the other signs.
    #[must_use]
    pub fn has_signer_of(&self, other: &Self) -> bool {
        self.signer == other.signer
    }

    /// Whether it is a root that is nobody's but ours to renew, and time for that ([`renewal`]).
    #[must_use]
    pub fn is_to_be_renewed(&self, now: SystemTime) -> bool {
        let is_own = self.intermediates.is_empty() && self.own.len() == 1;
        is_own && renewal::is_due(self.life, now)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, impl SigningKey + use<>> {
        &self.issuer
    }

    fn parse(content: &str, kept: Kept, now: SystemTime) -> Result<Self, String> {
        let key = AuthorityKey::from_pem(content)?;
        let certificate = CertificateDer::from_pem_slice(content.as_bytes())
            .map_err(|e| format!("holds no certificate: {e}"))?;
        let (life, signer) = check(&certificate, &key, kept, now)?;
        let certificate_pem = pem_block(content).ok_or("holds no certificate")?.to_owned();
        let own = blocks(&certificate_pem)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|e| format!("the certificate cannot be read: {e}"))?;
        Ok(Self {
            issuer: Arc::new(issuer),
            own,
            certificate_pem,
            intermediates: Vec::new(),
            life,
            signer,
        })
    }
}

impl AuthorityPems {
    /// A new self-signed root.
    ///
    /// # Errors
    /// Fails when no key can be made.
    pub fn make(trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, String> {
        let content = make(trust_domain, now)?;
        let certificate = pem_block(&content).ok_or("holds no certificate")?.to_owned();
        let key = content.replace(&certificate, "");
        Ok(Self {
            certificate,
            key: Zeroizing::new(key),
            ..Self::default()
        })
    }
}

impl std::fmt::Debug for AuthorityPems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityPems")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// The certificates of a PEM text, each on its own.
pub(crate) fn blocks(pem: &str) -> Result<Vec<String>, String> {
    let mut rest = pem;
    let mut found = Vec::new();
    while let Some(block) = pem_block(rest) {
        CertificateDer::from_pem_slice(block.as_bytes()).map_err(|e| format!("no certificate: {e}"))?;
        found.push(format!("{}\n", block.trim_end()));
        let end = rest.find(END).map_or(rest.len(), |at| at + END.len());
        rest = &rest[end..];
    }
    Ok(found)
}

pub(crate) fn end_of(pem: &str) -> Option<SystemTime> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    Some(parsed.validity().not_after.to_datetime().into())
}

/// A new root: its key, then its certificate.
fn make(trust_domain: &TrustDomain, now: SystemTime) -> Result<Zeroizing<String>, String> {
    let key = P256Key::generate().map_err(|e| e.to_string())?;
    let serial = random::bits128();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, trust_domain.as_str());
    // Two roots of one mesh must differ in name, or verifiers pick the wrong one while both are trusted.
    let short: String = serial[..4].iter().map(|b| format!("{b:02x}")).collect();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Lateen root {short}"));
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(|e| e.to_string())?;
    Ok(Zeroizing::new(
        [key.to_pem().as_str(), &certificate.pem()].concat(),
    ))
}

/// The certificate's life, and who signs with it, once everything else about it is right.
fn check(
    certificate: &CertificateDer<'_>,
    key: &AuthorityKey,
    kept: Kept,
    now: SystemTime,
) -> Result<(Life, Signer), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|e| format!("the certificate cannot be read: {e}"))?;
    if !parsed.is_ca() {
        return Err("the certificate is not a certificate authority's".to_owned());
    }
    if parsed.public_key().subject_public_key.as_ref() != key.public_bits() {
        return Err("the certificate does not belong to the private key beside it".to_owned());
    }
    let life = Life {
        not_before: parsed.validity().not_before.to_datetime().into(),
        not_after: parsed.validity().not_after.to_datetime().into(),
    };
    if life.not_after <= now {
        return Err(format!(
            "the root certificate has expired; {}",
            kept.when_expired()
        ));
    }
    let signer = Signer {
        name: parsed.subject().as_raw().to_vec(),
        key: parsed.public_key().raw.to_vec(),
    };
    Ok((life, signer))
}

/// The certificate's own block of a PEM file.
fn pem_block(content: &str) -> Option<&str> {
    let start = content.find(BEGIN)?;
    let end = start + content[start..].find(END)? + END.len();
    // With its line end, where there is one.
    Some(&content[start..(end + 1).min(content.len())])
}

const SECRET_FILE: &str = "root.pem";
const PUBLIC_FILE: &str = "root-cert.pem";
/// As long as istiod's self-signed root lives (control-plane.md, 3.1).
const LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);
/// How far a client's clock may be behind ours (control-plane.md, 3.2).
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(120);
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[cfg(test)]
mod tests;
