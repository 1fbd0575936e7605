//! What the agent of a Pod's node reports of it. It counts more than what the Pod's own object says.

use std::net::IpAddr;

use mesh_types::Strng;

/// A running Pod, as its node's agent sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The node that reports it; a report from another node than the Pod's counts for nothing.
    pub node: Strng,
    /// Which instance: Kubernetes' Pod uid, or the sandbox's id where there is none.
    pub uid: Strng,
    /// Its addresses; the first is the one that it is known by.
    pub addresses: Vec<IpAddr>,
    /// Whether its traffic passes the node proxy.
    pub redirection: Redirection,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether the node's lease is running. Without it, the Pod is unhealthy and still there.
    pub live: bool,
}

/// Whether a Pod's traffic passes the node proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirection {
    /// It does not.
    Plain,
    /// Rules or proxy are not ready yet.
    Pending,
    /// It does: `ambient.istio.io/redirection: enabled`.
    Enabled,
}

/// A registration and its place in the order of claims: of two that claim one address, the greater owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) registration: Registration,
    pub(crate) claim: u64,
}

impl Registration {
    /// Whether it speaks of the Pod with this uid on this node. Only uids of the form that Kubernetes gives are compared:
    /// a sandbox's id says nothing about a Pod's uid.
    #[must_use]
    pub fn is_of(&self, node: &str, uid: Option<&str>) -> bool {
        let other_instance = uid.is_some_and(|uid| is_uuid(uid) && is_uuid(&self.uid) && *uid != *self.uid);
        self.node == *node && !other_instance
    }
}

/// RFC 9562, section 4: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(uid: &str) -> bool {
    uid.len() == 36
        && uid.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
