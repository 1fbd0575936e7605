//! Whether everybody has heard that a pod has left the mesh. Where an annotation says so nobody answers it, so the node agent
//! asks the control plane, before it removes what carries the pod's mutual TLS. Both ends.
//!
//! # Layout
//! - this file: what is asked and answered (pure). [`wire`]: the same as messages (`lateen/settled.proto`), strict.
//! - [`await_plain`]: for the agent, and for replicas among each other. [`SettledServer`]: for the control plane, over
//!   `trait` [`Settle`].

mod client;
mod server;
pub mod wire;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use mesh_types::NamespacedName;

pub use client::{AskError, await_plain};
pub use server::{Settle, SettledServer};

/// Which pod has left, and how long its agent waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub workload: NamespacedName,
    /// Its addresses: a pod of the same name with others is another one.
    pub addresses: Vec<IpAddr>,
    /// For how long to wait at most, in whole milliseconds; no more than [`MAX_WAIT`] counts.
    pub wait: Duration,
}

/// What one replica of the control plane answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which run of which replica.
    pub instance: String,
    /// How it stands.
    pub standing: Standing,
}

/// How far the news came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Replicas that publish the pod as one of the mesh still.
    pub behind: u32,
    /// Replicas that have not answered.
    pub silent: u32,
    /// Proxies that follow workloads.
    pub proxies: u64,
    /// Of these, those that know the pod as one outside of the mesh.
    pub acknowledged: u64,
    /// Some of the others, `<name>.<namespace>`; at most [`MAX_MISSING`].
    pub missing: Vec<String>,
}

impl Standing {
    /// Of a replica that does not answer.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            silent: 1,
            ..Self::default()
        }
    }

    /// Whether everybody has heard it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.behind == 0 && self.silent == 0 && self.acknowledged >= self.proxies
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.missing.extend(other.missing);
        self.missing.truncate(MAX_MISSING);
        Self {
            behind: self.behind.saturating_add(other.behind),
            silent: self.silent.saturating_add(other.silent),
            proxies: self.proxies.saturating_add(other.proxies),
            acknowledged: self.acknowledged.saturating_add(other.acknowledged),
            missing: self.missing,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} proxies know it", self.acknowledged, self.proxies)?;
        if !self.missing.is_empty() {
            write!(f, ", not {}", self.missing.join(", "))?;
        }
        if self.behind > 0 {
            write!(f, "; replicas that do not know it themselves: {}", self.behind)?;
        }
        if self.silent > 0 {
            write!(f, "; replicas that do not answer: {}", self.silent)?;
        }
        Ok(())
    }
}

/// Nobody is waited for longer.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// How many are named.
pub const MAX_MISSING: usize = 16;

#[cfg(test)]
mod tests;
