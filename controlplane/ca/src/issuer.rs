//! What a workload's certificate says (control-plane.md, 3.2; SPIFFE X.509-SVID, sections 2 and 4).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_types::Identity;
use parking_lot::RwLock;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use tokio::sync::watch;

use crate::random;
use crate::root::{CLOCK_SKEW, Root};

/// Signs certificates with the root, which may become another one meanwhile.
#[derive(Debug)]
pub struct Issuer {
    root: RwLock<Arc<Root>>,
    /// What is trusted, PEM.
    trusted: watch::Sender<String>,
    /// The longest life that was given.
    longest: watch::Sender<Duration>,
}

/// A certificate, ready to be sent.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM: the leaf, the intermediates, and last the roots, all of them in one element.
    pub chain: Vec<String>,
    /// Hexadecimal, for the audit log.
    pub serial: String,
    /// The leaf's end.
    pub not_after: SystemTime,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The caller asked for too much; asking again does not help.
    #[error("a lifetime of {asked:?} was asked for, more than the {MAX_TTL:?} that is allowed")]
    TtlTooLong {
        /// What was asked for.
        asked: Duration,
    },
    /// The caller's key is of a kind that is not signed.
    #[error("the public key is not usable: {0}")]
    PublicKey(String),
    /// The root has no life left: the operator's to mend.
    #[error("the root certificate has expired")]
    RootExpired,
    /// Signing failed: ours.
    #[error("signing failed: {0}")]
    Signing(String),
}

impl Issuer {
    /// An issuer that signs leaves with this.
    #[must_use]
    pub fn new(root: Root) -> Self {
        Self {
            trusted: watch::Sender::new(root.certificate_pem().to_owned()),
            longest: watch::Sender::new(DEFAULT_TTL),
            root: RwLock::new(Arc::new(root)),
        }
    }

    /// The root that signs now.
    #[must_use]
    pub fn root(&self) -> Arc<Root> {
        self.root.read().clone()
    }

    /// What is trusted (PEM), now and whenever another root signs.
    #[must_use]
    pub fn trusted(&self) -> watch::Receiver<String> {
        self.trusted.subscribe()
    }

    /// The longest life that a workload's certificate was given since the start, the default at least: as long may what is
    /// signed now be in use.
    #[must_use]
    pub fn longest(&self) -> watch::Receiver<Duration> {
        self.longest.subscribe()
    }

    /// Signs with another root from now on, or with the same while something else is trusted beside it: that is
    /// [`crate::succession`]'s to say.
    pub fn replace(&self, root: Root) {
        let trusted = root.certificate_pem().to_owned();
        *self.root.write() = Arc::new(root);
        self.trusted.send_replace(trusted);
    }

    /// A certificate for `identity` with the public key `spki` (DER, SubjectPublicKeyInfo). Nothing else of a signing
    /// request reaches the certificate.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(
        &self,
        identity: &Identity,
        spki: &[u8],
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let uri = identity
            .to_string()
            .try_into()
            .expect("a SPIFFE identity's alphabet is within IA5, and mesh-types checked it");
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(|e| IssueError::PublicKey(e.to_string()))?;
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let root = self.root();
        let life = lifetime(ttl, now, root.not_after())?;
        // Before it is signed: whoever remembers it is never behind what is in use.
        self.note(life.not_after.duration_since(now).unwrap_or_default());
        sign(&root, vec![SanType::URI(uri)], usages, &key, life)
    }

    fn note(&self, given: Duration) {
        self.longest.send_if_modified(|longest| {
            let grows = given > *longest;
            *longest = given.max(*longest);
            grows
        });
    }

    /// A server certificate for these names.
    pub(crate) fn issue_server(
        &self,
        names: Vec<SanType>,
        key: &impl rcgen::PublicKeyData,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let root = self.root();
        let life = lifetime(ttl, now, root.not_after())?;
        sign(&root, names, vec![ExtendedKeyUsagePurpose::ServerAuth], key, life)
    }
}

fn sign(
    root: &Root,
    names: Vec<SanType>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    key: &impl rcgen::PublicKeyData,
    life: Lifetime,
) -> Result<Issued, IssueError> {
    let serial = SerialNumber::from_slice(&random::bits128());
    let mut params = CertificateParams::default();
    // Empty: everything that a certificate says about its owner is in the SAN, which RFC 5280 (4.2.1.6) then wants
    // to be critical.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names;
    params.not_before = life.not_before.into();
    params.not_after = life.not_after.into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial.clone());
    let leaf = params
        .signed_by(key, root.issuer())
        .map_err(|e| IssueError::Signing(e.to_string()))?;
    let mut chain = vec![leaf.pem()];
    chain.extend(root.intermediates().iter().cloned());
    chain.push(root.certificate_pem().to_owned());
    Ok(Issued {
        chain,
        serial: serial.to_string().replace(':', ""),
        not_after: life.not_after,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime {
    not_before: SystemTime,
    not_after: SystemTime,
}

/// From when to when a certificate lasts: zero means the default, too much is refused rather than shortened, and nobody
/// outlives the issuer.
fn lifetime(ttl: Duration, now: SystemTime, issuer_end: SystemTime) -> Result<Lifetime, IssueError> {
    if ttl > MAX_TTL {
        return Err(IssueError::TtlTooLong { asked: ttl });
    }
    if issuer_end <= now {
        return Err(IssueError::RootExpired);
    }
    let ttl = if ttl.is_zero() { DEFAULT_TTL } else { ttl };
    Ok(Lifetime {
        not_before: now - CLOCK_SKEW,
        not_after: (now + ttl).min(issuer_end),
    })
}

/// What a request without a lifetime gets.
pub const DEFAULT_TTL: Duration = Duration::from_secs(24 * 3600);
/// More is an error, as with istiod's `MAX_WORKLOAD_CERT_TTL`.
pub const MAX_TTL: Duration = Duration::from_secs(90 * 24 * 3600);

#[cfg(test)]
mod tests;
