//! Hears of changes of a namespace's nftables rules when they happen, whoever makes them: one netlink socket per
//! namespace, in the group `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).
//!
//! Changes of [`zero_window`](super::zero_window)'s table are left out: who follows the other rules of a pod has nothing to do for them.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mesh_types::ports::STRICT_TABLE;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};

use super::wire;
use crate::Netns;
use crate::readable::Readable;

/// A subscription to one namespace, which it keeps alive.
#[derive(Debug)]
pub struct RulesWatch {
    socket: Readable,
}

impl RulesWatch {
    /// Subscribes. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when the kernel does not allow it.
    pub fn open(netns: &Netns) -> io::Result<Self> {
        let socket = netns.run(subscribed)??;
        Ok(Self {
            socket: Readable::new(socket)?,
        })
    }

    /// Returns when rules have changed since the subscription, or since it returned last. Changes of one transaction, and
    /// all that were made before it is called, count as one. May be cancelled without loss.
    ///
    /// # Errors
    /// Fails when the socket does; then there is no more to hear.
    pub async fn changed(&self) -> io::Result<()> {
        self.socket.read(drain).await
    }
}

fn subscribed() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkNetFilter,
    )?;
    // What does not fit is told as an overflow, which says as much: that something has changed.
    setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, NFTABLES_GROUP))?;
    Ok(fd)
}

/// Takes what is there; `WouldBlock` if that is nothing.
fn drain(socket: &OwnedFd) -> io::Result<()> {
    let mut datagram = [0; LONGEST];
    let mut heard = false;
    for _ in 0..MAX_DATAGRAMS {
        match recv(socket.as_raw_fd(), &mut datagram, MsgFlags::MSG_TRUNC) {
            // What is cut off may be of anybody.
            Ok(length) => {
                let all = datagram.get(..length);
                heard |= all.is_none_or(|all| wire::tables(all).any(|table| table != STRICT_TABLE));
            }
            Err(Errno::ENOBUFS) => heard = true,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if heard => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// `NFNLGRP_NFTABLES` is group 7; bit 0 is group 1.
const NFTABLES_GROUP: u32 = 1 << 6;
const RECEIVE_BUFFER: usize = 16 * 1024;
/// `NLMSG_GOODSIZE`, at most; the kernel puts together what fits.
const LONGEST: usize = 8 * 1024;
/// The rest is taken at the next call.
const MAX_DATAGRAMS: usize = 256;

#[cfg(test)]
mod tests;
