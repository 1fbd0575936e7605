//! Which servers the machine asks (resolv.conf(5)).

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::address::canonical;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The servers in a file, which is read again from time to time: it may change under a running process.
#[derive(Clone, Debug)]
pub struct ResolvConf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    read: Mutex<Option<(Instant, Arc<[SocketAddr]>)>>,
}

impl ResolvConf {
    /// Of this file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            path: path.into(),
            read: Mutex::new(None),
        }))
    }

    /// These servers, at whatever ports, for good.
    #[cfg(test)]
    pub(crate) fn fixed(servers: Vec<SocketAddr>) -> Self {
        // As if it had been read just now, and never gets old.
        let read = Mutex::new(Some((Instant::now() + REREAD * 10_000, servers.into())));
        let path = PathBuf::new();
        Self(Arc::new(Inner { path, read }))
    }

    /// The servers, in the order in which they are asked; at most [`MOST_SERVERS`]. A file that cannot be read leaves the
    /// last ones in force.
    #[must_use]
    pub fn servers(&self) -> Arc<[SocketAddr]> {
        let mut read = self.0.read.lock();
        let now = Instant::now();
        match &*read {
            Some((at, servers)) if now.duration_since(*at) < REREAD => servers.clone(),
            last => {
                let servers = match (fs::read_to_string(&self.0.path), last) {
                    (Ok(text), _) => parse(&text).into(),
                    (Err(_), Some((_, servers))) => servers.clone(),
                    (Err(error), None) => {
                        tracing::warn!(path = %self.0.path.display(), %error, "no DNS servers are known");
                        Arc::from([])
                    }
                };
                *read = Some((now, servers.clone()));
                servers
            }
        }
    }
}

/// The servers that a file names. What is no address is passed over, as resolvers do; so are loopback addresses, which
/// mean something else in every network namespace.
#[must_use]
pub fn parse(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let addresses = lines.filter_map(|word| {
        // A scope (`fe80::1%eth0`) means an interface of this namespace.
        let ip: IpAddr = word.parse().ok()?;
        Some(canonical(ip)).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    });
    addresses
        .take(MOST_SERVERS)
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

/// As in the C library (`MAXNS`).
pub const MOST_SERVERS: usize = 3;
const REREAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
