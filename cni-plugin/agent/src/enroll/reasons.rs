//! What a pod still waits for, in words.

use std::fmt;

use mesh_register::Membership;
use mesh_types::NamespacedName;

use super::pod::Pod;
use super::{Authority, Operation, State};

impl State {
    /// What a pod still waits for, in one line that names who is to blame.
    pub(super) fn why_not(&self, pod: &Pod) -> String {
        let name = &pod.record.pod;
        let wanted = self.wanted.get(name).and_then(|w| w.of(&pod.record));
        let authority = self.control_plane.authority;
        if pod.is_settled(wanted, self.host.done.as_ref()) {
            return "nothing".to_owned();
        }
        if let Some(problem) = pod.problem() {
            return problem.to_owned();
        }
        match wanted {
            None if !self.control_plane.connected => {
                format!("{authority} cannot be reached, so whether pod {name} belongs to the mesh is unknown")
            }
            None if !self.control_plane.told_everything => {
                format!("{authority} has not yet said what belongs on this node, nor whether pod {name} does")
            }
            None => format!(
                "{authority} has not assigned pod {name} to this node{}",
                self.look_at(pod)
            ),
            Some(assignment) => match (pod.doing(), &self.host.problem) {
                (Some(Operation::ProxyAdd(_)), _) => format!("ztunnel has not taken pod {name} yet"),
                (Some(Operation::Report(_)), _) if !self.control_plane.connected => {
                    format!("{authority} cannot be reached, so pod {name} cannot be registered")
                }
                (Some(Operation::Report(_)), _) => {
                    format!("{authority} has not confirmed the registration of pod {name} yet")
                }
                (Some(Operation::Drain(_)), _) => {
                    format!(
                        "pod {name} leaves the mesh when its connections through ztunnel have ended, or their time has"
                    )
                }
                (Some(operation), _) => format!("pod {name} is not ready yet: {operation:?} is under way"),
                (None, Some(problem)) => problem.clone(),
                (None, None) => {
                    let member = assignment.membership == Membership::Member;
                    let what = if member { "in" } else { "outside" };
                    format!("pod {name} is to be {what} the mesh and is on its way")
                }
            },
        }
    }
}

impl State {
    /// The command that shows what the authority has of a pod.
    fn look_at(&self, pod: &Pod) -> String {
        let NamespacedName { namespace, name } = &pod.record.pod;
        match self.control_plane.authority {
            Authority::ApiServer => {
                format!("; what it has of it: kubectl get pod -n {namespace} {name} -o wide")
            }
            Authority::ControlPlane => String::new(),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlPlane => "the control plane",
            Self::ApiServer => "the API server",
        })
    }
}
