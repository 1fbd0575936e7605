//! The grammars of names, labels and addresses (Kubernetes documentation, "Object Names and IDs" and "Labels and
//! Selectors"; `k8s.io/apimachinery/pkg/util/validation`).

use std::net::IpAddr;

use ipnet::IpNet;

/// RFC 1123 label: what namespaces are called.
///
/// # Errors
/// Says what is wrong with the name.
pub fn label(name: &str) -> Result<(), String> {
    if !is_label(name) {
        return Err(format!(
            "{name:?} is not 1 to 63 lower-case letters, digits and dashes with a letter or digit at both ends"
        ));
    }
    Ok(())
}

/// RFC 1035 label: what Services are called, since their names are host names.
///
/// # Errors
/// Says what is wrong with the name.
pub fn service(name: &str) -> Result<(), String> {
    label(name)?;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} begins with a digit"));
    }
    Ok(())
}

/// RFC 1123 subdomain: what most objects are called.
///
/// # Errors
/// Says what is wrong with the name.
pub fn subdomain(name: &str) -> Result<(), String> {
    let label_ok = |l: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(l.chars().next())
            && ends(l.chars().last())
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err(format!(
            "{name:?} is not lower-case letters, digits, dashes and dots (at most 253), with a letter or digit \
             around every dot and at both ends"
        ));
    }
    Ok(())
}

/// A label's key: an optional DNS prefix and a name.
///
/// # Errors
/// Says what is wrong with the key.
pub fn label_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if let Some(prefix) = prefix {
        subdomain(prefix).map_err(|_| format!("label key {key:?} has a prefix that is no domain name"))?;
    }
    if name.is_empty() || !is_qualified(name) {
        return Err(format!(
            "label key {key:?} is not 1 to 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends"
        ));
    }
    Ok(())
}

/// An annotation's key: as a label's, in any case of letters.
///
/// # Errors
/// Says what is wrong with the key.
pub fn annotation_key(key: &str) -> Result<(), String> {
    label_key(&key.to_ascii_lowercase()).map_err(|_| {
        format!(
            "annotation key {key:?} is not 1 to 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends, \
             behind a domain name and a slash or without"
        )
    })
}

/// A label's value; may be empty.
///
/// # Errors
/// Says what is wrong with the value.
pub fn label_value(value: &str) -> Result<(), String> {
    if !value.is_empty() && !is_qualified(value) {
        return Err(format!(
            "label value {value:?} is not at most 63 letters, digits, `-`, `_` and `.` with a letter or digit at \
             both ends"
        ));
    }
    Ok(())
}

/// A container port's name (RFC 6335, section 5.1): what a `targetPort` may name.
///
/// # Errors
/// Says what is wrong with the name.
pub fn port_name(name: &str) -> Result<(), String> {
    let grammar = (1..=15).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !grammar {
        return Err(format!(
            "{name:?} is neither a port number nor a port's name (at most 15 lower-case letters, digits and single \
             dashes, with a letter)"
        ));
    }
    Ok(())
}

/// A port number as text, 1 to 65535.
///
/// # Errors
/// Says what is wrong with the number.
pub fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port number from 1 to 65535")),
    }
}

/// An IP address.
///
/// # Errors
/// Says that it is none.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

