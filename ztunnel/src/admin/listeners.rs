//! Which ports the pods of this node listen on, as their kernels say it (`proc(5)`, `/proc/net/tcp`). A port that a
//! Service names and that is open on the loopback address only is open to nobody: `lateen analyze` says so.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

use crate::workloads::PodTable;

/// A pod, and where it listens.
#[derive(Debug, Serialize)]
pub(super) struct PodListeners {
    name: String,
    namespace: String,
    listeners: Vec<SocketAddr>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every pod that is served.
pub(super) fn dump(pods: &PodTable) -> Vec<PodListeners> {
    let namespaces = pods.namespaces().into_iter();
    let pods = namespaces.map(|(info, netns)| {
        let looked = netns.run(listening).and_then(|found| found);
        let (listeners, error) = match looked {
            Ok(listeners) => (listeners, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        PodListeners {
            name: info.name.to_string(),
            namespace: info.namespace.to_string(),
            listeners,
            error,
        }
    });
    pods.collect()
}

/// Of the namespace that this thread is in.
fn listening() -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for (file, is_needed) in TABLES {
        match head(file) {
            Ok(text) => found.extend(text.lines().filter_map(listener)),
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_needed => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The beginning of a table. Kernels list sockets that listen before all others, which may be many.
fn head(file: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(ENOUGH).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The address of a line, where that is about a socket that listens:
/// `   0: 0100007F:1F90 00000000:0000 0A ...`.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut cells = line.split_ascii_whitespace();
    let _slot = cells.next()?;
    let local = cells.next()?;
    let _remote = cells.next()?;
    if cells.next()? != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(ip(address)?, port))
}

/// Words of 32 bits as this machine reads them, whose bytes in memory are those of the address.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

const TABLES: [(&str, bool); 2] = [
    ("/proc/thread-self/net/tcp", true),
    ("/proc/thread-self/net/tcp6", false),
];
/// `TCP_LISTEN` (include/net/tcp_states.h).
const LISTEN: &str = "0A";
/// Bytes: about 1,700 listeners.
const ENOUGH: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
