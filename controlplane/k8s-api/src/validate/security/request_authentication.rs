//! RequestAuthentication.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::Deserialize;

use crate::error::FieldPath;
use crate::security::{JwtKeys, JwtRule, RequestAuthentication};
use crate::validate::security::attachment;
use crate::validate::{Check, http, names};

pub(in crate::validate) fn request_authentication(check: &mut Check, policy: &RequestAuthentication) {
    let (spec, path) = (&policy.spec, FieldPath::from("spec"));
    attachment(
        check,
        &policy.metadata.namespace,
        spec.selector.as_ref(),
        spec.target_ref.as_ref(),
        &spec.target_refs,
    );
    for (i, rule) in spec.jwt_rules.iter().enumerate() {
        jwt_rule(check, &path.field("jwtRules").item(i), rule);
    }
}

fn jwt_rule(check: &mut Check, path: &FieldPath, rule: &JwtRule) {
    if rule.issuer.is_empty() {
        check.refuse(path.field("issuer"), "is empty");
    }
    for (i, audience) in rule.audiences.iter().enumerate() {
        if audience.is_empty() {
            check.refuse(path.field("audiences").item(i), "is empty");
        }
    }
    match &rule.keys {
        JwtKeys::Uri(uri) => check.grammar(path.field("jwksUri"), key_address(uri)),
        JwtKeys::Inline(keys) => {
            let field = path.field("jwks");
            match key_set(keys) {
                Err(why) => check.refuse(field, why),
                Ok(None) => {}
                Ok(Some(why)) => check.warn(field, why),
            }
        }
        JwtKeys::Discovery => {
            let reason =
                |e| format!("is no address to find keys by, and neither jwksUri nor jwks is given: {e}");
            check.grammar(path.field("issuer"), key_address(&rule.issuer).map_err(reason));
        }
        // It was refused already.
        JwtKeys::Unreadable => {}
    }
    for (i, header) in rule.from_headers.iter().enumerate() {
        let field = path.field("fromHeaders").item(i).field("name");
        check.grammar(field, http::header_name(&header.name));
    }
    for (name, values) in [
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ] {
        for (i, value) in values.iter().enumerate() {
            if value.is_empty() {
                check.refuse(path.field(name).item(i), "is empty");
            }
        }
    }
    if let Some(header) = &rule.output_payload_to_header {
        check.grammar(
            path.field("outputPayloadToHeader"),
            http::changeable_header(header),
        );
    }
    let mut seen = HashSet::new();
    for (i, output) in rule.output_claim_to_headers.iter().enumerate() {
        let path = path.field("outputClaimToHeaders").item(i);
        check.grammar(path.field("header"), http::changeable_header(&output.header));
        if output.claim.is_empty() || output.claim.split('.').any(str::is_empty) {
            check.refuse(path.field("claim"), "names no claim");
        }
        if !seen.insert(output.header.to_ascii_lowercase()) {
            let reason = format!("{:?} is there twice", output.header.as_str());
            check.refuse(path.field("header"), reason);
        }
    }
    check.positive(path.field("timeout"), rule.timeout);
}

/// Where keys may be fetched from: never from the machine itself, nor from where clouds keep their metadata.
fn key_address(uri: &str) -> Result<(), String> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| uri.strip_prefix(scheme));
    let authority = rest.map(|r| r.split(['/', '?', '#']).next().unwrap_or_default());
    let Some(authority) = authority.filter(|a| !a.is_empty() && !a.contains('@')) else {
        return Err(format!("{uri:?} is no address like https://example.com/keys"));
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').unwrap_or((v6, "")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if !port.is_empty() {
        names::port(port.strip_prefix(':').unwrap_or(port))?;
    }
    let local = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    match names::ip(host) {
        Ok(ip) if is_our_own(ip) => Err(format!("{uri:?} leads to the machine itself or to its metadata")),
        Ok(_) => Ok(()),
        Err(_) if local => Err(format!("{uri:?} leads to the machine itself")),
        Err(_) if METADATA_HOSTS.contains(&host.to_ascii_lowercase().as_str()) => {
            Err(format!("{uri:?} leads to the machine's metadata"))
        }
        Err(_) => names::domain(host),
    }
}

fn is_our_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[..7] == METADATA_V6,
    };
    ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local
}

/// RFC 7517, section 5: an object with a list `keys`, each with a type. Keys that proxies cannot use are told, and one at
/// least must be of use.
fn key_set(text: &str) -> Result<Option<String>, String> {
    let keys: KeySet = serde_json::from_str(text).map_err(|e| format!("is no JSON web key set: {e}"))?;
    if keys.keys.is_empty() {
        return Err("has no keys: every token would be refused".to_owned());
    }
    let useless: Vec<String> = keys.keys.iter().filter_map(Key::why_useless).collect();
    match useless.as_slice() {
        [] => Ok(None),
        all if all.len() == keys.keys.len() => {
            let reason = format!("has no key that tokens can be verified with: {}", all.join(", "));
            Err(format!(
                "{reason}; RSA, P-256, P-384, Ed25519 and shared secrets are supported"
            ))
        }
        some => Ok(Some(format!(
            "has keys that are of no use here: {}",
            some.join(", ")
        ))),
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "kty")]
    kind: String,
    #[serde(rename = "crv")]
    curve: Option<String>,
}

impl Key {
    fn why_useless(&self) -> Option<String> {
        let curve = self.curve.as_deref();
        match (self.kind.as_str(), curve) {
            ("RSA" | "oct", _) | ("EC", Some("P-256" | "P-384")) | ("OKP", Some("Ed25519")) => None,
            (kind, Some(curve)) => Some(format!("{kind} {curve}")),
            (kind, None) => Some(kind.to_owned()),
        }
    }
}

/// `fd00:ec2::254` and its neighbours, where one cloud keeps its metadata.
const METADATA_V6: [u16; 7] = [0xfd00, 0x0ec2, 0, 0, 0, 0, 0];
const METADATA_HOSTS: [&str; 2] = ["metadata.google.internal", "metadata"];
