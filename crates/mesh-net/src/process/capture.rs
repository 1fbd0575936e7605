//! Every frame that passes an interface (packet(7)), for proofs about what is on the wire.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// A socket that receives every frame of one interface, both directions, link-layer header included.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    dropped: u64,
}

impl PacketSocket {
    /// Opens it on an interface of the calling thread's namespace; needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// As packet(7).
    pub fn open(interface_index: u32) -> io::Result<Self> {
        // Protocol 0: no frame of another interface gets in before the bind.
        let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec(), Some(Protocol::from(0)))?;
        // A capture that loses frames proves nothing. The privileged option passes the limit; the plain one goes up to it.
        if set_receive_buffer(&socket, libc::SO_RCVBUFFORCE).is_err() {
            set_receive_buffer(&socket, libc::SO_RCVBUF)?;
        }
        socket.bind(&link_address(interface_index))?;
        Ok(Self { socket, dropped: 0 })
    }

    /// How long [`Self::recv`] waits; for ever when absent.
    ///
    /// # Errors
    /// Fails when the time is zero.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// Waits for a frame and returns its length; a longer frame than `buf` is cut.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout passed.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.socket, buf)
    }

    /// Frames that the kernel could not queue since the socket was opened.
    ///
    /// # Errors
    /// Fails only when the socket is broken.
    pub fn dropped(&mut self) -> io::Result<u64> {
        let mut stats = MaybeUninit::<libc::tpacket_stats>::zeroed();
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, which is the size of the value behind the pointer.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                stats.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: plain integers; zeros before the call, the kernel's numbers after it.
        let stats = unsafe { stats.assume_init() };
        // Reading resets the kernel's counter.
        self.dropped += u64::from(stats.tp_drops);
        Ok(self.dropped)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn link_address(interface_index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the address types that a `sockaddr_storage` is made for.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    link.sll_ifindex = interface_index.cast_signed();
    // SAFETY: the storage holds a `sockaddr_ll` with its family set, and the length is that type's.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

fn set_receive_buffer(socket: &Socket, option: libc::c_int) -> io::Result<()> {
    let value = RECEIVE_BUFFER;
    // SAFETY: the option takes an int, which lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

const RECEIVE_BUFFER: libc::c_int = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
