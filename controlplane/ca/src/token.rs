//! Node tokens: ES256 JSON Web Tokens (RFC 7519) in the shape of Kubernetes' bound service-account tokens, so that the
//! same claims come from a kubelet's projected volume later and nothing else changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::caller::{BoundPod, ServiceAccount};
use crate::random;
use crate::secret_file::{self, SecretFileError};
use crate::signing_key::P256Key;

pub mod cluster;

/// Signs and verifies tokens, with the key of the state directory.
pub struct TokenKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    key_id: String,
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// The service account.
    pub account: ServiceAccount,
    /// The node that the token is bound to: the only one that its bearer may act for.
    pub node: String,
    /// The pod that the token is bound to, if any.
    pub pod: Option<BoundPod>,
}

/// Why there is no key. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The file is there, and is no key.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why no token was made: the operator asked for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A lifetime of nothing, or of more than a year.
    #[error("a token may live from 1 second to 366 days, not {0:?}")]
    Ttl(Duration),
    /// Signing itself failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

/// Why a token is not believed. The bearer's fault, except for a clock that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// Longer than any token of ours.
    #[error("the token is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64url, or a header that is no JSON object of ours.
    #[error("the token is no JSON Web Token")]
    Malformed,
    /// Another algorithm than ES256, or header fields that must be understood and are not.
    #[error("the token's header is not the one that this control plane writes")]
    Header,
    /// Another key made it.
    #[error("the token was signed with another key; was the state directory replaced? make a new token")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("the token's claims are not those of a bound service-account token")]
    Claims,
    /// Made by somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// Made for somebody else.
    #[error("the token is not for the audience {AUDIENCE:?}")]
    Audience,
    /// Past its end.
    #[error("the token has expired; make a new one")]
    Expired,
    /// Before its beginning.
    #[error("the token is not valid yet; compare the clocks")]
    NotYet,
    /// It names no node, so its bearer may act nowhere.
    #[error("the token is bound to no node")]
    NoNode,
    /// A cluster's token that outlives every pod.
    #[error("the token is bound to no pod; use a projected one")]
    NoPod,
    /// The pod that it is bound to is not known, or another one has its name.
    #[error("the token's pod is not known to run")]
    UnknownPod,
    /// The cluster's API server does not believe it.
    #[error("the API server does not accept the token")]
    NotAccepted,
}

impl TokenKey {
    /// The key of the state directory, made now where there is none yet. Safe against several starters.
    ///
    /// # Errors
    /// Fails when the file cannot be read or written, is readable by others, or holds no key.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, TokenKeyError> {
        let path = state_dir.join(KEY_FILE);
        let content = secret_file::load_or_create(&path, || {
            let key = P256Key::generate().map_err(|e| e.to_string())?;
            Ok(key.to_pem())
        })?;
        Self::parse(&content).map_err(|reason| TokenKeyError::Unusable { path, reason })
    }

    /// A token for `subject`.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(
        &self,
        subject: &TokenSubject,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, SignError> {
        if ttl < Duration::from_secs(1) || ttl > MAX_TTL {
            return Err(SignError::Ttl(ttl));
        }
        let now = unix(now);
        let account = &subject.account;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: Audience::Many(vec![AUDIENCE.to_owned()]),
            sub: format!("system:serviceaccount:{}:{}", account.namespace, account.name),
            iat: now,
            nbf: now,
            exp: now + ttl.as_secs(),
            jti: random::uuid(),
            kubernetes: Kubernetes {
                namespace: account.namespace.clone(),
                serviceaccount: Reference {
                    name: account.name.clone(),
                    uid: None,
                },
                node: Some(Reference {
                    name: subject.node.clone(),
                    uid: None,
                }),
                pod: subject.pod.as_ref().map(|pod| Reference {
                    name: pod.name.clone(),
                    uid: Some(pod.uid.clone()),
                }),
            },
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing)
            .map(Zeroizing::new)
            .map_err(|e| SignError::Signing(e.to_string()))
    }

    /// Whom a token speaks for, if it is to be believed at `now`.
    ///
    /// # Errors
    /// See [`InvalidToken`].
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<TokenSubject, InvalidToken> {
        self.verify_until(token, now).map(|(subject, _)| subject)
    }

    /// As [`Self::verify`], and until when it is to be believed.
    ///
    /// # Errors
    /// See [`InvalidToken`].
    pub fn verify_until(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<(TokenSubject, SystemTime), InvalidToken> {
        let header = read_header(token)?;
        if header.alg != Algorithm::ES256 {
            return Err(InvalidToken::Header);
        }
        if header.kid.as_deref() != Some(&self.key_id) {
            return Err(InvalidToken::UnknownKey);
        }
        let claims = decode_claims(token, Algorithm::ES256, &self.verifying)?;
        judge_until(claims, ISSUER, now)
    }

    fn parse(pem: &str) -> Result<Self, String> {
        let key = P256Key::from_pem(pem)?;
        let point = key.public_point();
        Ok(Self {
            signing: EncodingKey::from_ec_der(&key.to_der()),
            verifying: DecodingKey::from_ec_der(point),
            // The start of the public key's x coordinate: tells keys apart, and gives nothing away.
            key_id: point[1..17].iter().map(|b| format!("{b:02x}")).collect(),
        })
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The header of a token of bounded length, which says by which key and how it is signed: nothing in it is believed yet.
fn read_header(token: &str) -> Result<Header, InvalidToken> {
    if token.len() > MAX_BYTES {
        return Err(InvalidToken::TooLong);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken::Malformed)?;
    let kind = header.typ.as_deref();
    // RFC 7515, 4.1.11: what is marked critical must be understood, and nothing is.
    if header.crit.is_some() || !kind.is_none_or(|kind| kind.eq_ignore_ascii_case("JWT")) {
        return Err(InvalidToken::Header);
    }
    Ok(header)
}

/// Claims alone, for the fuzz target: no input of a fuzzer passes the signature.
pub(crate) fn judge_claims(json: &[u8], now: SystemTime) -> Result<TokenSubject, InvalidToken> {
    let claims = serde_json::from_slice(json).map_err(|_| InvalidToken::Claims)?;
    check_claims(claims, ISSUER, unix(now))
}

/// The claims of a token whose signature is right. The library looks at that alone: it has its own idea of what time it is.
fn decode_claims(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Claims, InvalidToken> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, key, &signature_only)
        .map(|decoded| decoded.claims)
        .map_err(|e| match e.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => InvalidToken::Signature,
            _ => InvalidToken::Claims,
        })
}

