//! When a proxy takes a pod's connections from the one that it succeeds.
//!
//! Both share the pod's ports while a rollout goes on, and the kernel gives each about half of the new connections: with a
//! successor that has no configuration or no certificate yet, half of them would wait for the control plane, which in an
//! upgrade is just being replaced as well. So a successor opens its listeners when it can serve. The one before it stays
//! meanwhile, since the node is not ready.

use std::time::Duration;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Another proxy listens in the pod.
    pub predecessor: bool,
    /// The configuration is complete.
    pub synced: bool,
    /// The pod's certificate is here; also where the configuration does not have the pod, which then needs none.
    pub certificate: bool,
    /// How long ago the certificate was asked for.
    pub asked_for: Duration,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This proxy's: it opens its listeners.
    Own,
    /// Still the other one's.
    Predecessors,
}

/// Decides.
#[must_use]
pub fn turn(means: Means) -> Turn {
    let Means {
        predecessor,
        synced,
        certificate,
        asked_for,
    } = means;
    // Nobody else: whoever connects waits in the queue of a listener for a while rather than being refused.
    if !predecessor || synced && (certificate || asked_for >= PATIENCE) {
        Turn::Own
    } else {
        Turn::Predecessors
    }
}

/// An identity that the authority refuses is one pod's problem, and must not hold up the node's rollout for ever.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
