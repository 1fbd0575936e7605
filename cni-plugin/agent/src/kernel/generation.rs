//! The generation of a namespace's nftables rules: the kernel counts up at every change of any of them
//! (`NFT_MSG_GETGEN`, linux/netfilter/nf_tables.h).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mesh_net::Netns;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// A generation; equal ones of one namespace mean equal rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation(u32);

impl Generation {
    /// The one after exactly one more transaction; the kernel leaves out 0.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

/// The generation now; `None` where the kernel does not tell, then rules are listed each time.
#[must_use]
pub fn read(netns: &Netns) -> Option<Generation> {
    let answer = netns.run(ask).ok()?.ok()?;
    parse(&answer).map(Generation)
}

fn ask() -> io::Result<Vec<u8>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkNetFilter,
    )?;
    // The kernel answers within the request; a bound in case it does not.
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(1))?;
    send(fd.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut answer = vec![0; 4096];
    let len = recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(len);
    Ok(answer)
}

/// A `nlmsghdr` and a `nfgenmsg`.
fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(20);
    request.extend_from_slice(&20_u32.to_ne_bytes());
    request.extend_from_slice(&GET_GENERATION.to_ne_bytes());
    request.extend_from_slice(&REQUEST.to_ne_bytes());
    // Sequence number, port, family, version, resource: none of them matters here.
    request.extend_from_slice(&[0; 12]);
    request
}

/// Looks for the attribute `NFTA_GEN_ID` in an answer of the right type.
fn parse(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != NEW_GENERATION {
        return None;
    }
    let mut attributes = answer.get(20..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind == GENERATION_ID {
            return Some(u32::from_be_bytes(value.try_into().ok()?));
        }
        // Attributes are aligned to 4 bytes.
        attributes = attributes.get(length.checked_next_multiple_of(4)?..)?;
    }
}

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = 10 << 8 | 16;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN`.
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;

#[cfg(test)]
mod tests {
    use mesh_net::process::in_namespaces;

    use super::*;

    #[test]
    fn every_change_is_a_new_generation_and_nothing_else_is() {
        in_namespaces(|| {
            let netns = Netns::current().expect("own namespace");
            let nft = |command: &str| {
                let status = std::process::Command::new("nft")
                    .arg(command)
                    .status()
                    .expect("nft");
                assert!(status.success(), "{command}");
            };
            let first = read(&netns).expect("the kernel tells");
            assert_eq!(read(&netns), Some(first));
            let mut last = first;
            for change in [
                "add table inet t",
                "add chain inet t c",
                "add rule inet t c accept",
                "add set inet t s { type ipv4_addr; }",
                "add element inet t s { 10.0.0.1 }",
                "flush ruleset",
            ] {
                nft(change);
                let next = read(&netns).expect("the kernel tells");
                assert_ne!(next, last, "{change}");
                last = next;
            }
            nft("list ruleset");
            assert_eq!(read(&netns), Some(last));
            nft("add table inet t; add chain inet t c; add rule inet t c accept");
            assert_eq!(read(&netns), Some(last.next()), "one transaction, one generation");
            assert_eq!(Generation(u32::MAX).next(), Generation(1));
        });
    }

    #[test]
    fn an_answer_that_is_none_is_no_generation() {
        let mut answer = vec![0; 20];
        answer[4..6].copy_from_slice(&NEW_GENERATION.to_ne_bytes());
        for tail in [
            &[][..],
            &[0, 0, 1, 0],
            &[8, 0],
            &[4, 0, 9, 0, 0],
            &[255, 255, 1, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(parse(&[&answer, tail].concat()), None, "{tail:?}");
        }
        let good = [&answer[..], &[5, 0, 2, 0, 7, 0, 0, 0], &[8, 0, 1, 0, 0, 0, 0, 9]].concat();
        assert_eq!(parse(&good), Some(9));
        assert_eq!(parse(&[]), None);
    }
}
