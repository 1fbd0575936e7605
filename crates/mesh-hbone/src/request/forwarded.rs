//! The `forwarded` header as the mesh uses it: who called, and which service they meant (RFC 7239, section 4).

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::HeaderValue;
use mesh_types::Strng;

/// Who called, as the near end saw it. A claim, for telemetry only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forwarded {
    /// The caller's address; port 0 when the header does not say.
    pub for_: SocketAddr,
    /// The service that the caller addressed, when there was one.
    pub host: Option<Strng>,
}

impl Forwarded {
    /// Reads the first element; nothing when it names no caller.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let element = text.split(',').next().unwrap_or_default();
        let (mut caller, mut host) = (None, None);
        for pair in element.split(';') {
            let (name, value) = pair.trim().split_once('=')?;
            let value = unquote(value)?;
            if name.eq_ignore_ascii_case("for") {
                caller = caller.or_else(|| parse_node(value));
            } else if name.eq_ignore_ascii_case("host") && is_host(value) {
                host.get_or_insert_with(|| Strng::from(value));
            }
        }
        caller.map(|for_| Self { for_, host })
    }

    /// `for="<ip>:<port>"` and, when known, `;host=<service>`.
    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        let caller = SocketAddr::new(self.for_.ip(), self.for_.port());
        let mut text = format!("for=\"{caller}\"");
        if let Some(host) = self.host.as_ref().filter(|h| is_host(h)) {
            write!(text, ";host={host}").expect("writing to a String cannot fail");
        }
        HeaderValue::from_str(&text).ok()
    }
}

fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// RFC 7239, section 6; obfuscated identifiers and `unknown` name nobody.
fn parse_node(node: &str) -> Option<SocketAddr> {
    if let Ok(addr) = node.parse::<SocketAddr>() {
        return Some(SocketAddr::new(addr.ip(), addr.port()));
    }
    let bare = node.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?),
        None => node.parse().ok()?,
    };
    Some(SocketAddr::new(ip, 0))
}

fn is_host(host: &str) -> bool {
    (1..=MAX_HOST).contains(&host.len())
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*' | b':' | b'[' | b']'))
}

const MAX_LENGTH: usize = 1024;
/// A DNS name, a colon and a port.
const MAX_HOST: usize = 253 + 6;
