//! What is to be said of a cluster's objects that are not understood, or not wholly: a condition of its own
//! (`lateen.dev/Current`), beside what follows from what counts of them; of kinds with a status of Gateway API's shape,
//! conditions of that API ([`shaped`]). Pure.
//!
//! The API server has taken such an object, and whoever wrote it looks at the object, not into a log.

mod shaped;

use std::collections::HashMap;

use controlplane_index::status::{ConditionType, ObjectStatus, StatusCondition, StatusReason};
use controlplane_k8s_api::ObjectKey;
use controlplane_kube::{Counts, Remark};

use crate::cluster::gateway_api;
use shaped::Ours;

/// Says it in the objects' statuses.
pub fn state(remarks: &[Remark], statuses: &mut Vec<ObjectStatus>) {
    if remarks.is_empty() {
        return;
    }
    let ours = Ours::of(remarks, statuses);
    let mut unsaid: HashMap<&ObjectKey, &Remark> =
        remarks.iter().map(|remark| (&remark.object, remark)).collect();
    for status in statuses.iter_mut() {
        if let Some(remark) = unsaid.remove(&status.object) {
            say(remark, &ours, status);
        }
    }
    // In the order of the remarks, so that the same is said the same way.
    for remark in remarks {
        if unsaid.remove(&remark.object).is_some() {
            let mut status = ObjectStatus::new(remark.object.clone());
            status.observed_generation = remark.readable.generation;
            status.uid.clone_from(&remark.readable.uid);
            say(remark, &ours, &mut status);
            if !status.conditions.is_empty() || !status.parents.is_empty() {
                statuses.push(status);
            }
        }
    }
}

fn say(remark: &Remark, ours: &Ours, status: &mut ObjectStatus) {
    if gateway_api::is_of_this_shape(remark.object.kind) {
        return shaped::say(remark, ours, status);
    }
    if remark.counts == Counts::Strictest {
        say_what_holds(remark, status);
    }
    status.conditions.push(condition(remark));
}

/// What proxies do instead of what a policy says: it is not enforced as it is written.
fn say_what_holds(remark: &Remark, status: &mut ObjectStatus) {
    let parts = remark.readable.strict.iter().map(ToString::to_string);
    let parts = parts.collect::<Vec<_>>().join("; ");
    let of_parents = status
        .parents
        .iter_mut()
        .flat_map(|parent| &mut parent.conditions);
    for condition in status.conditions.iter_mut().chain(of_parents) {
        let (holds, reason) = match condition.kind {
            ConditionType::ZtunnelAccepted => (false, StatusReason::UnsupportedValue),
            // Waypoints carry out a part of it, which is a reason of its own there.
            ConditionType::WaypointAccepted => (condition.holds, StatusReason::PartiallyInvalid),
            _ => continue,
        };
        let rest = match condition.reason {
            StatusReason::Accepted => "what is left of it is enforced",
            _ => condition.message.as_str(),
        };
        condition.message = format!("{parts} ({}); {rest}", wrong(remark));
        if condition.reason == StatusReason::Accepted {
            condition.reason = reason;
            condition.holds = holds;
        }
    }
}

fn condition(remark: &Remark) -> StatusCondition {
    let (holds, reason) = match remark.counts {
        Counts::Rest => (true, StatusReason::UnknownFields),
        Counts::LastGood => (false, StatusReason::LastGood),
        Counts::Strictest => (false, StatusReason::Strictest),
        Counts::Nothing => (false, StatusReason::NeverGood),
    };
    let condition = StatusCondition::new(ConditionType::Current, holds, reason, message(remark));
    StatusCondition {
        generation: remark.readable.generation,
        ..condition
    }
}

/// What counts of an object, and what is wrong with it.
fn message(remark: &Remark) -> String {
    let counts = match remark.counts {
        Counts::Rest => "it is in force but for what is said here",
        Counts::LastGood => "it is not understood; what it said before counts",
        Counts::Strictest => "it is not understood; until it is put right it is taken in its strictest sense",
        Counts::Nothing => "it is not understood; nothing of it counts",
    };
    format!("{counts}: {}", wrong(remark))
}

/// What is wrong with an object: whoever reads it knows which one.
fn wrong(remark: &Remark) -> String {
    let of_object = format!("{}: ", remark.object.reference());
    let lines = remark
        .lines
        .iter()
        .map(|line| line.strip_prefix(&of_object).unwrap_or(line));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
