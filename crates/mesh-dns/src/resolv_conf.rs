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
                let last = last.as_ref().map(|(_, servers)| servers);
                let servers = self.0.read_again(last);
                *read = Some((now, servers.clone()));
                servers
            }
        }
    }
}

impl Inner {
    /// What is wrong is said once, not at each reading.
    fn read_again(&self, last: Option<&Arc<[SocketAddr]>>) -> Arc<[SocketAddr]> {
        let path = self.path.display();
        match (fs::read_to_string(&self.path), last) {
            (Ok(text), last) => {
                let servers = parse(&text);
                if servers.is_empty() && last.is_none_or(|last| !last.is_empty()) {
                    tracing::warn!(%path, "no DNS server is named that every namespace reaches; loopback addresses do not count");
                }
                servers.into()
            }
            (Err(_), Some(last)) => last.clone(),
            (Err(error), None) => {
                tracing::warn!(%path, %error, "no DNS server is known");
                Arc::from([])
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
