//! What several kinds write in the same way: patterns with a `*` at one end, header names, shares, addresses.

use controlplane_k8s_api::validate::{expressions, http, names};
use ipnet::IpNet;
use mesh_model::l7::{Pattern, TextMatch};
use mesh_types::Strng;

/// `*` is any text that is there, `*x` and `x*` an end and a beginning; a `*` elsewhere is itself.
pub(super) fn starred(value: &str) -> Result<TextMatch, String> {
    if value.is_empty() {
        return Err("is empty: it would match nothing".to_owned());
    }
    Ok(match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => TextMatch::Present,
        (Some(end), _) => TextMatch::Suffix(end.into()),
        (None, Some(beginning)) => TextMatch::Prefix(beginning.into()),
        (None, None) => TextMatch::Exact(value.into()),
    })
}

/// A regular expression, as proxies compile it.
pub(super) fn regex(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|e| e.to_string())
}

/// The name of a header, in lower case as HTTP/2 has it.
pub(super) fn header(name: &str) -> Result<Strng, String> {
    http::header_name(name)?;
    Ok(name.to_ascii_lowercase().into())
}

/// The name of a header that may be changed.
pub(super) fn changeable_header(name: &str) -> Result<Strng, String> {
    http::changeable_header(name)?;
    Ok(name.to_ascii_lowercase().into())
}

/// A text that says something.
pub(super) fn some(value: &str) -> Result<Strng, String> {
    match value {
        "" => Err("is empty".to_owned()),
        value => Ok(value.into()),
    }
}

/// A port, as text.
pub(super) fn port(value: &str) -> Result<u16, String> {
    names::port(value)
}

/// An address or a range; IPv4 ones in the clothes of IPv6 are IPv4 ones.
pub(super) fn block(value: &str) -> Result<IpNet, String> {
    let range = names::ip_block(value)?;
    let IpNet::V6(v6) = range else {
        return Ok(range);
    };
    let plain = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let plain = plain.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
    Ok(plain.unwrap_or(range))
}

/// `request.auth.claims[a][b]`, `a.b`: the way to a claim.
pub(super) fn claim(value: &str) -> Result<Vec<Strng>, String> {
    let names: Vec<Strng> = value.split('.').map(Strng::from).collect();
    match names.iter().any(|name| name.is_empty()) {
        true => Err(format!("{value:?} names no claim")),
        false => Ok(names),
    }
}

/// An expression that is true or false when a request begins.
pub(super) fn condition(text: &Strng) -> Result<Strng, String> {
    expressions::condition(text).map(|()| text.clone())
}

/// An expression that gives a text when a request begins.
pub(super) fn key(text: &Strng) -> Result<Strng, String> {
    expressions::key(text).map(|()| text.clone())
}

/// A whole number of something that is written with a fraction: `percent(12.5, 100.0)` is 1250 hundredths.
pub(super) fn scaled(value: f64, parts: f64, most: u32) -> u32 {
    let scaled = (value * parts).round().clamp(0.0, f64::from(most));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a u32; what is no number becomes 0"
    )]
    let scaled = scaled as u32;
    scaled
}

#[cfg(test)]
mod tests;
