//! An authority in miniature, and a wall clock that goes with tokio's, for this crate's tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_tls::csr::SigningRequest;
use mesh_tls::{TlsSettings, WorkloadCertificate, csr};
use mesh_types::{Identity, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair, SanType,
    SubjectPublicKeyInfo,
};
use tokio::time::Instant;

use crate::manager::WallClock;

/// Signs whatever it is asked to.
pub(crate) struct TestCa(CertifiedIssuer<'static, KeyPair>);

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Leaf and root, valid as said.
    pub(crate) fn sign(
        &self,
        identity: &Identity,
        request: &SigningRequest,
        from: SystemTime,
        life: Duration,
    ) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into().unwrap())];
        params.not_before = from.into();
        params.not_after = (from + life).into();
        let key = SubjectPublicKeyInfo::from_der(request.public_key()).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        vec![leaf.pem(), self.0.pem()]
    }

    /// A certificate with a new key.
    pub(crate) fn certificate(
        &self,
        identity: &Identity,
        from: SystemTime,
        life: Duration,
    ) -> Arc<WorkloadCertificate> {
        let (key, pem) = csr::encode(identity).unwrap();
        let chain = self.sign(identity, &csr::decode(&pem).unwrap(), from, life);
        WorkloadCertificate::new(identity.clone(), &key, &chain, &TlsSettings::default()).unwrap()
    }
}

pub(crate) fn identity(account: &str) -> Identity {
    Identity::new(TrustDomain::default(), "default", account).unwrap()
}

/// Goes with tokio's clock, from a whole second on.
pub(crate) fn wall_clock() -> WallClock {
    let (begun, epoch) = (
        Instant::now(),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    );
    WallClock::new(move || epoch + begun.elapsed())
}
