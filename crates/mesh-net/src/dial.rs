//! Connections to the next hop, out of a chosen namespace and from a chosen source address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_types::{NextHop, SourceAddr};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::{Keepalive, Netns};

/// How a connection is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOptions {
    /// `SO_MARK`; needs `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
    /// The address that the connection comes from, local or not (`IP_TRANSPARENT`; needs `CAP_NET_ADMIN`). Port 0 leaves
    /// the port to the kernel. A connection that cannot have this source fails; it never gets another one.
    pub source: Option<SourceAddr>,
    /// Keep-alive probes; none when absent.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// How long the handshake may take.
    pub connect_timeout: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            mark: None,
            source: None,
            keepalive: Some(Keepalive::default()),
            user_timeout: None,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// Why there is no connection; the variant says whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody answered in time.
    #[error("connecting to {to}: no answer within {} ms", after.as_millis())]
    Timeout {
        /// Who was dialled.
        to: NextHop,
        /// How long it was waited.
        after: Duration,
    },
    /// The other end answered that nothing listens, or reset the handshake.
    #[error("connecting to {to}: refused")]
    Refused {
        /// Who was dialled.
        to: NextHop,
    },
    /// The network says that there is no way there.
    #[error("connecting to {to}: unreachable: {source}")]
    Unreachable {
        /// Who was dialled.
        to: NextHop,
        /// What the kernel said.
        source: io::Error,
    },
    /// This side could not even try: no descriptor or port left, a missing right, a source address that cannot be had.
    #[error("connecting to {to}: {step} failed on this side: {source}")]
    Local {
        /// Who was to be dialled.
        to: NextHop,
        /// What was being done.
        step: DialStep,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What was being done when a dial failed on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialStep {
    /// Entering the namespace.
    Namespace,
    /// Making the socket and setting its options.
    Socket,
    /// Binding the source address.
    Source,
    /// Connecting.
    Connect,
}

/// Connects to `to`. The socket is made inside `netns` (when given) and stays there for its life; waiting needs no
/// particular namespace. Nagle's algorithm is off.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(netns: Option<&Netns>, to: NextHop, options: &DialOptions) -> Result<TcpStream, DialError> {
    let socket = match netns {
        None => open(to, options),
        Some(netns) => match netns.run(|| open(to, options)) {
            Ok(opened) => opened,
            Err(e) => return Err(local(to, DialStep::Namespace)(e)),
        },
    }?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let Ok(connected) = tokio::time::timeout(options.connect_timeout, socket.connect(to.addr())).await else {
        let after = options.connect_timeout;
        return Err(DialError::Timeout { to, after });
    };
    let stream = connected.map_err(|e| classify(to, options, e))?;
    if may_have_met_itself(to, options) && met_itself(&stream) {
        return Err(DialError::Refused { to });
    }
    Ok(stream)
}

// === impl DialError ===

impl DialError {
    /// Whether the fault is ours rather than the destination's or the network's.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local { .. })
    }

    /// Whether the same dial may work a moment later without anybody changing anything here.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Refused { .. } | Self::Unreachable { .. } => true,
            Self::Local { source, .. } => matches!(
                source.raw_os_error(),
                Some(
                    libc::EMFILE
                        | libc::ENFILE
                        | libc::ENOBUFS
                        | libc::ENOMEM
                        | libc::EADDRNOTAVAIL
                        | libc::EAGAIN
                )
            ),
        }
    }
}

// === impl DialStep ===

impl std::fmt::Display for DialStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Namespace => "entering the network namespace",
            Self::Socket => "opening a socket",
            Self::Source => "binding the source address",
            Self::Connect => "connect",
        })
    }
}

/// The synchronous part, which runs inside the namespace.
fn open(to: NextHop, options: &DialOptions) -> Result<Socket, DialError> {
    let domain = Domain::for_address(to.addr());
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::TCP)).map_err(local(to, DialStep::Socket))?;
    configure(&socket, options).map_err(local(to, DialStep::Socket))?;
    if let Some(source) = options.source {
        bind_source(&socket, domain, source.addr()).map_err(local(to, DialStep::Source))?;
    }
    Ok(socket)
}

fn configure(socket: &Socket, options: &DialOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    if let Some(keepalive) = &options.keepalive {
        keepalive.apply(socket)?;
    }
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}

fn bind_source(socket: &Socket, domain: Domain, source: SocketAddr) -> io::Result<()> {
    if domain == Domain::IPV6 {
        socket.set_ip_transparent_v6(true)?;
    } else {
        socket.set_ip_transparent_v4(true)?;
    }
    if source.port() == 0 {
        // Otherwise bind takes a port for itself alone, and 28,000 connections from one client, to wherever, use all up.
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    }
    socket.bind(&source.into())
}

fn local(to: NextHop, step: DialStep) -> impl FnOnce(io::Error) -> DialError {
    move |source| DialError::Local { to, step, source }
}

fn classify(to: NextHop, options: &DialOptions, error: io::Error) -> DialError {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET | libc::ECONNABORTED) => DialError::Refused { to },
        Some(libc::ETIMEDOUT) => DialError::Timeout {
            to,
            after: options.connect_timeout,
        },
        Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => {
            DialError::Unreachable { to, source: error }
        }
        _ => local(to, DialStep::Connect)(error),
    }
}

/// A port that the kernel may also have chosen as the source: dialling one's own address, with nobody listening, can then
/// connect the socket to itself (simultaneous open, RFC 9293, 3.5).
fn may_have_met_itself(to: NextHop, options: &DialOptions) -> bool {
    let source = options.source;
    to.port() >= LOWEST_EPHEMERAL && source.is_none_or(|source| source.ip() == to.ip())
}

fn met_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

/// Upstream's limit for a TCP handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No kernel hands out lower ports by itself, however `net.ipv4.ip_local_port_range` is usually set.
const LOWEST_EPHEMERAL: u16 = 1024;

#[cfg(test)]
mod tests;