/// An IP address or range, masked: `10.1.2.3/8` is `10.0.0.0/8`.
///
/// # Errors
/// Says that it is none.
pub fn ip_block(text: &str) -> Result<IpNet, String> {
    let parsed = match text.split_once('/') {
        Some(_) => text.parse::<IpNet>().ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    parsed
        .map(|net| net.trunc())
        .ok_or_else(|| format!("{text:?} is neither an IP address nor a range like 10.0.0.0/8"))
}

/// A domain name, in any case of letters; underscores may stand in its labels, as they do in DNS.
///
/// # Errors
/// Says what is wrong with the name.
pub fn domain(name: &str) -> Result<(), String> {
    let name_without_root = name.strip_suffix('.').unwrap_or(name);
    let label_ok = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() > 255 || !name_without_root.split('.').all(label_ok) {
        return Err(format!("{name:?} is no domain name"));
    }
    Ok(())
}

/// A domain name whose first label may be `*`, or begin with it (`*.example.com`, `*-a.example.com`).
///
/// # Errors
/// Says what is wrong with the name.
pub fn wildcard_domain(name: &str) -> Result<(), String> {
    let rest = name.strip_prefix('*').unwrap_or(name);
    let rest = rest
        .strip_prefix(['.', '-'])
        .filter(|_| rest.len() < name.len())
        .unwrap_or(rest);
    if name == "*" {
        return Ok(());
    }
    if rest.contains('*') {
        return Err(format!("{name:?} has a `*` elsewhere than in front"));
    }
    domain(rest).map_err(|_| format!("{name:?} is no domain name"))
}

/// A host of Gateway API: a lower-case domain name, `*.` may stand in front; no IP address.
///
/// # Errors
/// Says what is wrong with the name.
pub fn hostname(name: &str) -> Result<(), String> {
    if ip(name).is_ok() {
        return Err(format!("{name:?} is an IP address, where a host name is needed"));
    }
    subdomain(name.strip_prefix("*.").unwrap_or(name))
        .map_err(|_| format!("{name:?} is no lower-case host name; only `*.` may stand in front"))
}

/// An API group; empty for the core group.
///
/// # Errors
/// Says what is wrong with the name.
pub fn group(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Ok(());
    }
    subdomain(name).map_err(|_| format!("{name:?} is no API group"))
}

/// A kind.
///
/// # Errors
/// Says what is wrong with the name.
pub fn kind(name: &str) -> Result<(), String> {
    let letters = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 63
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !letters {
        return Err(format!("{name:?} is no kind"));
    }
    Ok(())
}

/// A controller's name: `<domain>/<path>`.
///
/// # Errors
/// Says what is wrong with the name.
pub fn controller(name: &str) -> Result<(), String> {
    let parts = name.split_once('/');
    if parts.is_none_or(|(d, p)| subdomain(d).is_err() || p.is_empty() || name.len() > 253) {
        return Err(format!("{name:?} is no controller: <domain>/<path>"));
    }
    Ok(())
}

/// A listener's protocol: one of Gateway API's, `HBONE`, or `<domain>/<name>`.
///
/// # Errors
/// Says what is wrong with it.
pub fn listener_protocol(name: &str) -> Result<(), String> {
    let own = name
        .split_once('/')
        .is_some_and(|(d, p)| subdomain(d).is_ok() && !p.is_empty());
    if own || ["HTTP", "HTTPS", "TLS", "TCP", "UDP", "HBONE"].contains(&name) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is none of HTTP, HTTPS, TLS, TCP, UDP, HBONE, and has no domain of its own"
    ))
}

/// Who sees an object: `*`, `.`, `~` or a namespace.
///
/// # Errors
/// Says what is wrong with it.
pub fn export_to(visible: &str) -> Result<(), String> {
    if matches!(visible, "*" | "." | "~") {
        return Ok(());
    }
    label(visible).map_err(|_| format!("{visible:?} is neither `*`, `.`, `~` nor a namespace"))
}

/// `region/zone/subzone`, the latter two optional.
///
/// # Errors
/// Says what is wrong with it.
pub fn locality(text: &str) -> Result<(), String> {
    let mut parts = text.split('/');
    if parts.clone().count() > 3 || parts.any(|p| p.is_empty() || p.contains('*')) {
        return Err(format!("{text:?} is not region/zone/subzone"));
    }
    Ok(())
}

/// A range of addresses with its length.
///
/// # Errors
/// Says that it is none.
pub fn ip_range(text: &str) -> Result<(), String> {
    let parsed = text.parse::<IpNet>().map(drop);
    parsed.map_err(|_| format!("{text:?} is not a range like 10.244.1.0/24"))
}

fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_qualified(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.chars().next())
        && ends(name.chars().last())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
