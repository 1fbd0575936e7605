//! Whom a client accepts at the other end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mesh_types::{Identity, Strng};

/// The identities of which a server must show one; never empty, so that "anybody" cannot be said by accident. They are
/// compared as whole strings: besides the mesh's own, a service may name foreign ones (`subject_alt_names`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExpectedPeers(Arc<BTreeSet<Strng>>);

impl ExpectedPeers {
    /// The identity of one workload.
    #[must_use]
    pub fn one(identity: &Identity) -> Self {
        Self(Arc::new(BTreeSet::from([Strng::from(identity.to_string())])))
    }

    /// Any of these URIs; `None` when there is none.
    pub fn any_of(uris: impl IntoIterator<Item = impl Into<Strng>>) -> Option<Self> {
        let uris: BTreeSet<Strng> = uris.into_iter().map(Into::into).collect();
        (!uris.is_empty()).then(|| Self(Arc::new(uris)))
    }

    /// A workload's identity, or any of its service's other names.
    #[must_use]
    pub fn identity_or(identity: &Identity, others: impl IntoIterator<Item = impl Into<Strng>>) -> Self {
        let own = Strng::from(identity.to_string());
        let uris = others.into_iter().map(Into::into).chain([own]);
        Self(Arc::new(uris.collect()))
    }

    /// The URIs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Strng> {
        self.0.iter()
    }

    pub(crate) fn contains(&self, uri: &str) -> bool {
        self.0.contains(uri)
    }
}

impl From<&Identity> for ExpectedPeers {
    fn from(identity: &Identity) -> Self {
        Self::one(identity)
    }
}

impl fmt::Display for ExpectedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, uri) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { " or " };
            write!(f, "{separator}{uri}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExpectedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter()).finish()
    }
}
