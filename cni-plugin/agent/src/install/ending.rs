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
    /// The agent may not ask (401, 403), and could when it started: its rights were taken away with the rest.
    RightsTakenAway,
    /// The agent may not ask, and never could.
    NeverAllowed,
    /// Nobody answered.
    Unknown,
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
        Owner::Present | Owner::NeverAllowed | Owner::Unknown => Ending::Stay,
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
            (Owner::NeverAllowed, Ending::Stay),
            (Owner::Unknown, Ending::Stay),
        ] {
            assert_eq!(ending(owner, false), expected, "{owner:?}");
            assert_eq!(ending(owner, true), Ending::Leave, "{owner:?}");
        }
    }
}
