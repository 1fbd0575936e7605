//! Tokens of a cluster's service accounts, verified with the keys that its API server publishes (Kubernetes, "Service
//! account issuer discovery"). Pure: whoever holds the keys fetches them.

use std::time::SystemTime;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::{InvalidToken, TokenSubject, decode_claims, judge_until, read_header};

/// The published keys, and who signs with them.
pub struct ClusterKeys {
    issuer: String,
    keys: Vec<ClusterKey>,
}

struct ClusterKey {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

/// What is published is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// The discovery document.
    #[error("the API server's OpenID configuration: {0}")]
    Discovery(String),
    /// The keys.
    #[error("the API server's keys of service accounts: {0}")]
    Keys(String),
    /// There is none that can be used.
    #[error("the API server publishes no RSA or ECDSA key of service accounts")]
    None,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl ClusterKeys {
    /// Reads `/.well-known/openid-configuration` and `/openid/v1/jwks`.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn parse(discovery: &str, keys: &str) -> Result<Self, InvalidKeys> {
        let discovery: Discovery =
            serde_json::from_str(discovery).map_err(|e| InvalidKeys::Discovery(e.to_string()))?;
        let set: JwkSet = serde_json::from_str(keys).map_err(|e| InvalidKeys::Keys(e.to_string()))?;
        let keys: Vec<ClusterKey> = set.keys.iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(InvalidKeys::None);
        }
        Ok(Self {
            issuer: discovery.issuer,
            keys,
        })
    }

    /// Whom a token speaks for, if it is to be believed at `now`, and until when. That its pod still is that pod is for
    /// others to say.
    ///
    /// # Errors
    /// See [`InvalidToken`]; [`InvalidToken::UnknownKey`] also when the keys here are older than the token's.
    pub fn verify_until(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<(TokenSubject, SystemTime), InvalidToken> {
        let header = read_header(token)?;
        let named = self.keys.iter().find(|key| key.id == header.kid);
        let key = named.ok_or(InvalidToken::UnknownKey)?;
        if !key.algorithms.contains(&header.alg) {
            return Err(InvalidToken::Header);
        }
        let claims = decode_claims(token, header.alg, &key.key)?;
        let (subject, end) = judge_until(claims, &self.issuer, now)?;
        if subject.pod.is_none() {
            return Err(InvalidToken::NoPod);
        }
        Ok((subject, end))
    }
}

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterKeys")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// A key that signs. A secret that both sides would have to know is none, whatever the list says.
fn usable(jwk: &Jwk) -> Option<ClusterKey> {
    let algorithms: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
        AlgorithmParameters::EllipticCurve(_) => &[Algorithm::ES256, Algorithm::ES384],
        _ => return None,
    };
    Some(ClusterKey {
        id: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

#[cfg(test)]
mod tests;
