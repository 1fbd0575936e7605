//! An issuer's keys (RFC 7517), and whether a token was signed with one of them.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, crypto};
use parking_lot::Mutex;
use serde_json::Value;

use super::Refusal;
use super::token::Token;

/// Keys; at least one.
#[derive(Debug)]
pub struct Keys {
    keys: Vec<Key>,
    good: Good,
}

/// Tokens that were verified with these keys. What was good stays good: a signature does not change with time, which is
/// looked at anew for each request.
#[derive(Debug, Default)]
struct Good {
    /// Keyed, so that nobody can find another token of the same hash.
    hashers: [RandomState; 2],
    tokens: Mutex<HashSet<u128>>,
}

/// Why a text is no set of keys; it never contains any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// No JSON.
    #[error("Jwks is an invalid JSON")]
    Json,
    /// No list of keys.
    #[error("Jwks does not have [keys] field")]
    NoKeys,
    /// None that can be used.
    #[error("Jwks doesn't have any valid public key")]
    NoValidKeys,
    /// More than anybody needs.
    #[error("Jwks has more than {MOST_KEYS} keys")]
    TooMany,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it may be used with, if that is said.
    algorithm: Option<Algorithm>,
    kind: Kind,
    key: DecodingKey,
}

/// What kind of key it is decides what it can verify: a public key is never taken for a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

impl Keys {
    /// Reads a set. Keys that cannot be used here are left out.
    ///
    /// # Errors
    /// When it is none, or nothing is left.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeys> {
        let set: Value = serde_json::from_slice(json).map_err(|_| InvalidKeys::Json)?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(InvalidKeys::NoKeys)?;
        if keys.len() > MOST_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let keys: Vec<_> = keys.iter().filter_map(Key::read).collect();
        match keys.is_empty() {
            true => Err(InvalidKeys::NoValidKeys),
            false => Ok(Self {
                keys,
                good: Good::default(),
            }),
        }
    }

    /// Whether a token was signed with one of the keys.
    ///
    /// # Errors
    /// [`Refusal::NoKey`] when none of them could have been the one, else [`Refusal::Signature`].
    pub(crate) fn verify(&self, token: &Token) -> Result<(), Refusal> {
        let hash = self.good.hash(token);
        if self.good.tokens.lock().contains(&hash) {
            return Ok(());
        }
        let mut fits = self.keys.iter().filter(|key| key.fits(token)).peekable();
        if fits.peek().is_none() {
            return Err(Refusal::NoKey);
        }
        let signed = token.signed.as_bytes();
        let verifies =
            |key: &Key| crypto::verify(&token.signature, signed, &key.key, token.algorithm).unwrap_or(false);
        match fits.any(verifies) {
            true => {
                self.good.add(hash);
                Ok(())
            }
            false => Err(Refusal::Signature),
        }
    }
}

impl Good {
    fn hash(&self, token: &Token) -> u128 {
        let whole = (&token.signed, &token.signature);
        let [high, low] = self.hashers.each_ref().map(|hasher| hasher.hash_one(whole));
        u128::from(high) << 64 | u128::from(low)
    }

    fn add(&self, hash: u128) {
        let mut tokens = self.tokens.lock();
        // Those that are still used come back by themselves.
        if tokens.len() >= MOST_GOOD {
            tokens.clear();
        }
        tokens.insert(hash);
    }
}

impl Key {
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let (kind, key) = match text("kty")? {
            "RSA" => (
                Kind::Rsa,
                DecodingKey::from_rsa_components(text("n")?, text("e")?),
            ),
            "EC" => {
                let kind = match text("crv")? {
                    "P-256" => Kind::P256,
                    "P-384" => Kind::P384,
                    _ => return None,
                };
                (kind, DecodingKey::from_ec_components(text("x")?, text("y")?))
            }
            "OKP" if text("crv")? == "Ed25519" => {
                (Kind::Ed25519, DecodingKey::from_ed_components(text("x")?))
            }
            "oct" => {
                let secret = URL_SAFE_NO_PAD.decode(text("k")?.trim_end_matches('=')).ok()?;
                // An empty secret is one that everybody knows.
                if secret.is_empty() {
                    return None;
                }
                (Kind::Secret, Ok(DecodingKey::from_secret(&secret)))
            }
            _ => return None,
        };
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(name.parse().ok().filter(|algorithm| kind.verifies(*algorithm))?),
        };
        Some(Self {
            id: text("kid").filter(|id| !id.is_empty()).map(str::to_owned),
            algorithm,
            kind,
            key: key.ok()?,
        })
    }

    /// Whether a token could have been signed with it, by what it says of itself.
    fn fits(&self, token: &Token) -> bool {
        let same_id = match (&self.id, &token.key_id) {
            (Some(mine), Some(its)) => mine == its,
            // Who names no key is compared with all.
            _ => true,
        };
        let same_algorithm = self.algorithm.is_none_or(|mine| mine == token.algorithm);
        same_id && same_algorithm && self.kind.verifies(token.algorithm)
    }
}

impl Kind {
    fn verifies(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            Self::P256 => algorithm == Algorithm::ES256,
            Self::P384 => algorithm == Algorithm::ES384,
            Self::Ed25519 => algorithm == Algorithm::EdDSA,
            Self::Secret => algorithm.family() == AlgorithmFamily::Hmac,
        }
    }
}

/// 128 KiB.
const MOST_GOOD: usize = 4096;
/// The largest public sets have a few dozen.
const MOST_KEYS: usize = 256;

#[cfg(test)]
mod tests;
