//! What is left of a RequestAuthentication: its targets and the rules that can be read; of the others, whose tokens they are
//! about and where those stand, so that none of them is accepted. A request without a token passes as before.
//!
//! Which headers an unreadable rule would set is kept, too: clients must not be able to make them up.

use mesh_types::Strng;
use serde::de::DeserializeOwned;

use super::{StrictPart, StrictSense, Strictest, part};
use crate::decode;
use crate::object::{Kind, Object};
use crate::raw::RawObject;
use crate::security::{JwtKeys, JwtRule};
use crate::tree::{Tree, Value};

pub(super) fn strictest(mut policy: RawObject) -> Option<Strictest> {
    let rules = policy.take_of_spec("jwtRules").map(|rules| rules.value);
    let unknown = match names_targets(&policy) {
        true => policy.take_others_of_spec(&TARGETS),
        // Any of them may be a target: whom the policy is for is anybody's guess.
        false => Vec::new(),
    };
    let mut object = policy.clone().understand(KIND).ok()?;
    let mut left = Left::default();
    match rules {
        Some(Value::List(rules)) => {
            for (i, rule) in rules.into_iter().enumerate() {
                match readable(&policy, rule.clone()) {
                    Some(rule) => left.rules.push(rule),
                    None => left.push_unreadable(format!("spec.jwtRules[{i}]"), &rule),
                }
            }
        }
        // No list: as one rule that is not understood.
        Some(value) => left.push_unreadable("spec.jwtRules".to_owned(), &Tree::new(value)),
        None => {}
    }
    for field in unknown {
        // It may be rules under another name.
        left.push_unreadable(format!("spec.{field}"), &Tree::new(Value::Null));
    }
    let Object::RequestAuthentication(understood) = &mut object.value else {
        return None;
    };
    understood.spec.jwt_rules = left.rules;
    Some(Strictest {
        object,
        parts: left.parts,
    })
}

#[derive(Default)]
struct Left {
    rules: Vec<JwtRule>,
    parts: Vec<StrictPart>,
}

impl Left {
    fn push_unreadable(&mut self, field: String, rule: &Tree) {
        let rule = unreadable(rule);
        let sense = match rule.issuer.is_empty() {
            true => StrictSense::RefusesOtherTokens,
            false => StrictSense::RefusesTokensOfIssuer,
        };
        self.parts.push(part(field, sense));
        self.rules.push(rule);
    }
}

fn names_targets(policy: &RawObject) -> bool {
    let spec = policy.tree().field("spec");
    spec.is_some_and(|spec| TARGETS.iter().any(|target| spec.field(target).is_some()))
}

/// A rule that is understood where it stands alone.
fn readable(policy: &RawObject, rule: Tree) -> Option<JwtRule> {
    let mut alone = policy.clone();
    alone.put_into_spec("jwtRules", Value::List(vec![rule]));
    match alone.understand(KIND).ok()?.value {
        Object::RequestAuthentication(mut policy) => policy.spec.jwt_rules.pop(),
        _ => None,
    }
}

/// What can be read of a rule that is not understood.
fn unreadable(rule: &Tree) -> JwtRule {
    let text = |field| rule.text(field).map(Strng::from);
    JwtRule {
        issuer: text("issuer").unwrap_or_default(),
        audiences: Vec::new(),
        keys: JwtKeys::Unreadable,
        from_headers: items(rule, "fromHeaders"),
        from_params: items(rule, "fromParams"),
        from_cookies: items(rule, "fromCookies"),
        output_payload_to_header: text("outputPayloadToHeader"),
        forward_original_token: false,
        output_claim_to_headers: items(rule, "outputClaimToHeaders"),
        timeout: None,
        space_delimited_claims: Vec::new(),
    }
}

/// Those items of a list that can be read.
fn items<T: DeserializeOwned>(rule: &Tree, field: &str) -> Vec<T> {
    match rule.field(field).map(|list| &list.value) {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| decode::lenient(item).ok())
            .collect(),
        _ => Vec::new(),
    }
}

const KIND: Kind = Kind::RequestAuthentication;
/// The fields that say whom the policy is for.
const TARGETS: [&str; 3] = ["selector", "targetRef", "targetRefs"];

#[cfg(test)]
mod tests;
