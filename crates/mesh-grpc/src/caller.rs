//! The server's side of credentials: what a request shows of its sender, and the trait that judges it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::channel::CLUSTER_HEADER;

/// Says who sent a request.
pub trait AuthenticateCaller: Send + Sync + 'static {
    /// Whoever passed.
    type Caller: Send + Sync + 'static;

    /// Judges a request by its headers (see [`bearer_token`] and [`cluster`]) and the connection it came on.
    ///
    /// # Errors
    /// Fails when the caller is unknown, or cannot be judged now.
    fn authenticate(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> impl Future<Output = Result<Self::Caller, Denied>> + Send;

    /// How long what such a request shows stays good from now on; nothing where it does not end by itself. Streams that
    /// it opened end then ([`crate::Lifetime`]).
    fn good_for(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Option<Duration> {
        None
    }
}

/// The connection that a request came on; [`crate::serve`] puts it into every request's extensions.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    /// The far end; unset for in-memory pipes.
    pub peer: Option<SocketAddr>,
    /// The client's certificate chain, leaf first, verified by the TLS configuration; empty when it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Why a caller was turned away. The text is for our own log. A caller that could not prove who it is learns what was
/// wrong with what it showed, which it knows and its operator needs, and so does one that says to be what it is not; all
/// others learn only the kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is not known who calls; another token may help. The text is told to the caller: it must say what is wrong with
    /// its credentials, and never repeat them or anything that is not in them.
    #[error("not authenticated: {0}")]
    Unauthenticated(String),
    /// The caller is known and may not do this.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// The caller is known and says that it is something else. The text is told to the caller, whose operator needs it.
    #[error("not permitted: {0}")]
    NotWhatItSays(String),
    /// It cannot be said now; the same request may pass later.
    #[error("cannot judge the caller now: {0}")]
    Unavailable(String),
}

/// Why a request carries no usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// No `authorization` header.
    #[error("the request carries no authorization header")]
    Missing,
    /// More than one.
    #[error("the request carries several authorization headers")]
    Several,
    /// Not `Bearer <token>`.
    #[error("the authorization header is not of the form Bearer <token>")]
    Form,
}

/// The token of a request: `authorization: Bearer <token>` (RFC 6750, section 2.1), exactly once.
///
/// # Errors
/// Fails when there is none, several, or one of another scheme.
pub fn bearer_token(metadata: &MetadataMap) -> Result<&str, NoToken> {
    let mut values = metadata.get_all("authorization").iter();
    let value = values.next().ok_or(NoToken::Missing)?;
    if values.next().is_some() {
        return Err(NoToken::Several);
    }
    let text = value.to_str().map_err(|_| NoToken::Form)?;
    let (scheme, token) = text.split_once(' ').ok_or(NoToken::Form)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(NoToken::Form);
    }
    Ok(token)
}

/// The cluster that the caller says it is in (`clusterid`); a claim, not a fact.
#[must_use]
pub fn cluster(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(CLUSTER_HEADER)?.to_str().ok()
}

/// The connection that a request came on.
#[must_use]
pub fn connection(extensions: &http::Extensions) -> Option<&ConnectionInfo> {
    extensions.get::<ConnectionInfo>()
}

impl Denied {
    /// What the caller is told.
    #[must_use]
    pub fn to_status(&self) -> Status {
        match self {
            Self::Unauthenticated(reason) => Status::unauthenticated(format!("not authenticated: {reason}")),
            Self::Forbidden(_) => Status::permission_denied("the caller may not do this"),
            Self::NotWhatItSays(reason) => Status::permission_denied(reason.as_str()),
            Self::Unavailable(_) => Status::unavailable("the caller cannot be judged now"),
        }
    }
}

impl From<NoToken> for Denied {
    fn from(reason: NoToken) -> Self {
        Self::Unauthenticated(reason.to_string())
    }
}

#[cfg(test)]
mod tests;
