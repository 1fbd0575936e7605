//! The control plane's own certificate, signed by the root that clients are given.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::SanType;
use zeroize::Zeroizing;

use crate::issuer::{IssueError, Issuer};
use crate::signing_key::P256Key;

/// A server certificate with its key.
pub struct ServingCertificate {
    /// PEM: the leaf, then the intermediates.
    pub chain: Vec<String>,
    /// PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
    /// When to make the next one: well before this one ends.
    pub renew_at: SystemTime,
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}

/// The names that clients know istiod by (control-plane.md, 3.2), for the namespace that it runs in; and its own name, where
/// that is another one: replicas and proxies of a revision ask for that.
#[must_use]
pub fn default_names(name: &str, namespace: &str) -> Vec<String> {
    let known = ["istiod", "istiod-remote", "istio-pilot"];
    let own = (!known.contains(&name)).then_some(name);
    known
        .into_iter()
        .chain(own)
        .flat_map(|service| {
            [
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}"),
                format!("{service}.{namespace}.svc.cluster.local"),
            ]
        })
        .collect()
}

/// A new key with a certificate for `names`, each a DNS name or an IP address.
///
/// # Errors
/// Fails when a name is neither, or when signing fails.
pub fn make(issuer: &Issuer, names: &[String], now: SystemTime) -> Result<ServingCertificate, IssueError> {
    let key = P256Key::generate().map_err(|e| IssueError::Signing(e.to_string()))?;
    let names = names.iter().map(|n| san(n)).collect::<Result<_, _>>()?;
    let mut issued = issuer.issue_server(names, &key, TTL, now)?;
    issued.chain.pop();
    let life = issued.not_after.duration_since(now).unwrap_or_default();
    Ok(ServingCertificate {
        chain: issued.chain,
        key: key.to_der(),
        renew_at: now + life / 2,
    })
}

fn san(name: &str) -> Result<SanType, IssueError> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_) => name
            .try_into()
            .map(SanType::DnsName)
            .map_err(|e| IssueError::Signing(format!("serving name {name:?}: {e}"))),
    }
}

/// Short enough that a leaked key ends by itself; a new one is made at half of it.
const TTL: Duration = Duration::from_secs(30 * 24 * 3600);
