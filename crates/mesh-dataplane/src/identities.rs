//! Whose certificates are kept: the identities of the pods that are here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_certs::CertManager;
use mesh_tls::{CertSource, CertUnavailable, WorkloadCertificate};
use mesh_types::Identity;
use tokio::time::{Instant, sleep};

/// Keeps certificates; implemented by [`mesh_certs::CertManager`].
pub trait KeepCertificates {
    /// Fetches this identity's certificate before somebody waits for it, and renews it from now on.
    fn warm(&self, identity: &Identity);

    /// Nobody here needs it any more.
    fn forget(&self, identity: &Identity);

    /// Whether this identity's certificate is here now.
    fn holds(&self, identity: &Identity) -> bool;
}

/// Certificates for connections, which wait a while where the authority is not there yet: right after a pod has arrived
/// it may not know of the pod, or be restarting. The wait is bounded; then the connection fails.
#[derive(Clone, Debug)]
pub struct Patient<C> {
    source: C,
}

/// Counts who needs an identity: the first pod warms its certificate, the last one to leave lets it go.
#[derive(Debug)]
pub struct Identities<K> {
    keeper: K,
    users: HashMap<Identity, usize>,
}

// === impl KeepCertificates ===

impl KeepCertificates for CertManager {
    fn warm(&self, identity: &Identity) {
        Self::warm(self, identity);
    }

    fn forget(&self, identity: &Identity) {
        Self::forget(self, identity);
    }

    fn holds(&self, identity: &Identity) -> bool {
        Self::holds(self, identity)
    }
}

// === impl Patient ===

impl<C: CertSource> Patient<C> {
    /// The same certificates, waited for.
    #[must_use]
    pub fn new(source: C) -> Self {
        Self { source }
    }
}

impl<C: CertSource> CertSource for Patient<C> {
    async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.source.get(identity).await {
                Err(CertUnavailable::Pending { .. } | CertUnavailable::Refused { .. })
                    if Instant::now() + PAUSE < deadline =>
                {
                    sleep(PAUSE).await;
                }
                settled => return settled,
            }
        }
    }
}

// === impl Identities ===

impl<K: KeepCertificates> Identities<K> {
    /// Nobody needs anything yet.
    #[must_use]
    pub fn new(keeper: K) -> Self {
        Self {
            keeper,
            users: HashMap::new(),
        }
    }

    /// One more pod runs as `identity`.
    pub fn arrive(&mut self, identity: Identity) {
        let users = self.users.entry(identity.clone()).or_default();
        *users += 1;
        if *users == 1 {
            self.keeper.warm(&identity);
        }
    }

    /// Whether the certificate of `identity` is here now.
    #[must_use]
    pub fn holds(&self, identity: &Identity) -> bool {
        self.keeper.holds(identity)
    }

    /// One pod that ran as `identity` has left. Without a matching [`Identities::arrive`] nothing happens.
    pub fn leave(&mut self, identity: &Identity) {
        let Some(users) = self.users.get_mut(identity) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(identity);
            self.keeper.forget(identity);
        }
    }
}

/// How long a connection waits for a certificate that is refused or cannot be had.
pub const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
