//! SPIFFE identities as the mesh uses them: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`
//! (SPIFFE-ID specification, sections 2.1 to 2.4; the path form is Istio's).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Strng;

/// Who a workload is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    trust_domain: TrustDomain,
    namespace: Strng,
    service_account: Strng,
}

/// The authority part of a SPIFFE identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Strng);

/// Why a string is no identity of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIdentity {
    /// The scheme is missing or another one.
    #[error("identity {0:?} does not start with spiffe://")]
    Scheme(String),
    /// The path is not `/ns/<namespace>/sa/<service account>`.
    #[error("identity {0:?} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Path(String),
    /// A part is empty, or holds a character that the SPIFFE-ID specification does not allow.
    #[error("identity part {part:?} is empty or holds a character that SPIFFE does not allow")]
    Part {
        /// The offending part.
        part: String,
    },
    /// Longer than 2,048 bytes (SPIFFE-ID, section 2.3).
    #[error("identity is {0} bytes long, more than the 2048 that SPIFFE allows")]
    TooLong(usize),
}

// === impl Identity ===

impl Identity {
    /// An identity from its parts, each checked.
    ///
    /// # Errors
    /// Fails when a part is empty or holds a character outside SPIFFE's alphabet.
    pub fn new(
        trust_domain: TrustDomain,
        namespace: impl Into<Strng>,
        service_account: impl Into<Strng>,
    ) -> Result<Self, InvalidIdentity> {
        let (namespace, service_account) = (namespace.into(), service_account.into());
        check_segment(&namespace)?;
        check_segment(&service_account)?;
        Ok(Self {
            trust_domain,
            namespace,
            service_account,
        })
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &Strng {
        &self.namespace
    }

    /// The Kubernetes service account.
    #[must_use]
    pub fn service_account(&self) -> &Strng {
        &self.service_account
    }

    /// The identity as policies write it: without `spiffe://`.
    #[must_use]
    pub fn principal(&self) -> String {
        format!(
            "{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.len() > MAX_LENGTH {
            return Err(InvalidIdentity::TooLong(s.len()));
        }
        let rest = s
            .strip_prefix("spiffe://")
            .ok_or_else(|| InvalidIdentity::Scheme(s.to_owned()))?;
        let mut parts = rest.split('/');
        let (Some(domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(InvalidIdentity::Path(s.to_owned()));
        };
        Self::new(domain.parse()?, namespace, account)
    }
}

impl Serialize for Identity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

// === impl TrustDomain ===

impl TrustDomain {
    /// The trust domain as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TrustDomain {
    /// `cluster.local`, Istio's default.
    fn default() -> Self {
        Self(Strng::from(DEFAULT_TRUST_DOMAIN))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidIdentity;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // SPIFFE-ID 2.1: lower-case letters, digits, dot, dash, underscore. No port, no user information.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        if s.is_empty() || s.len() > 255 || !s.chars().all(allowed) {
            return Err(InvalidIdentity::Part { part: s.to_owned() });
        }
        Ok(Self(Strng::from(s)))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = InvalidIdentity;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(td: TrustDomain) -> Self {
        td.0.into()
    }
}

/// SPIFFE-ID 2.2: letters, digits, dot, dash, underscore; `.` and `..` are no segments.
fn check_segment(part: &str) -> Result<(), InvalidIdentity> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if part.is_empty() || part == "." || part == ".." || !part.chars().all(allowed) {
        return Err(InvalidIdentity::Part {
            part: part.to_owned(),
        });
    }
    Ok(())
}

/// SPIFFE-ID, section 2.3.
const MAX_LENGTH: usize = 2048;
const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

#[cfg(test)]
mod tests;
