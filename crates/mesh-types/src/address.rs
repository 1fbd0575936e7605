//! Addresses within a network, names within a namespace, and the authority of a CONNECT request.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Strng;

/// An IP address in a network; addresses are unique only within one (`istio.workload.NetworkAddress`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct NetworkAddress {
    /// The network; empty for the default one.
    pub network: Strng,
    /// The address, never an IPv4-mapped IPv6 one.
    pub address: IpAddr,
}

/// A host name as one namespace sees it: the key of a Service in xDS, `<namespace>/<hostname>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespacedHostname {
    /// The namespace that owns the name.
    pub namespace: Strng,
    /// The host name.
    pub hostname: Strng,
}

/// A Kubernetes object's name within its namespace: `<namespace>/<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: Strng,
    /// The name.
    pub name: Strng,
}

/// The key of a workload in xDS, for a Pod `<cluster>//Pod/<namespace>/<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadUid(Strng);

/// The target of a CONNECT request: its `:authority` (RFC 9110, section 9.3.6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Authority {
    /// An address and port.
    Ip(SocketAddr),
    /// A host name and port.
    Host {
        /// The name, lower case, without a trailing dot.
        hostname: Strng,
        /// The port.
        port: u16,
    },
}

/// Why a string is no authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authority {0:?} is not <ip>:<port>, [<ipv6>]:<port> or <host>:<port>")]
pub struct InvalidAuthority(pub String);

/// Why a string is no `<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form <namespace>/<name>")]
pub struct InvalidNamespaced(pub String);

/// An IPv4-mapped IPv6 address as the IPv4 one it means; every other address as it is.
///
/// A dual-stack listener reports IPv4 peers in the mapped form, and look-ups must not miss them.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

// === impl NetworkAddress ===

impl NetworkAddress {
    /// An address in a network.
    #[must_use]
    pub fn new(network: impl Into<Strng>, address: IpAddr) -> Self {
        Self {
            network: network.into(),
            address: canonical(address),
        }
    }
}

impl fmt::Display for NetworkAddress {
    /// The alias that xDS uses: `<network>/<ip>`; the default network gives `/10.0.0.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.address)
    }
}

// === impl NamespacedHostname, NamespacedName ===

macro_rules! namespaced {
    ($name:ident, $field:ident) => {
        impl $name {
            /// A name in a namespace.
            #[must_use]
            pub fn new(namespace: impl Into<Strng>, $field: impl Into<Strng>) -> Self {
                Self {
                    namespace: namespace.into(),
                    $field: $field.into(),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.$field)
            }
        }

        impl FromStr for $name {
            type Err = InvalidNamespaced;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                match s.split_once('/') {
                    // The namespace may be empty: mesh-wide objects have none.
                    Some((namespace, rest)) if !rest.is_empty() && !rest.contains('/') => {
                        Ok(Self::new(namespace, rest))
                    }
                    _ => Err(InvalidNamespaced(s.to_owned())),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

namespaced!(NamespacedHostname, hostname);
namespaced!(NamespacedName, name);

// === impl WorkloadUid ===

impl WorkloadUid {
    /// A uid as it stands on the wire.
    #[must_use]
    pub fn new(uid: impl Into<Strng>) -> Self {
        Self(uid.into())
    }

    /// The uid of a Pod: the empty API group of Pods gives the double slash.
    #[must_use]
    pub fn of_pod(cluster: &str, namespace: &str, name: &str) -> Self {
        Self(Strng::from(format!("{cluster}//Pod/{namespace}/{name}")))
    }

    /// The uid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<WorkloadUid> for Strng {
    fn from(uid: WorkloadUid) -> Self {
        uid.0
    }
}

impl fmt::Display for WorkloadUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Authority ===

impl Authority {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(addr) => addr.port(),
            Self::Host { port, .. } => *port,
        }
    }
}

impl From<SocketAddr> for Authority {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(SocketAddr::new(canonical(addr.ip()), addr.port()))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => fmt::Display::fmt(addr, f),
            Self::Host { hostname, port } => write!(f, "{hostname}:{port}"),
        }
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAuthority(s.to_owned());
        let (host, port) = s.rsplit_once(':').ok_or_else(invalid)?;
        let port = parse_port(port).ok_or_else(invalid)?;
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            let ip: Ipv6Addr = v6.parse().map_err(|_| invalid())?;
            return Ok(Self::from(SocketAddr::new(IpAddr::V6(ip), port)));
        }
        if let Ok(ip) = host.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::from(SocketAddr::new(IpAddr::V4(ip), port)));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if !is_hostname(&host) {
            return Err(invalid());
        }
        Ok(Self::Host {
            hostname: Strng::from(host),
            port,
        })
    }
}

/// Digits only: `+80` and ` 80` are numbers to Rust, but no ports; 0 names nothing that can be dialled.
fn parse_port(s: &str) -> Option<u16> {
    if !s.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse().ok().filter(|p| *p != 0)
}

/// RFC 1123 labels, plus `_` (service names in the wild) and a leading `*.` (wildcard Service hosts). A name whose last
/// label is all digits is refused: it is a mistyped IPv4 address to every resolver.
fn is_hostname(host: &str) -> bool {
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let label_ok = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let last_is_number = labels
        .rsplit('.')
        .next()
        .is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && labels.split('.').all(label_ok) && !last_is_number
}

#[cfg(test)]
mod tests;
