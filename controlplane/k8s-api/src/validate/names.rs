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
