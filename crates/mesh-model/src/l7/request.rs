//! What decisions are made about: a request, whose it is, and where it came in. All of it is borrowed; nothing of a
//! body is seen.

mod claims;
mod metadata;
mod query;

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, Method};
use mesh_types::{Identity, Strng};

pub use claims::Claims;
pub use metadata::Metadata;

/// A request's head.
///
/// Whoever makes it has normalised the path by [`super::policy::PathNormalization`] first: what routes see is what
/// policies see.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// What is asked for, with its port if it was given: `:authority`, or Host.
    pub authority: &'a str,
    /// The normalised path, without query and fragment.
    pub path: &'a str,
    /// Behind the question mark, as it was sent.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What those who were asked about it said beside.
    pub metadata: Option<&'a Metadata>,
}

/// Who sent a request or opened a connection.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Who the client's workload proved to be; absent for plaintext.
    pub identity: Option<&'a Identity>,
    /// The peer of the connection (`source.ip`), never an IPv4-mapped IPv6 address.
    pub address: IpAddr,
    /// The client according to X-Forwarded-For and the number of trusted proxies (`remote.ip`); without either the
    /// peer. Never an IPv4-mapped IPv6 address.
    pub remote_address: IpAddr,
    /// The name in its TLS handshake with us (`connection.sni`); a mesh's own tunnels carry none.
    pub server_name: Option<&'a str>,
    /// Labels of its workload, as far as they are known.
    pub labels: &'a [(Strng, Strng)],
}

/// Where a request or connection came in: the service's or workload's address and port, not the proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl<'a> Request<'a> {
    /// The host that is asked for: the authority without its port. An IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &'a str {
        split_authority(self.authority).0
    }

    /// The port in the authority.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        split_authority(self.authority).1
    }

    /// A header's value by its name in lower case; several are joined with a comma (RFC 9110, section 5.2). The
    /// names of HTTP/2's pseudo headers work, and `host` gives the authority.
    ///
    /// Bytes that are no UTF-8 become U+FFFD, so that a value with such bytes equals nothing that somebody wrote.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        match name {
            ":authority" | "host" => return Some(self.authority.into()),
            ":method" => return Some(self.method.as_str().into()),
            ":scheme" => return Some(self.scheme.into()),
            ":path" => return Some(self.path_and_query()),
            _ => {}
        }
        let mut values = self.headers.get_all(name).iter();
        let first = String::from_utf8_lossy(values.next()?.as_bytes());
        Some(values.fold(first, |mut joined, value| {
            joined.to_mut().push(',');
            joined
                .to_mut()
                .push_str(&String::from_utf8_lossy(value.as_bytes()));
            joined
        }))
    }

    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        query::parameters(self.query?)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All query parameters in order, names and values decoded.
    pub fn query_parameters(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.query.into_iter().flat_map(query::parameters)
    }

    /// Path and query as they are sent on.
    #[must_use]
    pub fn path_and_query(&self) -> Cow<'a, str> {
        match self.query {
            Some(query) => format!("{}?{query}", self.path).into(),
            None => self.path.into(),
        }
    }
}

impl Client<'_> {
    /// The namespace of its identity.
    #[must_use]
    pub fn namespace(&self) -> Option<&Strng> {
        self.identity.map(Identity::namespace)
    }
}

/// Host and port. What is behind the last colon and no number belongs to the host.
#[must_use]
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) if port.is_empty() => (host, None),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests;
