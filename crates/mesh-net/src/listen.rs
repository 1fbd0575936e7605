//! Listening sockets as the proxy needs them.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{Keepalive, sysctl};

/// What a listening socket is like. Accepted sockets inherit mark, keep-alive and `TCP_NODELAY` from it, so that none of
/// them costs a system call for each connection.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Where to listen; port 0 lets the kernel choose.
    pub addr: SocketAddr,
    /// `SO_MARK`; needs `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
    /// `SO_REUSEPORT`: several sockets of one user share the port, such as one per worker, or an old and a new process.
    pub reuse_port: bool,
    /// `IP_TRANSPARENT`: accept connections to addresses that are not local; needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// An IPv6 wildcard does not take IPv4 connections (`IPV6_V6ONLY`). Without it `[::]` serves both families.
    pub v6_only: bool,
    /// Keep-alive of accepted connections.
    pub keepalive: Option<Keepalive>,
    /// Connections that may wait for `accept`; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
}

impl ListenOptions {
    /// A plain listener: no mark, its own port, both families on `[::]`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            mark: None,
            reuse_port: false,
            transparent: false,
            v6_only: false,
            keepalive: None,
            backlog: DEFAULT_BACKLOG,
        }
    }
}

/// Opens a listening socket in the calling thread's namespace (for another one: inside [`crate::Netns::run`]). It is
/// non-blocking and bound to no runtime; each worker makes a `tokio::net::TcpListener` of its own.
///
/// # Errors
/// Fails when the address is in use or not local, or a right is missing. The error names the step and the address.
pub fn listen(options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = bound(options)?;
    start_listening(&socket, options)?;
    Ok(socket.into())
}

/// The same, but nobody is let in yet: see [`HeldListener`].
///
/// # Errors
/// As [`listen`].
pub fn listen_held(options: &ListenOptions) -> io::Result<HeldListener> {
    let socket = bound(options)?;
    let nothing_passes = [SockFilter::new(RETURN, 0, 0, 0)];
    let attached = socket.attach_filter(&nothing_passes);
    attached.map_err(step(options.addr, "SO_ATTACH_FILTER"))?;
    start_listening(&socket, options)?;
    Ok(HeldListener {
        socket,
        options: options.clone(),
    })
}

/// A listener at whose door clients wait: the kernel drops what they send, so that no handshake ends and none of them sends a byte of
/// its application's, and repeats their first packet (after 1 s, 3 s, 7 s: `tcp_syn_retries`) until the door is opened or closed.
/// To accept late is not the same: then the kernel has let them in, and what they said has crossed the wire.
#[derive(Debug)]
pub struct HeldListener {
    socket: Socket,
    options: ListenOptions,
}

impl HeldListener {
    /// Lets clients in, those too who wait already. May be called again, and after [`HeldListener::refuse`].
    ///
    /// # Errors
    /// Fails when the socket is broken.
    pub fn open(&self) -> io::Result<()> {
        match self.socket.detach_filter() {
            // There is none any more.
            Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            detached => detached.map_err(step(self.options.addr, "SO_DETACH_FILTER"))?,
        }
        // What it accepts inherits this, and must not keep a successor from the port.
        self.share(true)?;
        // Does nothing to a socket that listens.
        start_listening(&self.socket, &self.options)
    }

    /// Waits no longer: clients are refused by the kernel, as where nobody listens. A port that was asked for by its number stays
    /// taken.
    ///
    /// # Errors
    /// Fails when the socket is broken.
    pub fn refuse(&self) -> io::Result<()> {
        // Of a listening socket, this undoes `listen` and leaves it bound.
        let stopped = self.socket.shutdown(Shutdown::Both);
        stopped.map_err(step(self.options.addr, "shutdown"))?;
        // A port that nobody listens on is shared with whoever asks, unless one of them forbids it.
        self.share(false)
    }

    /// The open listener.
    ///
    /// # Errors
    /// As [`HeldListener::open`].
    pub fn into_listener(self) -> io::Result<TcpListener> {
        self.open()?;
        Ok(self.socket.into())
    }

    fn share(&self, yes: bool) -> io::Result<()> {
        let set = self.socket.set_reuse_address(yes);
        set.map_err(step(self.options.addr, "SO_REUSEADDR"))
    }
}

fn bound(options: &ListenOptions) -> io::Result<Socket> {
    let step = |name| step(options.addr, name);
    let domain = Domain::for_address(options.addr);
    // As it is: a kernel without IPv6 says so by its number, which callers look for.
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // A restart must not wait for the TIME_WAIT of the connections before it.
    socket.set_reuse_address(true).map_err(step("SO_REUSEADDR"))?;
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(step("SO_REUSEPORT"))?;
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark).map_err(step("SO_MARK"))?;
    }
    if domain == Domain::IPV6 {
        socket.set_only_v6(options.v6_only).map_err(step("IPV6_V6ONLY"))?;
    }
    if options.transparent {
        set_transparent(&socket, domain, options.v6_only).map_err(step("IP_TRANSPARENT"))?;
    }
    if let Some(keepalive) = &options.keepalive {
        keepalive.apply(&socket).map_err(step("SO_KEEPALIVE"))?;
    }
    socket.set_tcp_nodelay(true).map_err(step("TCP_NODELAY"))?;
    socket.bind(&options.addr.into()).map_err(step("bind"))?;
    Ok(socket)
}

fn start_listening(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(step(options.addr, "listen"))
}

fn step(addr: SocketAddr, name: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), format!("listening on {addr}: {name}: {e}"))
}

/// Whether anybody listens on this TCP port, in the calling thread's namespace. Of an IPv4 wildcard address, listeners of
/// both families count. Nothing can connect to the socket that finds out.
///
/// # Errors
/// Fails where the kernel gives no socket, or the address is none of this machine's.
pub fn is_listened_on(addr: SocketAddr) -> io::Result<bool> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM.cloexec(),
        Some(Protocol::TCP),
    )?;
    // What is left of connections does not count, and alone among the users of a port a listener conflicts with it.
    socket.set_reuse_address(true)?;
    match socket.bind(&addr.into()) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(error) => Err(error),
    }
}

/// In the calling thread's namespace: connections that wait in the queue of a listener when it closes pass on to another one
/// that shares its port (`SO_REUSEPORT`), be it a successor's, instead of being reset (`net.ipv4.tcp_migrate_req`, for both
/// families; Linux 5.14). However quickly a listener is emptied before it closes, one more connection may have come.
///
/// # Errors
/// Fails where the kernel is older, or without `CAP_SYS_ADMIN`.
pub fn pass_on_queued() -> io::Result<()> {
    sysctl::write(MIGRATE, "1")
}

/// The option of the socket's family; a dual-stack socket needs both, since it also carries IPv4.
fn set_transparent(socket: &Socket, domain: Domain, v6_only: bool) -> io::Result<()> {
    if domain == Domain::IPV6 {
        socket.set_ip_transparent_v6(true)?;
        if v6_only {
            return Ok(());
        }
    }
    socket.set_ip_transparent_v4(true)
}

/// `BPF_RET | BPF_K`: a filter that lets so many bytes of each packet pass.
const RETURN: u16 = 0x06;
const MIGRATE: &str = "net/ipv4/tcp_migrate_req";
/// Linux's own `net.core.somaxconn` since 5.4.
const DEFAULT_BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests;
