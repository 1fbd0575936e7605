//! A certificate authority in memory.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_tls::csr::SigningRequest;
use mesh_tls::{CertSource, CertUnavailable, TlsSettings, WorkloadCertificate, csr};
use mesh_types::Identity;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};

/// Gives every identity a certificate, and the same one each time. Clones are the same authority.
#[derive(Clone)]
pub struct TestAuthority {
    shared: Arc<Shared>,
}

struct Shared {
    root: String,
    issuer: Issuer<'static, KeyPair>,
    issued: Mutex<HashMap<Identity, Arc<WorkloadCertificate>>>,
    refused: Mutex<Vec<Identity>>,
}

impl TestAuthority {
    /// A new authority, which nobody else trusts.
    ///
    /// # Panics
    /// Panics when this machine cannot make keys.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).expect("a root").pem();
        Self {
            shared: Arc::new(Shared {
                root,
                issuer: Issuer::new(params, key),
                issued: Mutex::default(),
                refused: Mutex::default(),
            }),
        }
    }

    /// From now on this identity gets no certificate.
    pub fn refuse(&self, identity: Identity) {
        self.shared.issued.lock().remove(&identity);
        self.shared.refused.lock().push(identity);
    }

    /// The certificate of an identity.
    ///
    /// # Panics
    /// Panics when one cannot be made.
    #[must_use]
    pub fn certificate(&self, identity: &Identity) -> Arc<WorkloadCertificate> {
        let mut issued = self.shared.issued.lock();
        issued
            .entry(identity.clone())
            .or_insert_with(|| self.issue(identity))
            .clone()
    }

    /// What the authority's service answers: the leaf and the root.
    ///
    /// # Panics
    /// Panics when it cannot be made.
    #[must_use]
    pub fn sign(&self, request: &SigningRequest) -> Vec<String> {
        let name = request.identity().to_string();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(name.try_into().expect("an identity is ASCII"))];
        let key = SubjectPublicKeyInfo::from_der(request.public_key()).expect("a public key");
        let leaf = params
            .signed_by(&key, &self.shared.issuer)
            .expect("a certificate")
            .pem();
        vec![leaf, self.shared.root.clone()]
    }

    fn issue(&self, identity: &Identity) -> Arc<WorkloadCertificate> {
        let (key, request) = csr::encode(identity).expect("a request");
        let request = CertificateSigningRequestParams::from_pem(&request).expect("our own request");
        let leaf = request
            .signed_by(&self.shared.issuer)
            .expect("a certificate")
            .pem();
        let chain = [leaf, self.shared.root.clone()];
        WorkloadCertificate::new(identity.clone(), &key, &chain, &TlsSettings::default())
            .expect("a certificate for this identity")
    }
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl CertSource for TestAuthority {
    async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        if self.shared.refused.lock().contains(identity) {
            return Err(CertUnavailable::Refused {
                identity: identity.clone(),
                reason: "refused by the test".into(),
            });
        }
        Ok(self.certificate(identity))
    }
}
