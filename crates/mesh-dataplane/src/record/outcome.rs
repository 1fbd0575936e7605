//! How a connection ended.

use std::borrow::Cow;
use std::fmt;

use mesh_types::NamespacedName;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides finished.
    Complete,
    /// It was established, and one side then reset it or went away.
    Broken {
        /// Which side, and how.
        error: Cow<'static, str>,
    },
    /// The proxy drained and its deadline passed.
    Drained,
    /// It was refused, or could not be established, or was closed because what allowed it no longer does.
    Failed(Failure),
}

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The closed reason, for metrics.
    pub flag: ResponseFlag,
    /// The policy that denied it, when one did.
    pub policy: Option<NamespacedName>,
    /// The sentence for people.
    pub error: Cow<'static, str>,
}

/// The `response_flags` of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResponseFlag {
    /// Nothing went wrong.
    #[default]
    None,
    /// A policy denied it.
    Denied,
    /// The next hop could not be reached, or there was none.
    ConnectFailure,
    /// The TLS handshake failed: certificates, versions.
    TlsFailure,
    /// The HTTP/2 connection or CONNECT failed.
    Http2Failure,
    /// No answer on port 15008: most often a NetworkPolicy that does not allow it.
    NetworkPolicy,
    /// No certificate could be had for the local workload.
    IdentityError,
    /// A certificate of the connection was revoked.
    CertificateRevoked,
}

// === impl Outcome ===

impl Outcome {
    /// A failure without a policy.
    #[must_use]
    pub fn failed(flag: ResponseFlag, error: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(Failure {
            flag,
            policy: None,
            error: error.into(),
        })
    }

    /// A policy's denial.
    #[must_use]
    pub fn denied(policy: Option<NamespacedName>, error: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(Failure {
            flag: ResponseFlag::Denied,
            policy,
            error: error.into(),
        })
    }

    pub(super) fn flag(&self) -> ResponseFlag {
        match self {
            Self::Complete | Self::Broken { .. } | Self::Drained => ResponseFlag::None,
            Self::Failed(failure) => failure.flag,
        }
    }

    pub(super) fn policy(&self) -> Option<&NamespacedName> {
        match self {
            Self::Failed(failure) => failure.policy.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Broken { error } => f.write_str(error),
            Self::Drained => f.write_str("connection closed due to connection drain"),
            Self::Failed(failure) => f.write_str(&failure.error),
        }
    }
}

// === impl ResponseFlag ===

impl ResponseFlag {
    /// The value of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Denied => "DENY",
            Self::ConnectFailure => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::Http2Failure => "H2_HANDSHAKE_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
            Self::CertificateRevoked => "CERT_REVOKED",
        }
    }
}

impl From<mesh_hbone::ResponseFlag> for ResponseFlag {
    fn from(flag: mesh_hbone::ResponseFlag) -> Self {
        match flag {
            mesh_hbone::ResponseFlag::Denied => Self::Denied,
            mesh_hbone::ResponseFlag::ConnectFailure => Self::ConnectFailure,
            mesh_hbone::ResponseFlag::TlsFailure => Self::TlsFailure,
            mesh_hbone::ResponseFlag::Http2HandshakeFailure => Self::Http2Failure,
            mesh_hbone::ResponseFlag::NetworkPolicy => Self::NetworkPolicy,
            mesh_hbone::ResponseFlag::IdentityError => Self::IdentityError,
        }
    }
}
