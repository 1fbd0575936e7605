//! Where a captured connection wanted to go.

use std::io;
use std::net::SocketAddr;

use mesh_types::{LocalAddr, OrigDst};
use socket2::SockRef;
use tokio::net::TcpStream;

/// The destination that connection tracking remembers from before its redirection (`SO_ORIGINAL_DST`, then
/// `IP6T_SO_ORIGINAL_DST`); the local address when the connection was not redirected.
///
/// # Errors
/// Fails when neither is known, which means that the connection is gone.
pub fn orig_dst(stream: &TcpStream) -> io::Result<OrigDst> {
    match redirected(stream)? {
        Some(dst) => Ok(dst),
        None => Ok(OrigDst::new(local_addr(stream)?.addr())),
    }
}

/// The local end of a connection.
///
/// # Errors
/// Fails when the connection is gone.
pub fn local_addr(stream: &TcpStream) -> io::Result<LocalAddr> {
    Ok(LocalAddr::new(stream.local_addr()?))
}

/// What connection tracking remembers; `None` when the connection was not redirected, or is not tracked at all.
///
/// # Errors
/// Fails when the socket cannot be asked.
pub fn redirected(stream: &TcpStream) -> io::Result<Option<OrigDst>> {
    let local = stream.local_addr()?;
    let socket = SockRef::from(stream);
    // A dual-stack socket carries IPv4 under a mapped address, and conntrack knows it by its IPv4 one.
    let v4 = local.ip().to_canonical().is_ipv4();
    let answer = if v4 {
        socket.original_dst_v4()
    } else {
        socket.original_dst_v6()
    };
    match answer {
        Ok(addr) => Ok(addr.as_socket().filter(is_set).map(OrigDst::new)),
        Err(e) if is_untracked(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_set(addr: &SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified()
}

/// ENOENT: conntrack does not know the connection. ENOPROTOOPT: no conntrack in this kernel or namespace.
fn is_untracked(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
    )
}

#[cfg(test)]
mod tests;
