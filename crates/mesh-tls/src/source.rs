//! Where certificates come from.

use std::future::Future;
use std::sync::Arc;

use mesh_types::{Identity, Strng};

use crate::WorkloadCertificate;

/// Gives certificates by identity; implemented by whoever fetches and renews them.
pub trait CertSource: Clone + 'static {
    /// The certificate that is valid now; waits for the first one of an identity.
    fn get(
        &self,
        identity: &Identity,
    ) -> impl Future<Output = Result<Arc<WorkloadCertificate>, CertUnavailable>>;
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertUnavailable {
    /// The authority could not be reached or did not answer well; it will be asked again.
    #[error("no certificate for {identity} yet: {reason}")]
    Pending {
        /// Whose.
        identity: Identity,
        /// What went wrong last, for a log.
        reason: Strng,
    },
    /// The authority said that this process may not have it.
    #[error("certificate for {identity} refused: {reason}")]
    Refused {
        /// Whose.
        identity: Identity,
        /// What the authority said, for a log.
        reason: Strng,
    },
    /// Nobody asked for this identity to be kept here, or it was forgotten meanwhile.
    #[error("no certificate is kept for {identity}")]
    Unknown {
        /// Whose.
        identity: Identity,
    },
    /// The process is ending.
    #[error("certificates are no longer served")]
    Closed,
}

impl CertUnavailable {
    /// Whether asking again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Pending { .. })
    }
}
