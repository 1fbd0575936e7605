//! A token, taken apart (RFC 7515, RFC 7519): nothing in it is believed before its signature was verified.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Refusal;

/// A token that is well formed.
#[derive(Clone)]
pub(crate) struct Token {
    /// What it says it was signed with.
    pub(crate) algorithm: Algorithm,
    /// The key that it says it was signed with.
    pub(crate) key_id: Option<String>,
    /// `iss`
    pub(crate) issuer: String,
    /// `aud`
    pub(crate) audiences: Vec<String>,
    /// What it says.
    pub(crate) payload: Map<String, Value>,
    /// The same as it came.
    pub(crate) encoded_payload: String,
    /// What was signed.
    pub(crate) signed: String,
    /// The signature as it came.
    pub(crate) signature: String,
    not_before: u64,
    expires: Option<u64>,
}

impl Token {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Says what is wrong with it, in Envoy's words.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal::Format);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Format);
        };
        if [header, payload, signature].iter().any(|part| part.is_empty()) {
            return Err(Refusal::Format);
        }
        let header_json = decode(header).ok_or(Refusal::HeaderBase64)?;
        let fields = object(&header_json).ok_or(Refusal::HeaderJson)?;
        let algorithm = match fields.get("alg") {
            Some(Value::String(name)) => name.parse().map_err(|_| Refusal::AlgorithmUnknown)?,
            _ => return Err(Refusal::AlgorithmMissing),
        };
        // A header parameter that must be understood and is not (RFC 7515, section 4.1.11).
        if fields.contains_key("crit") {
            return Err(Refusal::AlgorithmUnknown);
        }
        let key_id = match fields.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()).filter(|id| !id.is_empty()),
            Some(_) => return Err(Refusal::KeyId),
        };
        let payload_json = decode(payload).ok_or(Refusal::PayloadBase64)?;
        let claims = object(&payload_json).ok_or(Refusal::PayloadJson)?;
        if decode(signature).is_none() {
            return Err(Refusal::SignatureBase64);
        }
        let text = |name: &str, otherwise: Refusal| match claims.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(otherwise),
        };
        text("sub", Refusal::Subject)?;
        text("jti", Refusal::Id)?;
        seconds(&claims, "iat", Refusal::IssuedAt)?;
        Ok(Self {
            algorithm,
            key_id,
            issuer: text("iss", Refusal::Issuer)?.to_owned(),
            audiences: audiences(&claims)?,
            not_before: seconds(&claims, "nbf", Refusal::NotBefore)?.unwrap_or(0),
            expires: seconds(&claims, "exp", Refusal::Expires)?,
            encoded_payload: payload.to_owned(),
            signed: format!("{header}.{payload}"),
            signature: signature.to_owned(),
            payload: claims,
        })
    }

    /// Whether it counts at a time, in seconds since 1970.
    ///
    /// # Errors
    /// Not yet, or not any more.
    pub(crate) fn counts_at(&self, now: u64) -> Result<(), Refusal> {
        if now.saturating_add(LEEWAY) < self.not_before {
            return Err(Refusal::NotYet);
        }
        match self.expires {
            Some(expires) if now > expires.saturating_add(LEEWAY) => Err(Refusal::Expired),
            _ => Ok(()),
        }
    }

    /// Whether it is for one of these; anybody if there are none.
    pub(crate) fn is_for(&self, audiences: &[String]) -> bool {
        audiences.is_empty() || self.audiences.iter().any(|audience| audiences.contains(audience))
    }
}

impl fmt::Debug for Token {
    /// Nothing that could be used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// An audience as it is compared: without scheme and final slash (Envoy does the same).
pub(crate) fn bare_audience(audience: &str) -> String {
    let audience = audience
        .strip_prefix("https://")
        .or_else(|| audience.strip_prefix("http://"))
        .unwrap_or(audience);
    audience.strip_suffix('/').unwrap_or(audience).to_owned()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    // Some libraries pad.
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()
}

/// An object without a name that is there twice: two readers could take different ones for the one.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(json) {
        Ok(Strict(Value::Object(object))) => Some(object),
        _ => None,
    }
}

fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![bare_audience(one)]),
        Some(Value::Array(several)) => several
            .iter()
            .map(|audience| audience.as_str().map(bare_audience).ok_or(Refusal::Audience))
            .collect(),
        Some(_) => Err(Refusal::Audience),
    }
}

/// A fraction is cut off.
fn seconds(claims: &Map<String, Value>, name: &str, otherwise: Refusal) -> Result<Option<u64>, Refusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_u64().or_else(|| {
        let fraction = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is checked to be in range; a fraction of a second does not matter"
        )]
        let whole = (0.0..9e15).contains(&fraction).then_some(fraction as u64);
        whole
    });
    whole.map(Some).ok_or(otherwise)
}

/// JSON in which no name stands twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Strict(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(list.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut object = Map::new();
                while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(object.into())
            }
        }
        deserializer.deserialize_any(Values).map(Self)
    }
}

/// Clocks differ (Envoy's default).
const LEEWAY: u64 = 60;
/// No longer than half of what all headers may have.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests;
