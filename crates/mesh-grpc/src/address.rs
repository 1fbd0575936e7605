//! The address of a control plane as people write it: `https://host:port` or `host:port`
//! (`XDS_ADDRESS` and `CA_ADDRESS` of upstream's ztunnel).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Where a gRPC server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS; what an address without a scheme means.
    Https,
    /// Plaintext; only to this machine, because requests carry a token.
    Http,
}

/// Why a string is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Neither `https`, `http` nor none.
    #[error("address {0:?} has a scheme other than https")]
    Scheme(String),
    /// Not `<host>:<port>`.
    #[error("address {0:?} is not of the form https://<host>:<port> or <host>:<port>")]
    Form(String),
    /// A token would be sent in the clear.
    #[error("address {0:?} is plaintext, which is accepted only for localhost: requests carry a token")]
    Plaintext(String),
}

impl Address {
    /// Whether the connection is encrypted.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = match s.split_once("://") {
            None => (Scheme::Https, s),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) => return Err(InvalidAddress::Scheme(s.to_owned())),
        };
        let form = || InvalidAddress::Form(s.to_owned());
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(form)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| form())?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return Err(form()),
        };
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|p| digits && *p != 0);
        let address = Self {
            scheme,
            host,
            port: port.ok_or_else(form)?,
        };
        if scheme == Scheme::Http && !address.is_loopback() {
            return Err(InvalidAddress::Plaintext(s.to_owned()));
        }
        Ok(address)
    }
}

fn is_host(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
