//! The node's own rules: in place while the mesh is on the node, and never again once it has left.
//!
//! An audit or a last change may be on its way when the mesh leaves; put in place after the removal, the rules would stay
//! for good, with nobody there to take them away. So both take turns, and who comes after the removal does nothing.

use cni_rules::audit::Finding;
use cni_rules::plan::HostOptions;
use mesh_net::Netns;
use tokio::sync::Mutex;

use super::{Kernel, KernelError, Memory};

/// The rules of one node. Its namespace is held as long as this is.
#[derive(Debug)]
pub struct NodeRules {
    kernel: Kernel,
    netns: Netns,
    presence: Mutex<Presence>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Here,
    Left,
}

impl NodeRules {
    /// The rules of the node whose own namespace this is.
    #[must_use]
    pub fn new(kernel: Kernel, netns: Netns) -> Self {
        Self {
            kernel,
            netns,
            presence: Mutex::new(Presence::Here),
        }
    }

    /// Makes the rules be these; returns what was not so before, where they were looked at. Does nothing once the mesh has left.
    ///
    /// # Errors
    /// Fails when they cannot be set.
    pub async fn ensure(&self, options: &HostOptions, memory: Memory) -> Result<Vec<Finding>, KernelError> {
        let presence = self.presence.lock().await;
        match *presence {
            Presence::Here => self.kernel.ensure_host(&self.netns, options, memory).await,
            Presence::Left => Ok(Vec::new()),
        }
    }

    /// Removes every rule of ours from the node, for good.
    ///
    /// # Errors
    /// Fails when something cannot be removed.
    pub async fn leave(&self) -> Result<(), KernelError> {
        let mut presence = self.presence.lock().await;
        *presence = Presence::Left;
        self.kernel.clear_host(&self.netns).await
    }
}
