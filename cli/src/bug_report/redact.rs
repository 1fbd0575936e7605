//! Takes out what is nobody's business. Pure.
//!
//! Two sieves: objects keep only what the mesh has to do with, and whatever looks like a key, a token or a password goes
//! out of every text.

use serde_json::Value;

/// Leaves in an object what the mesh has to do with; says whether the object is kept at all.
pub fn object(object: &mut Value, system: &str) -> bool {
    let metadata = &mut object["metadata"];
    let own = metadata["namespace"] == system;
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("managedFields");
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let data = object.get("data").is_some() || object.get("binaryData").is_some();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // ConfigMaps of applications hold whatever applications are told.
    if data && !(own && OWN_CONFIG.contains(&name)) {
        return false;
    }
    pods(object, own);
    named(object);
    true
}

/// The containers of pods, and of whatever makes pods.
fn pods(object: &mut Value, own: bool) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for path in [format!("/spec/{list}"), format!("/spec/template/spec/{list}")] {
            let Some(Value::Array(containers)) = object.pointer_mut(&path) else {
                continue;
            };
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                // The mesh's own say how they were started; an application may be told passwords there.
                if !own {
                    for field in ["args", "command", "env", "envFrom", "lifecycle"] {
                        if let Some(value) = container.get_mut(field) {
                            *value = OUT.into();
                        }
                    }
                }
            }
        }
    }
}

/// Values of fields, and of headers, whose names promise a secret.
fn named(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let header = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
            for (key, value) in fields {
                if value.is_string() && (is_secret(key) || (header && key == "value")) {
                    *value = OUT.into();
                } else {
                    named(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(named),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    // What names a secret is not one.
    let refers = name.ends_with("name") || name.ends_with("ref");
    !refers && SECRETS.iter().any(|secret| name.contains(secret))
}

/// A text without keys, tokens and passwords.
#[must_use]
pub fn text(text: &str) -> String {
    let text = without_keys(text);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, taken, after)) = next(rest) {
        clean.push_str(before);
        clean.push_str(OUT);
        debug_assert!(!taken.is_empty(), "something is taken out each time");
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Private keys in PEM; certificates are public, and stay.
fn without_keys(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let (before, from) = rest.split_at(begin);
        clean.push_str(before);
        let label = from["-----BEGIN ".len()..]
            .split("-----")
            .next()
            .unwrap_or_default();
        if !label.ends_with("PRIVATE KEY") {
            clean.push_str("-----BEGIN ");
            rest = &from["-----BEGIN ".len()..];
            continue;
        }
        clean.push_str(OUT);
        let end = format!("-----END {label}-----");
        // Without an end all that follows may be the key.
        rest = from.find(&end).map_or("", |at| &from[at + end.len()..]);
    }
    clean.push_str(rest);
    clean
}

/// The first thing to take out: what stands before it, it, and what follows.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let found = [
        jwt(text),
        credentials(text, "Bearer "),
        credentials(text, "Basic "),
        user_info(text),
    ];
    let (begin, end) = found.into_iter().flatten().min_by_key(|(begin, _)| *begin)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

/// Three parts in base64url, the first of which begins with `{"` (RFC 7519).
fn jwt(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("eyJ") {
        let begin = from + at;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        let token = text[begin..]
            .find(|c| !is_part(c))
            .map_or(&text[begin..], |len| &text[begin..begin + len]);
        if token.matches('.').count() >= 2 {
            return Some((begin, begin + token.len()));
        }
        from = begin + 3;
    }
    None
}

/// What follows the name of a scheme (RFC 9110, section 11.4).
fn credentials(text: &str, scheme: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = find_ignoring_case(&text[from..], scheme) {
        let begin = from + at + scheme.len();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let length = text[begin..].find(|c| !is_part(c)).unwrap_or(text.len() - begin);
        // A word of prose is shorter.
        if length >= SHORTEST {
            return Some((begin, begin + length));
        }
        from = begin;
    }
    None
}

fn find_ignoring_case(text: &str, what: &str) -> Option<usize> {
    let (text, what) = (text.as_bytes(), what.as_bytes());
    text.windows(what.len())
        .position(|window| window.eq_ignore_ascii_case(what))
}

/// `user:password@` of an address (RFC 3986, section 3.2.1).
fn user_info(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let begin = from + at + 3;
        let authority = text[begin..]
            .find(|c: char| c.is_whitespace() || "/?#\"'".contains(c))
            .map_or(&text[begin..], |len| &text[begin..begin + len]);
        if let Some((user, _)) = authority.rsplit_once('@')
            && user.contains(':')
        {
            return Some((begin, begin + user.len()));
        }
        from = begin;
    }
    None
}

const OUT: &str = "(left out)";
/// The mesh's own, of which none holds a key.
const OWN_CONFIG: [&str; 3] = ["istio", "istio-cni-config", "istio-ca-root-cert"];
const SECRETS: [&str; 8] = [
    "authorization",
    "apikey",
    "cookie",
    "credential",
    "password",
    "privatekey",
    "secret",
    "token",
];
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests;
