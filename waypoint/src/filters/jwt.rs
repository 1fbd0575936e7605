//! Tokens: who shows one must show a good one, and what it says counts from here on (Istio, "RequestAuthentication";
//! Envoy, "JWT Authentication").
//!
//! # Layout
//! - this file: the filter.
//! - [`rules`]: what policies require, compiled.
//! - `places`: where tokens stand in requests.
//! - `token`: a token, taken apart. `refusal`: why one is not accepted.
//! - [`keys`]: an issuer's keys.
//! - [`store`]: key sets that are elsewhere, as they are known; [`fetch`] fetches them.
//! - `address`: where they may be fetched from.
//!
//! Nothing of a token is ever logged.

mod address;
pub mod fetch;
#[doc(hidden)]
pub mod fuzz;
pub mod keys;
mod places;
mod refusal;
pub mod rules;
pub mod store;
mod token;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, header};
use mesh_model::l7::request::Request;

use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;
use keys::Keys;
pub(crate) use refusal::Refusal;
use rules::{Found, Rule, RuleKeys, is_preflight};
use store::KeySets;

/// Looks at tokens.
pub(crate) struct Authentication;

impl Filter for Authentication {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let compiled = exchange.compiled.clone();
        let rules = &compiled.applied.tokens;
        if rules.is_empty() {
            return ControlFlow::Continue(());
        }
        rules.sanitize(&mut exchange.head.headers);
        if is_preflight(&exchange.view()) {
            return ControlFlow::Continue(());
        }
        let found = match rules.find(&exchange.view()) {
            Ok(found) => found,
            Err(refusal) => return ControlFlow::Break(refused(&exchange.view(), refusal)),
        };
        let sets = exchange.worker.key_sets.clone();
        for found in found {
            match Box::pin(judge(&found, &sets, now())).await {
                Ok(rule) => accept(exchange, found, rule),
                Err(refusal) => return ControlFlow::Break(refused(&exchange.view(), refusal)),
            }
        }
        ControlFlow::Continue(())
    }
}

/// The rule that accepts a token.
async fn judge<'t>(found: &Found<'t>, sets: &KeySets, now: u64) -> Result<&'t Rule, Refusal> {
    let mut first = None;
    for rule in &found.rules {
        let verdict = match rule.admits(&found.token, now) {
            Ok(()) => verify(found, &rule.keys, sets).await,
            Err(refusal) => Err(refusal),
        };
        match verdict {
            Ok(()) => return Ok(rule),
            Err(refusal) => first = first.or(Some(refusal)),
        }
    }
    Err(first.unwrap_or(Refusal::UnknownIssuer))
}

async fn verify(found: &Found<'_>, keys: &RuleKeys, sets: &KeySets) -> Result<(), Refusal> {
    let (uri, timeout) = match keys {
        RuleKeys::Known(keys) => return keys.verify(&found.token),
        RuleKeys::Unusable => return Err(Refusal::NoValidKeys),
        RuleKeys::Remote { uri, timeout } => (uri, (*timeout).min(LONGEST_WAIT)),
    };
    let set = sets.at(uri);
    let known: Arc<Keys> = set.keys(timeout).await.ok_or(Refusal::NotFetched)?;
    match known.verify(&found.token) {
        // The issuer may have a new one.
        Err(Refusal::NoKey) if found.token.key_id.is_some() => match set.newer_keys(timeout).await {
            Some(newer) => newer.verify(&found.token),
            None => Err(Refusal::NoKey),
        },
        verdict => verdict,
    }
}

/// What it says counts; of several tokens that of the first.
fn accept(exchange: &mut Exchange, found: Found<'_>, rule: &Rule) {
    let head = &mut exchange.head;
    rule.tell(&found.token, &mut head.headers);
    if !rule.forwards() {
        found.place.clear(&mut head.headers, &mut head.uri);
    }
    if exchange.claims.is_empty() {
        exchange.claims = rule.claims(found.token);
    }
}

/// The answer (RFC 6750, section 3).
fn refused(request: &Request<'_>, refusal: Refusal) -> LocalReply {
    let reply = LocalReply::new(refusal.status(), refusal.details(), refusal.message());
    let forwarded = request.header("x-forwarded-proto");
    let scheme = forwarded.as_deref().unwrap_or(request.scheme);
    let path = request.path_and_query();
    let path: String = path.chars().take(LONGEST_PATH).collect();
    let realm = format!("{scheme}://{}{path}", request.authority);
    // What would end the quoted text is left out.
    let realm = realm.replace(['"', '\\'], "");
    match HeaderValue::from_str(&format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")) {
        Ok(value) => reply.with_header(header::WWW_AUTHENTICATE, value),
        Err(_) => reply,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Requests wait no longer for keys, whatever a policy says.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// As Envoy.
const LONGEST_PATH: usize = 256;
