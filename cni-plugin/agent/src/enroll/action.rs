//! What is decided: actions, operations, and how they end.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mesh_register::Redirection;

use super::record::{PodKey, Role, Settings};
use super::{Epoch, RequestId};
use crate::search::Sought;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Write [`State::records`] down before anything that follows.
    Persist,
    /// Start this operation on a pod; answer with [`Event::Done`].
    Start(PodKey, Epoch, Operation),
    /// After this time, [`Event::Retry`].
    RetryAfter(PodKey, Epoch, Duration),
    /// Make the node's probe rules hold for exactly these addresses; answer with [`Event::HostDone`].
    SetHost(BTreeSet<IpAddr>),
    /// After this time, [`Event::RetryHost`].
    RetryHostAfter(Duration),
    /// Look for the namespaces of pods that run; answer with [`Event::Searched`].
    Search(Vec<Sought>),
    /// After this time, [`Event::RetrySearch`].
    RetrySearchAfter(Duration),
    /// Answer a request.
    Answer(RequestId, Answer),
    /// A pod is no longer known: let go of its namespace.
    Forget(PodKey),
}

/// One step towards what is wanted of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The namespace is still the pod's, and its rules are these; put right what is not.
    EnsureRules(Settings),
    /// The namespace is still the pod's.
    EnsureNamespace,
    /// Redirect nothing new; what is under way goes on.
    ReleaseRules,
    /// Wait until nothing of the pod passes ztunnel any more, or the time for that is over.
    Drain(Pace),
    /// Have ztunnel let go of it, and remove every rule of ours.
    RemoveRules,
    /// Hand the pod to ztunnel.
    ProxyAdd(Role),
    /// Take it back.
    ProxyDel,
    /// Tell the control plane.
    Report(Redirection),
    /// Tell the control plane that the pod is gone.
    Withdraw,
}

/// How long a pod's connections are given to end when it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As long as is set.
    Usual,
    /// The mesh leaves the node, and whoever stops the agent does not wait for long.
    Leaving,
}

/// Why an operation failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Somebody is away; it is tried again.
    Unavailable(String),
    /// It was refused; whoever waits is told at once. It is tried again all the same, less often.
    Refused(String),
    /// The pod's namespace is not there any more.
    NamespaceGone,
}

impl Failure {
    /// One line for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason) | Self::Refused(reason) => reason,
            Self::NamespaceGone => "the pod's network namespace is gone",
        }
    }
}

/// The answer to the plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Yes.
    Done,
    /// Not now (HTTP 503).
    Unavailable(String),
    /// No (HTTP 500).
    Refused(String),
}
