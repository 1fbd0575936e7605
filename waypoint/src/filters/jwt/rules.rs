//! Rules for tokens, compiled: which tokens a request has, and which rules may accept each.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mesh_model::l7::authentication::{Authentication, JwtRule, KeySet};
use mesh_model::l7::request::{Claims, Request};
use mesh_types::Strng;
use serde_json::Value;

use super::Refusal;
use super::keys::Keys;
use super::places::Place;
use super::token::{Token, bare_audience};

/// Rules for tokens.
#[derive(Debug, Default)]
pub struct TokenRules {
    rules: Vec<Rule>,
    /// What only a verified token may say.
    outputs: Vec<HeaderName>,
    /// A policy without any rule: no token is accepted.
    none_accepted: bool,
}

/// What is required of an issuer's tokens.
#[derive(Debug)]
pub(crate) struct Rule {
    issuer: Strng,
    audiences: Vec<String>,
    pub(crate) keys: RuleKeys,
    places: Vec<Place>,
    payload_header: Option<HeaderName>,
    claim_headers: Vec<(HeaderName, Vec<Strng>)>,
    forward: bool,
    lists: Vec<Strng>,
}

/// Where a rule's keys are.
#[derive(Debug)]
pub(crate) enum RuleKeys {
    Known(Arc<Keys>),
    Remote { uri: Strng, timeout: Duration },
    Unusable,
}

/// A token of a request.
#[derive(Debug)]
pub(crate) struct Found<'t> {
    pub(crate) place: &'t Place,
    pub(crate) token: Token,
    /// The rules that it may be accepted by; at least one.
    pub(crate) rules: Vec<&'t Rule>,
}

impl TokenRules {
    /// Of policies that apply together.
    pub(crate) fn compile<'p>(policies: impl IntoIterator<Item = &'p Authentication>) -> Self {
        let mut compiled = Self::default();
        for policy in policies {
            compiled.none_accepted |= policy.rules.is_empty();
            compiled.rules.extend(policy.rules.iter().map(Rule::compile));
        }
        for rule in &compiled.rules {
            let claims = rule.claim_headers.iter().map(|(header, _)| header);
            compiled
                .outputs
                .extend(rule.payload_header.iter().chain(claims).cloned());
        }
        compiled.outputs.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        compiled.outputs.dedup();
        compiled
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.none_accepted
    }

    /// Takes away what a client could have forged.
    pub(crate) fn sanitize(&self, headers: &mut HeaderMap) {
        for name in &self.outputs {
            headers.remove(name);
        }
    }

    /// The tokens of a request, each with the rules that know its issuer.
    ///
    /// # Errors
    /// When one is malformed, or of an issuer that nobody knows at its place, or when there are too many: every token
    /// that goes on must be good, as the destination may look at any.
    pub(crate) fn find(&self, request: &Request<'_>) -> Result<Vec<Found<'_>>, Refusal> {
        let mut found: Vec<Found<'_>> = Vec::new();
        let mut places: Vec<&Place> = Vec::new();
        for place in self.places() {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        for place in places {
            for text in place.find(request) {
                if found.len() == MOST_TOKENS {
                    return Err(Refusal::Several);
                }
                let token = Token::parse(&text)?;
                let rules = self.rules.iter().filter(|rule| rule.is_about(place, &token));
                let rules: Vec<_> = rules.collect();
                if rules.is_empty() {
                    return Err(Refusal::UnknownIssuer);
                }
                found.push(Found { place, token, rules });
            }
        }
        Ok(found)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let usual = self.none_accepted.then_some(&Place::Bearer);
        self.rules.iter().flat_map(|rule| &rule.places).chain(usual)
    }
}

impl Rule {
    fn compile(rule: &JwtRule) -> Self {
        let name = |text: &Strng| HeaderName::from_bytes(text.as_bytes()).ok();
        let claim_headers = rule.claim_headers.iter();
        Self {
            issuer: rule.issuer.clone(),
            audiences: rule.audiences.iter().map(|a| bare_audience(a)).collect(),
            keys: RuleKeys::of(&rule.keys),
            places: Place::of(&rule.locations),
            payload_header: rule.payload_header.as_ref().and_then(name),
            claim_headers: claim_headers
                .filter_map(|(header, claim)| Some((name(header)?, claim.clone())))
                .collect(),
            forward: rule.forward,
            lists: rule.space_delimited_claims.clone(),
        }
    }

    /// Whether it is about a token of this issuer at this place. An empty issuer is any.
    fn is_about(&self, place: &Place, token: &Token) -> bool {
        let issuer = self.issuer.is_empty() || self.issuer.as_str() == token.issuer;
        issuer && self.places.contains(place)
    }

    /// Whether a token would be accepted if its signature were good, in the order in which Envoy looks.
    pub(crate) fn admits(&self, token: &Token, now: u64) -> Result<(), Refusal> {
        token.counts_at(now)?;
        match token.is_for(&self.audiences) {
            true => Ok(()),
            false => Err(Refusal::OtherAudience),
        }
    }

    /// What a verified token says.
    pub(crate) fn claims(&self, token: Token) -> Claims {
        Claims::new(token.payload, &self.lists)
    }

    /// Whether the token goes on to the destination.
    pub(crate) fn forwards(&self) -> bool {
        self.forward
    }

    /// Headers for the destination.
    pub(crate) fn tell(&self, token: &Token, headers: &mut HeaderMap) {
        if let Some(name) = &self.payload_header
            && let Ok(payload) = HeaderValue::from_str(&token.encoded_payload)
        {
            headers.append(name, payload);
        }
        let told = self.claim_headers.iter().filter_map(|(name, path)| {
            let value = claim(token, path)?;
            // What would break the header is not told.
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        });
        for (name, value) in told {
            headers.append(name, value);
        }
    }
}

impl RuleKeys {
    fn of(keys: &KeySet) -> Self {
        match keys {
            KeySet::Inline(json) => match Keys::parse(json.as_bytes()) {
                Ok(keys) => Self::Known(Arc::new(keys)),
                Err(error) => {
                    tracing::warn!(%error, "a set of keys cannot be used: no token of its issuer is accepted");
                    Self::Unusable
                }
            },
            KeySet::Remote { uri, timeout } => Self::Remote {
                uri: uri.clone(),
                timeout: *timeout,
            },
            KeySet::Unusable(_) => Self::Unusable,
        }
    }
}

/// A browser's question about another origin carries no token (the Fetch standard, "CORS protocol"; Istio lets it pass).
pub(crate) fn is_preflight(request: &Request<'_>) -> bool {
    let has = |name: HeaderName| request.headers.get(name).is_some_and(|value| !value.is_empty());
    *request.method == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// A claim as a header says it: texts, numbers and truth values as they are; lists and objects as JSON in Base64url.
fn claim(token: &Token, path: &[Strng]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let first = token.payload.get(first.as_str())?;
    let value = rest
        .iter()
        .try_fold(first, |value, name| value.get(name.as_str()))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => Some(URL_SAFE_NO_PAD.encode(value.to_string())),
        Value::Null => None,
    }
}

/// Each costs a verification.
const MOST_TOKENS: usize = 4;

#[cfg(test)]
mod tests;
