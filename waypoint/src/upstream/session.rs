//! What keeps a client at one endpoint: a name for it in a cookie or header (Gateway API, GEP-1619; SessionPolicy), and
//! the key that is hashed where equal keys are kept together. Pure.
//!
//! A session names its endpoint by a hash of what it is known by: the same on all workers and gateways, and nothing about
//! the network's inside. It is not signed: whoever forges one chooses among the endpoints that anybody may be sent to.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use mesh_balance::ring;
use mesh_model::l7::session::{Session, SessionCarrier};
use mesh_model::l7::traffic::HashKey;

/// What a client brought along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The endpoint.
    pub(crate) name: u64,
    /// When it began, in seconds since 1970; 0 where nothing depends on it.
    began: u64,
    /// Which of a rule's destinations it is an endpoint of; absent where there is only one.
    pub(crate) share: Option<u16>,
}

/// What sessions call one of a rule's destinations.
pub(crate) fn share(destination: &str) -> u16 {
    let [.., high, low] = ring::hash(destination.as_bytes()).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Seconds since 1970: sessions are the same on all gateways.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What sessions call an endpoint.
pub(crate) fn name(key: &str) -> u64 {
    ring::hash(key.as_bytes())
}

/// The session of a request, if it has one that still holds.
pub(crate) fn held(session: &Session, headers: &HeaderMap, now: u64) -> Option<Held> {
    let text = match session.carrier {
        SessionCarrier::Cookie { .. } => cookie(headers, &session.name)?,
        SessionCarrier::Header => headers.get(session.name.as_str())?.to_str().ok()?,
    };
    let mut parts = text.split('-');
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let name = number()?;
    let (began, used, share) = (number(), number(), number());
    let is_over = |limit: Option<Duration>, since: Option<u64>| {
        limit.is_some_and(|limit| since.is_none_or(|since| now.saturating_sub(since) > limit.as_secs()))
    };
    if is_over(session.absolute_timeout, began) || is_over(session.idle_timeout, used) {
        return None;
    }
    Some(Held {
        name,
        began: began.unwrap_or(now),
        share: share.and_then(|share| share.try_into().ok()),
    })
}

/// What an answer from an endpoint tells its client; nothing where the client knows it already.
pub(crate) fn told(
    session: &Session,
    held: Option<Held>,
    endpoint: &str,
    share: Option<u16>,
    now: u64,
) -> Option<(HeaderName, HeaderValue)> {
    let name = name(endpoint);
    let stays = held.filter(|held| held.name == name && held.share == share);
    if stays.is_some() && session.idle_timeout.is_none() {
        return None;
    }
    let began = stays.map_or(now, |held| held.began);
    let timed = session.absolute_timeout.is_some() || session.idle_timeout.is_some();
    let times = if timed {
        format!("-{began:x}-{now:x}")
    } else {
        String::new()
    };
    let value = match share {
        Some(share) if timed => format!("{name:016x}{times}-{share:04x}"),
        Some(share) => format!("{name:016x}---{share:04x}"),
        None => format!("{name:016x}{times}"),
    };
    match session.carrier {
        SessionCarrier::Header => {
            let carrier = HeaderName::from_bytes(session.name.as_bytes()).ok()?;
            Some((carrier, HeaderValue::from_str(&value).ok()?))
        }
        SessionCarrier::Cookie { permanent } => {
            let mut cookie = format!("{}={value}; Path=/; HttpOnly", session.name);
            if let (true, Some(limit)) = (permanent, session.absolute_timeout) {
                let left = limit.as_secs().saturating_sub(now.saturating_sub(began));
                cookie.push_str(&format!("; Max-Age={left}"));
            }
            Some((header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?))
        }
    }
}

/// What of a request is hashed.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    pub(crate) source: IpAddr,
}

/// The hash of a request's key; nothing where it has none. A cookie that is to be made comes with it (`random` is its
/// value).
pub(crate) fn hash(key: &HashKey, asked: &Asked<'_>, random: u64) -> (Option<u64>, Option<HeaderValue>) {
    let found = |bytes: &[u8]| Some(ring::hash(bytes));
    match key {
        HashKey::Header(name) => {
            let value = asked.headers.get(name.as_str());
            (value.and_then(|value| found(value.as_bytes())), None)
        }
        HashKey::SourceIp => match asked.source.to_canonical() {
            IpAddr::V4(ip) => (found(&ip.octets()), None),
            IpAddr::V6(ip) => (found(&ip.octets()), None),
        },
        HashKey::Query(name) => {
            let mut pairs = asked.uri.query().unwrap_or_default().split('&');
            let value = pairs.find_map(|pair| pair.strip_prefix(name.as_str())?.strip_prefix('='));
            (value.and_then(|value| found(value.as_bytes())), None)
        }
        HashKey::Cookie {
            name,
            path,
            ttl,
            attributes,
        } => {
            if let Some(value) = cookie(asked.headers, name) {
                return (found(value.as_bytes()), None);
            }
            let Some(ttl) = ttl else { return (None, None) };
            let value = format!("{random:016x}");
            let mut made = format!("{name}={value}; HttpOnly");
            if !ttl.is_zero() {
                made.push_str(&format!("; Max-Age={}", ttl.as_secs()));
            }
            if let Some(path) = path {
                made.push_str(&format!("; Path={path}"));
            }
            for (name, value) in attributes {
                match value.is_empty() {
                    true => made.push_str(&format!("; {name}")),
                    false => made.push_str(&format!("; {name}={value}")),
                }
            }
            (found(value.as_bytes()), HeaderValue::from_str(&made).ok())
        }
    }
}

/// A cookie's value (RFC 6265, section 5.4).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

#[cfg(test)]
mod tests;