/// Whom claims speak for, and until when.
fn judge_until(
    claims: Claims,
    issuer: &str,
    now: SystemTime,
) -> Result<(TokenSubject, SystemTime), InvalidToken> {
    let end = claims.exp.saturating_add(LEEWAY);
    let subject = check_claims(claims, issuer, unix(now))?;
    // A time that no clock can show never comes.
    let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end));
    Ok((subject, end.unwrap_or(now + MAX_TTL)))
}

fn check_claims(claims: Claims, issuer: &str, now: u64) -> Result<TokenSubject, InvalidToken> {
    if claims.iss != issuer {
        return Err(InvalidToken::Issuer);
    }
    if !claims.aud.contains(AUDIENCE) {
        return Err(InvalidToken::Audience);
    }
    if now >= claims.exp.saturating_add(LEEWAY) {
        return Err(InvalidToken::Expired);
    }
    if now.saturating_add(LEEWAY) < claims.nbf.max(claims.iat) {
        return Err(InvalidToken::NotYet);
    }
    let Kubernetes {
        namespace,
        serviceaccount,
        node,
        pod,
    } = claims.kubernetes;
    let account = ServiceAccount::new(namespace, serviceaccount.name).ok_or(InvalidToken::Claims)?;
    // The two places that name the account must agree.
    if claims.sub != format!("system:serviceaccount:{}:{}", account.namespace, account.name) {
        return Err(InvalidToken::Claims);
    }
    let node = node.map(|n| n.name).filter(|n| !n.is_empty());
    let pod = pod
        .map(|p| {
            let uid = p.uid.filter(|uid| !uid.is_empty() && !p.name.is_empty());
            uid.map(|uid| BoundPod { name: p.name, uid })
                .ok_or(InvalidToken::Claims)
        })
        .transpose()?;
    Ok(TokenSubject {
        account,
        node: node.ok_or(InvalidToken::NoNode)?,
        pod,
    })
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

/// RFC 7519, 4.1.3: an array, or one string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    Many(Vec<String>),
    One(String),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::Many(all) => all.iter().any(|a| a == wanted),
            Self::One(one) => one == wanted,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}

/// The audience that istiod asks for; ztunnel's projected token volume names the same.
pub const AUDIENCE: &str = "istio-ca";
/// The longest life of a token.
pub const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);
/// The life of istio's projected tokens, 43,200 s.
pub const DEFAULT_TTL: Duration = Duration::from_secs(12 * 3600);
const ISSUER: &str = "https://istiod.istio-system.svc";
const KEY_FILE: &str = "token-key.pem";
/// Seconds by which two clocks may differ.
const LEEWAY: u64 = 10;
const MAX_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests;
