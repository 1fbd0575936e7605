//! UDP sockets as the proxy needs them: bound for a server, or connected to one peer out of a chosen namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Netns;

/// What a bound socket is like.
#[derive(Clone, Copy, Debug)]
pub struct BindOptions {
    /// Where it is bound; port 0 lets the kernel choose.
    pub addr: SocketAddr,
    /// `SO_MARK`; needs `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
    /// `SO_REUSEPORT`: several sockets of one user share the port, and the kernel shares out the peers.
    pub reuse_port: bool,
}

/// Opens a socket in the calling thread's namespace (for another one: inside [`Netns::run`]). It is non-blocking and
/// belongs to no runtime; an IPv6 address is bound for IPv6 only.
///
/// # Errors
/// Fails when the address is in use or not local, or a right is missing. The error names the step and the address.
pub fn bind(options: &BindOptions) -> io::Result<UdpSocket> {
    let step = |name: &'static str| {
        let addr = options.addr;
        move |e: io::Error| match e.raw_os_error() {
            // Whoever asks for the number must find it.
            Some(_) if name == "bind" || name == "socket" => e,
            _ => io::Error::new(e.kind(), format!("UDP at {addr}: {name}: {e}")),
        }
    };
    let socket = open(options.addr, options.mark).map_err(step("socket"))?;
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(step("SO_REUSEPORT"))?;
    }
    if options.addr.is_ipv6() {
        socket.set_only_v6(true).map_err(step("IPV6_V6ONLY"))?;
    }
    socket.bind(&options.addr.into()).map_err(step("bind"))?;
    Ok(socket.into())
}

/// Opens a socket inside `netns` (when given) that talks to one peer only, from a port that the kernel chose for it alone:
/// who does not see the packets must guess it to be heard. Nothing is sent.
///
/// # Errors
/// Fails when the namespace cannot be entered, there is no way to the peer, no port or descriptor is left, or a right is
/// missing.
pub fn connect(netns: Option<&Netns>, to: SocketAddr, mark: Option<u32>) -> io::Result<UdpSocket> {
    let make = || {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = open(to, mark)?;
        socket.bind(&SocketAddr::new(any, 0).into())?;
        socket.connect(&to.into())?;
        Ok(socket.into())
    };
    match netns {
        None => make(),
        Some(netns) => netns.run(make)?,
    }
}

fn open(addr: SocketAddr, mark: Option<u32>) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::UDP))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests;
