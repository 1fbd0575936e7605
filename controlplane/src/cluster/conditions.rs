//! The status that an object is to have: our own conditions as they are now, everybody else's as they were. Pure.
//!
//! Lists of conditions are ours only in part: others write into them too. Ours are those of the types that this control
//! plane knows; what it said earlier and does not say now is taken away. Times of transition are kept where nothing changed,
//! so that what has not changed is not written.

use controlplane_index::status::{ConditionType, ParentStatus, StatusCondition, StatusReason};
use serde_json::{Map, Value, json};

use crate::delivery::Count;

/// The `status` that `object` is to have, given what we say of it now.
#[must_use]
pub fn merged(
    object: &Value,
    ours: &[StatusCondition],
    observed_generation: Option<i64>,
    at: At<'_>,
) -> Value {
    let mut status = match object.get("status") {
        Some(Value::Object(status)) => status.clone(),
        _ => Map::new(),
    };
    let said = Said {
        conditions: ours,
        observed_generation,
    };
    let after = list(status.get("conditions"), said, is_ours, at);
    if after.is_empty() {
        status.remove("conditions");
    } else {
        status.insert("conditions".to_owned(), Value::Array(after));
    }
    Value::Object(status)
}

/// When it is said, and what is known then.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// RFC 3339.
    pub now: &'a str,
    /// While nobody counted how far an object came, what its status says of it stays.
    pub count: Count,
}

/// What we say now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) conditions: &'a [StatusCondition],
    pub(super) observed_generation: Option<i64>,
}

/// A list of conditions as it is to be: of types that are ours and that are not said any more, nothing is left.
pub(super) fn list(
    before: Option<&Value>,
    now_said: Said<'_>,
    is_ours: impl Fn(&str) -> bool,
    at: At<'_>,
) -> Vec<Value> {
    let Said {
        conditions: ours,
        observed_generation,
    } = now_said;
    let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut after: Vec<Value> = Vec::with_capacity(before.len() + ours.len());
    for condition in before {
        let kind = condition["type"].as_str().unwrap_or_default();
        match ours.iter().find(|ours| ours.kind.as_str() == kind) {
            Some(ours) => after.push(said(ours, Some(condition), observed_generation, at.now)),
            None if is_ours(kind) && !at.leaves(kind) => {}
            None => after.push(condition.clone()),
        }
    }
    for condition in ours {
        let kind = condition.kind.as_str();
        if !before.iter().any(|before| before["type"] == kind) {
            after.push(said(condition, None, observed_generation, at.now));
        }
    }
    after
}

impl At<'_> {
    /// Whether a condition that is not said now may hold as it stands.
    fn leaves(&self, kind: &str) -> bool {
        self.count == Count::NotYet && kind == ConditionType::Delivered.as_str()
    }
}

/// What is said with respect to several ancestors, as one condition of each type, for statuses that know no ancestors: it
/// holds when it holds for one of them, and says of each what is to be said.
#[must_use]
pub fn flattened(parents: &[ParentStatus]) -> Vec<StatusCondition> {
    let mut kinds: Vec<ConditionType> = Vec::new();
    for condition in parents.iter().flat_map(|parent| &parent.conditions) {
        if !kinds.contains(&condition.kind) {
            kinds.push(condition.kind);
        }
    }
    kinds.into_iter().map(|kind| flat(parents, kind)).collect()
}

fn flat(parents: &[ParentStatus], kind: ConditionType) -> StatusCondition {
    let of_parent = |parent: &'_ ParentStatus| {
        let mut conditions = parent.conditions.iter();
        let condition = conditions.find(|condition| condition.kind == kind)?.clone();
        Some((
            format!("{} {}", parent.parent.kind, parent.parent.name),
            condition,
        ))
    };
    let all: Vec<(String, StatusCondition)> = parents.iter().filter_map(of_parent).collect();
    let holding = all.iter().filter(|(_, condition)| condition.holds).count();
    let same = |condition: &StatusCondition| all.iter().all(|(_, other)| other.reason == condition.reason);
    let reason = match all.first() {
        Some((_, first)) if same(first) => first.reason,
        _ if holding == 0 => StatusReason::Invalid,
        _ => StatusReason::PartiallyInvalid,
    };
    let lines = all
        .iter()
        .map(|(name, condition)| format!("{name}: {}", condition.message));
    let message = match all.as_slice() {
        [(_, only)] => only.message.clone(),
        _ => lines.collect::<Vec<_>>().join("; "),
    };
    StatusCondition::new(kind, holding > 0, reason, message)
}

fn said(condition: &StatusCondition, before: Option<&Value>, generation: Option<i64>, now: &str) -> Value {
    let holds = if condition.holds { "True" } else { "False" };
    let lasts = before.filter(|before| before["status"] == holds);
    let since = lasts.and_then(|before| before["lastTransitionTime"].as_str());
    let mut said = json!({
        "type": condition.kind.as_str(),
        "status": holds,
        "reason": condition.reason.as_str(),
        "message": condition.message,
        "lastTransitionTime": since.unwrap_or(now),
    });
    if let Some(generation) = condition.generation.or(generation) {
        said["observedGeneration"] = json!(generation);
    }
    said
}

/// Whether a type of condition is one that nobody else writes on the objects that we write on.
pub(crate) fn is_ours(kind: &str) -> bool {
    OURS.iter().any(|ours| ours.as_str() == kind)
}

/// Gateway API's own types are left out: on a Gateway or a route of another controller they are that one's.
const OURS: [ConditionType; 10] = [
    ConditionType::WaypointBound,
    ConditionType::WaypointMissing,
    ConditionType::VisibilityApplied,
    ConditionType::SettingsUnderstood,
    ConditionType::EndpointsReachable,
    ConditionType::HostsAccepted,
    ConditionType::ZtunnelAccepted,
    ConditionType::WaypointAccepted,
    ConditionType::Delivered,
    ConditionType::Current,
];

#[cfg(test)]
mod tests;
