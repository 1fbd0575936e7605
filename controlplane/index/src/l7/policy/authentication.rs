//! A RequestAuthentication becomes rules for tokens (Istio reference, "RequestAuthentication").
//!
//! What is wrong with a rule never makes a token count that would not: without its keys no token of the issuer does.

use std::time::Duration;

use controlplane_k8s_api::security::{self, JwtKeys, RequestAuthenticationSpec};
use mesh_model::l7::authentication::{Authentication, JwtRule, KeySet, TokenLocation};
use mesh_types::Strng;

use super::text;
use crate::derived::{Condition, ConditionReason};

/// What a RequestAuthentication says.
pub(super) fn authentication(
    spec: &RequestAuthenticationSpec,
    conditions: &mut Vec<Condition>,
) -> Authentication {
    let rules = spec.jwt_rules.iter().enumerate();
    let rules = rules.map(|(i, rule)| {
        let path = format!("spec.jwtRules[{i}]");
        let mut fields = Fields { path, conditions };
        jwt_rule(rule, &mut fields)
    });
    Authentication {
        rules: rules.collect(),
    }
}

fn jwt_rule(rule: &security::JwtRule, fields: &mut Fields<'_>) -> JwtRule {
    let locations = locations(rule, fields);
    let mut keys = keys(rule, fields);
    let mut issuer = rule.issuer.clone();
    if issuer.is_empty() {
        if rule.keys != JwtKeys::Unreadable {
            fields.tell(
                "issuer",
                "is empty: no token counts where the rule looks for one, unless another rule accepts it",
            );
        }
        // The rule still says where tokens stand, all of which must be good.
        issuer = NOBODY.into();
        keys = KeySet::Unusable("whose tokens are meant is not known".into());
    }
    let has_places =
        !rule.from_headers.is_empty() || !rule.from_params.is_empty() || !rule.from_cookies.is_empty();
    if has_places && locations.is_empty() {
        // Without places the usual ones would be looked at, which nobody asked for.
        fields.tell("", "has no place left where a token could be: no token counts");
        keys = KeySet::Unusable("no place where a token could be".into());
    }
    let audiences: Vec<Strng> = rule.audiences.iter().filter(|a| !a.is_empty()).cloned().collect();
    if audiences.len() < rule.audiences.len() {
        fields.tell("audiences", "has an empty value, which no token has");
        if audiences.is_empty() {
            keys = KeySet::Unusable("no audience that a token could have".into());
        }
    }
    let claim_headers = claim_headers(rule, fields);
    let payload = rule.output_payload_to_header.as_ref();
    let payload =
        payload.and_then(|name| fields.read("outputPayloadToHeader", text::changeable_header(name)));
    let lists = rule
        .space_delimited_claims
        .iter()
        .filter(|claim| !claim.is_empty());
    JwtRule {
        issuer,
        audiences,
        keys,
        locations,
        payload_header: payload,
        claim_headers,
        forward: rule.forward_original_token,
        space_delimited_claims: lists.cloned().collect(),
    }
}

fn locations(rule: &security::JwtRule, fields: &mut Fields<'_>) -> Vec<TokenLocation> {
    let mut locations = Vec::new();
    for (i, header) in rule.from_headers.iter().enumerate() {
        let name = fields.read(&format!("fromHeaders[{i}].name"), text::header(&header.name));
        let prefix = controlplane_k8s_api::validate::http::header_value(&header.prefix);
        let prefix = fields.read(&format!("fromHeaders[{i}].prefix"), prefix);
        locations.extend(name.zip(prefix).map(|(name, ())| TokenLocation::Header {
            name,
            prefix: header.prefix.clone(),
        }));
    }
    for (i, name) in rule.from_params.iter().enumerate() {
        let name = fields.read(&format!("fromParams[{i}]"), text::some(name));
        locations.extend(name.map(TokenLocation::Query));
    }
    for (i, name) in rule.from_cookies.iter().enumerate() {
        let cookie = controlplane_k8s_api::validate::http::header_name(name).map(|()| name.clone());
        let name = fields.read(&format!("fromCookies[{i}]"), cookie);
        locations.extend(name.map(TokenLocation::Cookie));
    }
    locations
}

fn claim_headers(rule: &security::JwtRule, fields: &mut Fields<'_>) -> Vec<(Strng, Vec<Strng>)> {
    let outputs = rule.output_claim_to_headers.iter().enumerate();
    let outputs = outputs.filter_map(|(i, output)| {
        let path = format!("outputClaimToHeaders[{i}]");
        let header = fields.read(&format!("{path}.header"), text::changeable_header(&output.header))?;
        let claim = fields.read(&format!("{path}.claim"), text::claim(&output.claim))?;
        Some((header, claim))
    });
    outputs.collect()
}

fn keys(rule: &security::JwtRule, fields: &mut Fields<'_>) -> KeySet {
    let unusable = |fields: &mut Fields<'_>, field: &str, why: String| {
        fields.tell(field, &format!("{why}: no token of this issuer counts"));
        KeySet::Unusable(format!("{field} {why}").into())
    };
    match &rule.keys {
        JwtKeys::Inline(json) if json.trim().is_empty() => unusable(fields, "jwks", "is empty".to_owned()),
        JwtKeys::Inline(json) => KeySet::Inline(json.clone()),
        JwtKeys::Uri(uri) => match fetchable(uri) {
            true => KeySet::Remote {
                uri: uri.clone(),
                timeout: rule.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
            },
            false => {
                let why = format!("is no address like https://example.com/keys: {uri:?}");
                unusable(fields, "jwksUri", why)
            }
        },
        JwtKeys::Discovery => {
            let why =
                "is absent, as is jwks, and keys are not looked for in the issuer's OpenID configuration";
            fields.unsupported("jwksUri", &format!("{why}: no token of this issuer counts"));
            KeySet::Unusable(format!("jwksUri {why}").into())
        }
        // Whoever found that out says so.
        JwtKeys::Unreadable => KeySet::Unusable("the rule cannot be read".into()),
    }
}

/// Which hosts keys may come from is decided where they are fetched, since only there names have addresses.
fn fetchable(uri: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| uri.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.bytes().any(|b| b.is_ascii_control() || b == b' '))
}

/// Tells what is wrong with a rule's fields.
struct Fields<'a> {
    path: String,
    conditions: &'a mut Vec<Condition>,
}

impl Fields<'_> {
    fn tell(&mut self, field: &str, message: &str) {
        self.push(ConditionReason::Invalid, field, message);
    }

    fn unsupported(&mut self, field: &str, message: &str) {
        self.push(ConditionReason::Unsupported, field, message);
    }

    fn push(&mut self, reason: ConditionReason, field: &str, message: &str) {
        let dot = if field.is_empty() { "" } else { "." };
        let field = format!("{}{dot}{field}", self.path);
        self.conditions.push(Condition::at(reason, field, message));
    }

    fn read<T>(&mut self, field: &str, value: Result<T, String>) -> Option<T> {
        value
            .map_err(|why| self.tell(field, &format!("{why}; it is left out")))
            .ok()
    }
}

/// In place of an issuer whom nobody knows; the keys that stand beside it verify nothing.
const NOBODY: &str = "an issuer that cannot be read";
/// Istio's (`JWTRule.timeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
