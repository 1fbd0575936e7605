//! Hears of changes of a namespace's nftables rules when they happen, whoever makes them: one netlink socket per
//! namespace, in the group `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mesh_net::Netns;
use mesh_net::readable::Readable;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};

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
    let mut message = [0; 256];
    let mut heard = false;
    for _ in 0..MAX_MESSAGES {
        // Cut off: that there is one says it all.
        match recv(socket.as_raw_fd(), &mut message, MsgFlags::MSG_TRUNC) {
            Ok(_) | Err(Errno::ENOBUFS) => heard = true,
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
/// The rest is taken at the next call.
const MAX_MESSAGES: usize = 256;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use mesh_net::process::in_namespaces;

    use super::*;

    fn nft(command: &str) {
        let status = std::process::Command::new("nft").arg(command).status();
        assert!(status.expect("nft").success(), "{command}");
    }

    #[test]
    fn every_change_is_heard_and_nothing_else_is() {
        in_namespaces(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let netns = Netns::current().expect("own namespace");
                nft("add table inet before");
                let watch = RulesWatch::open(&netns).expect("a subscription");
                let mut first = pin!(watch.changed());
                assert!(first.as_mut().now_or_never().is_none(), "that was before");
                nft("list ruleset");
                for change in [
                    "add table inet t",
                    "add chain inet t c",
                    "add rule inet t c accept",
                    "delete table inet before",
                    "flush ruleset",
                ] {
                    nft(change);
                    let heard = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
                    heard.expect(change).expect("the socket works");
                }
                assert!(watch.changed().now_or_never().is_none(), "all was heard");
            });
        });
    }

    #[test]
    fn more_changes_than_anybody_reads_are_heard_too() {
        in_namespaces(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let netns = Netns::current().expect("own namespace");
                let watch = RulesWatch::open(&netns).expect("a subscription");
                let chains: String = (0..500).map(|n| format!("add chain inet t c{n}\n")).collect();
                nft(&format!("add table inet t\n{chains}"));
                watch.changed().await.expect("an overflow is a change");
                while let Some(more) = watch.changed().now_or_never() {
                    more.expect("and no failure");
                }
                nft("flush ruleset");
                watch.changed().await.expect("the next one is heard");
            });
        });
    }
}
