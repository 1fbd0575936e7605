//! Packets and descriptors over Unix sockets (`SOCK_SEQPACKET`, unix(7)): one packet carries at most one descriptor.

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg, socket, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One end of a connection.
#[derive(Debug)]
pub struct SeqPacket {
    fd: AsyncFd<OwnedFd>,
}

/// A listening socket at a path; the path goes when it is dropped.
#[derive(Debug)]
pub struct SeqPacketListener {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
    /// Device and inode of the path, so that a successor's socket is not removed.
    file: (u64, u64),
}

/// A packet that arrived.
#[derive(Debug)]
pub struct Received {
    /// Its length; it stands at the beginning of the buffer.
    pub len: usize,
    /// The descriptor that came with it.
    pub fd: Option<OwnedFd>,
}

/// Who is at the other end, as the kernel saw it when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProcess {
    /// Process id, in this process's pid namespace; 0 when it is not visible here.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

// === impl SeqPacket ===

impl SeqPacket {
    /// Connects to a listener. Does not wait: a listener whose queue is full gives `WouldBlock`.
    ///
    /// # Errors
    /// `NotFound` and `ConnectionRefused` mean that nobody listens there (yet).
    pub fn connect(path: &Path) -> io::Result<Self> {
        let fd = new_socket()?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Self::from_fd(fd)
    }

    /// Two ends that are connected to each other.
    ///
    /// # Errors
    /// Fails when no descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags())?;
        Ok((Self::from_fd(a)?, Self::from_fd(b)?))
    }

    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: register(fd)? })
    }

    /// Sends one packet, with a descriptor (which stays open here too) if given.
    ///
    /// # Errors
    /// `BrokenPipe` when the peer is gone. A packet is sent whole or not at all.
    pub async fn send(&self, packet: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        self.fd
            .async_io(Interest::WRITABLE, |socket| {
                let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
                let iov = [IoSlice::new(packet)];
                let flags = MsgFlags::MSG_NOSIGNAL;
                let control = rights.as_slice();
                sendmsg::<()>(socket.as_raw_fd(), &iov, control, flags, None)?;
                Ok(())
            })
            .await
    }

    /// Waits for one packet; `None` when the peer has closed. An empty packet counts as closed: the two look alike.
    ///
    /// # Errors
    /// `InvalidData` when the packet is longer than `buf`, or carries more than one descriptor; nothing of it is kept.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<Option<Received>> {
        self.fd
            .async_io(Interest::READABLE, |socket| receive(socket.as_fd(), buf))
            .await
    }

    /// The process at the other end.
    ///
    /// # Errors
    /// Fails only when the socket is broken.
    pub fn peer(&self) -> io::Result<PeerProcess> {
        let peer = getsockopt(&self.fd.get_ref(), sockopt::PeerCredentials)?;
        Ok(PeerProcess {
            pid: peer.pid(),
            uid: peer.uid(),
            gid: peer.gid(),
        })
    }
}

impl AsFd for SeqPacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

// === impl SeqPacketListener ===

impl SeqPacketListener {
    /// Listens at `path`, for this user only (0600). The socket appears there ready, in one step, and takes the place of
    /// one that stood there before.
    ///
    /// # Errors
    /// Fails when the directory is missing or not writable, or the path is too long for a socket (107 bytes).
    pub fn bind(path: &Path) -> io::Result<Self> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let fd = new_socket()?;
        bind(fd.as_raw_fd(), &UnixAddr::new(&fresh)?)?;
        let listener = Self::publish(fd, &fresh, path);
        if listener.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        listener
    }

    fn publish(fd: OwnedFd, fresh: &Path, path: &Path) -> io::Result<Self> {
        fs::set_permissions(fresh, Permissions::from_mode(0o600))?;
        listen(&fd, Backlog::new(BACKLOG)?)?;
        let meta = fs::symlink_metadata(fresh)?;
        fs::rename(fresh, path)?;
        Ok(Self {
            fd: register(fd)?,
            path: path.to_owned(),
            file: (meta.dev(), meta.ino()),
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As accept(2); [`crate::accept::AcceptPolicy`] says what to do.
    pub async fn accept(&self) -> io::Result<SeqPacket> {
        let accepted = self
            .fd
            .async_io(Interest::READABLE, |listener| {
                let raw = accept4(listener.as_raw_fd(), flags())?;
                // SAFETY: accept4 has just made this descriptor, and nobody else knows of it.
                Ok(unsafe { OwnedFd::from_raw_fd(raw) })
            })
            .await?;
        SeqPacket::from_fd(accepted)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SeqPacketListener {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Option<Received>> {
    let mut iov = [IoSliceMut::new(buf)];
    // Room for as many descriptors as a packet can bring: what did not fit would be open here with nobody to close it.
    let mut control = nix::cmsg_space!([RawFd; SCM_MAX_FD]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags)?;
    // Owned before anything is judged, so that nothing leaks. A truncated list is refused below.
    let mut fds = Vec::new();
    if let Ok(messages) = message.cmsgs() {
        for message in messages {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel has just put these descriptors into this process for this message alone.
                fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
    }
    let truncated = message
        .flags
        .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    let len = message.bytes;
    if truncated {
        return Err(refused(
            "packet does not fit the buffer, or brings too many descriptors",
        ));
    }
    if fds.len() > 1 {
        return Err(refused("packet brings more than one descriptor"));
    }
    Ok((len > 0).then(|| Received { len, fd: fds.pop() }))
}

fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor for its whole life, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags(), None)?)
}

fn flags() -> SockFlag {
    SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC
}

const BACKLOG: i32 = 128;
/// The kernel's limit for one packet (unix(7)).
const SCM_MAX_FD: usize = 253;

#[cfg(test)]
mod tests;
