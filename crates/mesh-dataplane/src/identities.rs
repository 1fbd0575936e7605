//! Whose certificates are kept: the identities of the pods that are here.

use std::collections::HashMap;

use mesh_types::Identity;

/// Keeps certificates; implemented by [`mesh_certs::CertManager`].
pub trait KeepCertificates {
    /// Fetches this identity's certificate before somebody waits for it, and renews it from now on.
    fn warm(&self, identity: Identity);

    /// Nobody here needs it any more.
    fn forget(&self, identity: &Identity);
}

/// Counts who needs an identity: the first pod warms its certificate, the last one to leave lets it go.
#[derive(Debug)]
pub struct Identities<K> {
    keeper: K,
    users: HashMap<Identity, usize>,
}

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
            self.keeper.warm(identity);
        }
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

#[cfg(test)]
mod tests;
