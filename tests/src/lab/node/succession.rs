//! What tests of life cycle need of a node: a ztunnel beside its successor, an address given anew, its sockets.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::ip::Namespace;
use crate::process::Process;

use super::super::Lab;
use super::Node;

impl Lab {
    /// Starts the successor of a node's ztunnel beside it, in a namespace of its own, as the next pod of a DaemonSet
    /// has; both write the same log. The predecessor comes back, still running.
    ///
    /// # Errors
    /// Fails when there is no predecessor, or the successor cannot be started or does not get ready.
    pub fn start_successor(&mut self, node: usize) -> Result<Process> {
        let predecessor = self.nodes[node].make_room()?;
        self.start_ztunnel(node)?;
        self.nodes[node].wait_ready()?;
        Ok(predecessor)
    }
}

impl Node {
    /// Makes the next pod of this node get these addresses, as it may happen at any time that an address is given anew.
    ///
    /// # Errors
    /// Fails when the address plugin's notes cannot be written.
    pub fn give_next(&self, addresses: &[IpAddr]) -> Result<()> {
        for address in addresses {
            // host-local looks for a free address after the one that it gave last, a file for each of its ranges.
            let (before, range) = match address {
                IpAddr::V4(ip) => (IpAddr::V4((u32::from(*ip) - 1).into()), 0),
                IpAddr::V6(ip) => (IpAddr::V6((u128::from(*ip) - 1).into()), 1),
            };
            let notes = self.run_dir.join("ipam").join(crate::cni::NETWORK);
            let notes = notes.join(format!("last_reserved_ip.{range}"));
            fs::write(&notes, before.to_string()).with_context(|| notes.display().to_string())?;
        }
        Ok(())
    }

    /// Where the agent listens to the CNI plugin.
    #[must_use]
    pub fn event_socket(&self) -> PathBuf {
        self.plugin_socket()
    }

    /// Where the agent listens to ztunnels.
    #[must_use]
    pub fn ztunnel_socket(&self) -> PathBuf {
        self.zds_socket()
    }

    fn make_room(&mut self) -> Result<Process> {
        let predecessor = self.ztunnel.take().context("the ztunnel was not started")?;
        let name = format!("{}-next", self.ztunnel_namespace);
        self.ztunnel_namespace = Namespace::create(&name)?;
        self.ztunnel_address = self.join_ztunnel()?;
        Ok(predecessor)
    }
}
