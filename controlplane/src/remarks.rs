//! What is to be said of a cluster's objects that are not understood, or not wholly: a condition of its own
//! (`lateen.dev/Current`), beside what follows from what counts of them. Pure.
//!
//! The API server has taken such an object, and whoever wrote it looks at the object, not into a log. Kinds of Gateway API
//! have conditions of their own, and a schema that prunes what it does not know.

use std::collections::HashMap;

use controlplane_index::status::{ConditionType, ObjectStatus, StatusCondition, StatusReason};
use controlplane_k8s_api::{Group, ObjectKey};
use controlplane_kube::{Counts, Remark};

/// Says it in the objects' statuses.
pub fn state(remarks: &[Remark], statuses: &mut Vec<ObjectStatus>) {
    let mut unsaid: HashMap<&ObjectKey, &Remark> = remarks
        .iter()
        .filter(|remark| remark.object.kind.group() != Group::Gateway)
        .map(|remark| (&remark.object, remark))
        .collect();
    for status in statuses.iter_mut() {
        if let Some(remark) = unsaid.remove(&status.object) {
            status.conditions.push(condition(remark));
        }
    }
    // In the order of the remarks, so that the same is said the same way.
    for remark in remarks {
        if unsaid.remove(&remark.object).is_some() {
            let mut status = ObjectStatus::new(remark.object.clone());
            status.conditions.push(condition(remark));
            statuses.push(status);
        }
    }
}

fn condition(remark: &Remark) -> StatusCondition {
    let (holds, reason, counts) = match remark.counts {
        Counts::Rest => (
            true,
            StatusReason::UnknownFields,
            "it is in force but for what is said here",
        ),
        Counts::LastGood => (
            false,
            StatusReason::LastGood,
            "it is not understood; what it said before counts",
        ),
        Counts::Strictest => (
            false,
            StatusReason::Strictest,
            "it is not understood; until it is put right it is taken in its strictest sense",
        ),
        Counts::Nothing => (
            false,
            StatusReason::NeverGood,
            "it is not understood; nothing of it counts",
        ),
    };
    // Whoever reads it knows which object it is of.
    let of_object = format!("{}: ", remark.object.reference());
    let lines = remark
        .lines
        .iter()
        .map(|line| line.strip_prefix(&of_object).unwrap_or(line));
    let message = format!("{counts}: {}", lines.collect::<Vec<_>>().join("; "));
    StatusCondition::new(ConditionType::Current, holds, reason, message)
}

#[cfg(test)]
mod tests;
