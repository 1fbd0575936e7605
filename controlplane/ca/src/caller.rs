//! The one who calls, as a token or a client certificate proves it.

use mesh_types::Identity;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The bearer of a token: a service account, on one node.
    Token(crate::token::TokenSubject),
    /// The holder of a certificate of this mesh.
    Mesh(Identity),
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    /// Its name, in the service account's namespace.
    pub name: String,
    /// Its uid: a pod of the same name made later is another one.
    pub uid: String,
}

/// Why a string is no service account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form <namespace>/<service account>")]
pub struct InvalidServiceAccount(String);

impl ServiceAccount {
    /// A service account, if both parts can be names in Kubernetes (RFC 1123 subdomain).
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Option<Self> {
        let (namespace, name) = (namespace.into(), name.into());
        (is_name(&namespace) && is_name(&name)).then_some(Self { namespace, name })
    }
}

impl std::str::FromStr for ServiceAccount {
    type Err = InvalidServiceAccount;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.split_once('/')
            .and_then(|(namespace, name)| Self::new(namespace, name))
            .ok_or_else(|| InvalidServiceAccount(s.to_owned()))
    }
}

impl std::fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(subject) => write!(f, "{} on node {}", subject.account, subject.node),
            Self::Mesh(identity) => identity.fmt(f),
        }
    }
}

/// RFC 1123: lower-case letters, digits, dash and dot, an alphanumeric at both ends.
#[must_use]
pub fn is_name(s: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    s.len() <= 253 && s.bytes().all(inner) && edge(s.as_bytes().first()) && edge(s.as_bytes().last())
}
