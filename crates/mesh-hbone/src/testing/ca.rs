//! A certificate authority for tests and benchmarks.

use std::sync::Arc;
use std::time::Duration;

use mesh_tls::{PrivateKey, TlsSettings, WorkloadCertificate};
use mesh_types::Identity;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use time::OffsetDateTime;

/// A mesh: one root, one trust domain.
pub(crate) struct Mesh {
    trust_domain: &'static str,
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

/// `spiffe://cluster.local/ns/default/sa/<service account>`
pub(crate) fn identity(service_account: &str) -> Identity {
    identity_in("cluster.local", service_account)
}

fn identity_in(trust_domain: &str, service_account: &str) -> Identity {
    Identity::new(trust_domain.parse().unwrap(), "default", service_account).unwrap()
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap().pem();
        Self {
            trust_domain: "cluster.local",
            issuer: Issuer::new(params, key),
            root,
        }
    }

    /// A mesh under the same root that calls itself otherwise.
    pub(crate) fn renamed(mut self, trust_domain: &'static str) -> Self {
        self.trust_domain = trust_domain;
        self
    }

    pub(crate) fn certificate(&self, service_account: &str) -> Arc<WorkloadCertificate> {
        self.certificate_for(service_account, Duration::from_secs(24 * 3600))
    }

    /// A certificate that is valid for so long from now on.
    pub(crate) fn certificate_for(&self, service_account: &str, valid: Duration) -> Arc<WorkloadCertificate> {
        let identity = identity_in(self.trust_domain, service_account);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into().unwrap())];
        params.not_after = OffsetDateTime::now_utc() + valid;
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = PrivateKey::from_pkcs8_der(key.serialize_der()).unwrap();
        WorkloadCertificate::new(
            identity,
            &key,
            &[leaf, self.root.clone()],
            &TlsSettings::default(),
        )
        .unwrap()
    }
}
