//! Whether what the agent put on the host stays when it stops. Pure.
//!
//! An agent that is upgraded, or whose node reboots, comes back: until then starting pods are to wait for it, so the plugin
//! stays. An agent whose DaemonSet is gone does not come back: pods would wait for ever, so everything of it goes. In doubt
//! it stays: pods that wait can be helped, bytes that went out in the clear cannot.

/// What the API server says of the DaemonSet that this agent is a pod of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// It is there.
    Present,
    /// It is there, and being deleted.
    BeingDeleted,
    /// It is not there.
    Gone,
    /// The agent may not ask, and could when it started: its rights were taken away with the rest.
    RightsTakenAway,
    /// The agent's own Pod is gone while it still runs (`kubectl delete --force`, a node that came back), and its token with it:
    /// another one takes its place.
    PodRemoved,
    /// The agent may not ask, and never could.
    NeverAllowed,
    /// Nobody answered.
    Unknown,
}

/// What is known of the Pod that this agent runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnPod {
    /// It is there, though it may be ending.
    There,
    /// It was there, and is gone.
    Gone,
    /// The agent was not told which one it is.
    Unknown,
}

/// What it comes to that the token is not good any more (401), where it was when the agent started: its Pod is gone, or its account.
#[must_use]
pub fn unauthorized(own_pod: OwnPod) -> Owner {
    match own_pod {
        OwnPod::There => Owner::RightsTakenAway,
        OwnPod::Gone => Owner::PodRemoved,
        OwnPod::Unknown => Owner::Unknown,
    }
}

/// What becomes of the plugin, the rules and the state file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// All of it stays: enrolled pods stay in the mesh, starting ones wait.
    Stay,
    /// All of it goes.
    Leave,
}

/// Decides. `always_leave` is upstream's `AMBIENT_DISABLE_SAFE_UPGRADE`.
#[must_use]
pub fn ending(owner: Owner, always_leave: bool) -> Ending {
    match owner {
        _ if always_leave => Ending::Leave,
        Owner::BeingDeleted | Owner::Gone | Owner::RightsTakenAway => Ending::Leave,
        Owner::Present | Owner::PodRemoved | Owner::NeverAllowed | Owner::Unknown => Ending::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_does_not_come_back_is_taken_away() {
        for (owner, expected) in [
            (Owner::Present, Ending::Stay),
            (Owner::BeingDeleted, Ending::Leave),
            (Owner::Gone, Ending::Leave),
            (Owner::RightsTakenAway, Ending::Leave),
            (Owner::PodRemoved, Ending::Stay),
            (Owner::NeverAllowed, Ending::Stay),
            (Owner::Unknown, Ending::Stay),
        ] {
            assert_eq!(ending(owner, false), expected, "{owner:?}");
            assert_eq!(ending(owner, true), Ending::Leave, "{owner:?}");
        }
    }

    #[test]
    fn a_token_that_is_refused_with_its_pod_says_nothing_of_the_daemonset() {
        for (own_pod, expected) in [
            (OwnPod::Gone, Owner::PodRemoved),
            (OwnPod::There, Owner::RightsTakenAway),
            (OwnPod::Unknown, Owner::Unknown),
        ] {
            assert_eq!(unauthorized(own_pod), expected);
        }
    }
}
