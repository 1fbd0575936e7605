//! Who sent a request: by the token in its header, or by the certificate of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_grpc::caller::{ConnectionInfo, bearer_token};
use mesh_grpc::{AuthenticateCaller, Denied};
use mesh_tls::peer_identity;
use mesh_types::TrustDomain;
use rustls_pki_types::CertificateDer;
use tonic::metadata::MetadataMap;

use crate::caller::{Caller, ServiceAccount};
use crate::token::{InvalidToken, TokenKey, TokenSubject};

/// Judges tokens and certificates of this mesh. Clones share the key.
#[derive(Clone, Debug)]
pub struct Authenticator {
    tokens: Arc<TokenKey>,
    cluster: Option<Arc<dyn ClusterTokens>>,
    trust_domain: TrustDomain,
}

/// Judges the tokens of a cluster's service accounts.
pub trait ClusterTokens: std::fmt::Debug + Send + Sync {
    /// Whom a token speaks for, and until when, by what is known here.
    ///
    /// # Errors
    /// See [`InvalidToken`].
    fn verify_until(&self, token: &str, now: SystemTime) -> Result<(TokenSubject, SystemTime), InvalidToken>;

    /// The same, asked of the API server, for tokens of which too little is known here.
    fn review<'a>(&'a self, token: &'a str, now: SystemTime) -> Review<'a>;

    /// The account that a token speaks for, asked of the API server; also where the token is bound to no pod, as those that
    /// people ask for are not.
    fn review_account<'a>(&'a self, token: &'a str) -> AccountReview<'a>;
}

/// What the API server says of a token.
pub type Review<'a> = Pin<Box<dyn Future<Output = Result<TokenSubject, ReviewFailed>> + Send + 'a>>;

/// What the API server says of a token that need not be bound to a pod.
pub type AccountReview<'a> = Pin<Box<dyn Future<Output = Result<ServiceAccount, ReviewFailed>> + Send + 'a>>;

/// Why the API server did not say whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewFailed {
    /// It does not believe the token.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// It was not asked, or did not answer; later it may.
    #[error("{0}")]
    Unavailable(String),
}

impl Authenticator {
    /// An authenticator for tokens of this key and certificates of this trust domain. That a certificate was signed by
    /// the mesh's root is for the TLS configuration to check.
    #[must_use]
    pub fn new(tokens: Arc<TokenKey>, trust_domain: TrustDomain) -> Self {
        Self {
            tokens,
            cluster: None,
            trust_domain,
        }
    }

    /// The same, for tokens of a cluster too.
    #[must_use]
    pub fn with_cluster(mut self, cluster: Arc<dyn ClusterTokens>) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Who calls, at `now`. A request that carries a token is judged by it alone: whoever shows a bad one is not let in
    /// by what else it has.
    ///
    /// # Errors
    /// Fails when neither says who calls.
    pub fn judge(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
        now: SystemTime,
    ) -> Result<Caller, Denied> {
        self.judge_until(metadata, connection, now)
            .map(|(caller, _)| caller)
    }

    /// As [`Self::judge`], and until when the same request would pass.
    fn judge_until(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
        now: SystemTime,
    ) -> Result<(Caller, SystemTime), Denied> {
        let unauthenticated = |reason: String| Denied::Unauthenticated(reason);
        let certificates = connection.map(|c| &c.certificates[..]).unwrap_or_default();
        if metadata.contains_key("authorization") || certificates.is_empty() {
            let token = bearer_token(metadata)?;
            let verified = self.verify_until(token, now);
            return verified
                .map(|(subject, end)| (Caller::Token(subject), end))
                .map_err(|e| unauthenticated(e.to_string()));
        }
        let identity = peer_identity(certificates).map_err(|e| unauthenticated(e.to_string()))?;
        // The handshake checked this, perhaps long ago.
        let end = end_of(&certificates[0]).filter(|end| now <= *end);
        let Some(end) = end else {
            return Err(unauthenticated(format!(
                "the certificate of {identity} has expired"
            )));
        };
        if *identity.trust_domain() != self.trust_domain {
            return Err(unauthenticated(format!(
                "{identity} is not of {}",
                self.trust_domain
            )));
        }
        Ok((Caller::Mesh(identity), end))
    }

    /// The namespace of somebody who only wants to look. Beside whoever else passes, this may be the bearer of a token that
    /// is bound to no pod: it opens nothing that would act for a node, so that the account is all that counts.
    ///
    /// # Errors
    /// Fails when neither token nor certificate says who calls, or this cannot be found out now.
    pub async fn onlooker(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> Result<String, Denied> {
        if let (Some(cluster), Ok(token)) = (&self.cluster, bearer_token(metadata)) {
            let verified = self.verify_until(token, SystemTime::now());
            let is_unbound = matches!(
                verified,
                Err(InvalidToken::NoNode
                    | InvalidToken::NoPod
                    | InvalidToken::UnknownKey
                    | InvalidToken::UnknownPod)
            );
            if is_unbound {
                let account = cluster.review_account(token).await;
                return account.map(|account| account.namespace).map_err(denied);
            }
        }
        Ok(match self.authenticate(metadata, connection).await? {
            Caller::Token(subject) => subject.account.namespace,
            Caller::Mesh(identity) => identity.namespace().to_string(),
        })
    }

    /// A token of our own key, or one of the cluster's.
    fn verify_until(&self, token: &str, now: SystemTime) -> Result<(TokenSubject, SystemTime), InvalidToken> {
        match (self.tokens.verify_until(token, now), &self.cluster) {
            (Err(InvalidToken::UnknownKey | InvalidToken::Header), Some(cluster)) => {
                cluster.verify_until(token, now)
            }
            (verified, _) => verified,
        }
    }

    /// The API server's word on a token of which too little is known here; nothing where it need not be asked.
    async fn review(&self, metadata: &MetadataMap, now: SystemTime) -> Option<Result<Caller, Denied>> {
        let cluster = self.cluster.as_ref()?;
        let token = bearer_token(metadata).ok()?;
        let too_little = matches!(
            self.verify_until(token, now),
            Err(InvalidToken::UnknownKey | InvalidToken::UnknownPod)
        );
        if !too_little {
            return None;
        }
        let reviewed = cluster.review(token, now).await;
        Some(reviewed.map(Caller::Token).map_err(denied))
    }
}

fn denied(failed: ReviewFailed) -> Denied {
    match failed {
        ReviewFailed::Invalid(e) => Denied::Unauthenticated(e.to_string()),
        ReviewFailed::Unavailable(e) => Denied::Unavailable(e),
    }
}

impl AuthenticateCaller for Authenticator {
    type Caller = Caller;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> Result<Caller, Denied> {
        let now = SystemTime::now();
        match self.review(metadata, now).await {
            Some(reviewed) => reviewed,
            None => self.judge(metadata, connection, now),
        }
    }

    fn good_for(&self, metadata: &MetadataMap, connection: Option<&ConnectionInfo>) -> Option<Duration> {
        let now = SystemTime::now();
        let (_, end) = self.judge_until(metadata, connection, now).ok()?;
        Some(end.duration_since(now).unwrap_or_default())
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.to_datetime().into())
}

#[cfg(test)]
mod tests;
