//! nftables, spoken to the kernel itself (linux/netfilter/nf_tables.h), for what has no `nft` beside it or asks too often to start one.
//!
//! - `wire`: messages and attributes of netlink.
//! - [`generation`]: has any rule of a namespace changed?
//! - [`watch`]: when one does.
//! - [`zero_window`]: those who connect to a port of ours may say nothing.

pub mod generation;
pub mod watch;
mod wire;
pub mod zero_window;

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Asks the kernel in the calling thread's namespace; its answer's first datagram.
fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let fd = connect()?;
    send(fd.as_raw_fd(), request, MsgFlags::empty())?;
    receive(&fd)
}

/// Carries a [`wire::Batch`] out, wholly or not at all, in the calling thread's namespace.
fn carry_out(batch: &wire::Batch) -> io::Result<()> {
    let fd = connect()?;
    send(fd.as_raw_fd(), batch.as_bytes(), MsgFlags::empty())?;
    // An error of any message ends all of them, and the last one is acknowledged where there is none.
    loop {
        let answer = receive(&fd)?;
        for (sequence, errno) in wire::acknowledged(&answer) {
            if errno != 0 {
                return Err(Errno::from_raw(errno).into());
            }
            if sequence == batch.last() {
                return Ok(());
            }
        }
    }
}

fn connect() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkNetFilter,
    )?;
    // The kernel answers within the request; a bound in case it does not.
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(1))?;
    Ok(fd)
}

fn receive(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; 4096];
    let len = recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(len);
    Ok(answer)
}
