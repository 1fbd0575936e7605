//! What a Gateway's status says of the objects that it becomes, where they are not as it asks. Pure.
//!
//! Whoever makes the objects applies this one condition by himself: who writes the rest of the status may be another replica.

use controlplane_index::status::{ConditionType, StatusCondition, StatusReason};
use mesh_kube::{KubeError, SharedStatus};
use serde_json::{Map, Value, json};

use crate::cluster::conditions::{At, Said, list};
use crate::delivery::Count;

/// Why an object is not as a Gateway asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    reason: StatusReason,
    message: String,
}

impl Trouble {
    /// The API server said this; nothing where that is not about the object, but about the way to it.
    #[must_use]
    pub fn refused(object: &impl std::fmt::Display, error: &KubeError) -> Option<Self> {
        // An object that has a value of a wrong type is answered with 500 where it is applied (`Busy`), not with 422.
        let is_about_it = matches!(
            error,
            KubeError::Refused(_) | KubeError::Busy(_) | KubeError::Forbidden(_) | KubeError::NotFound(_)
        );
        is_about_it.then(|| Self {
            reason: StatusReason::Refused,
            message: format!("{object}: {error}"),
        })
    }

    /// Something else has the object's name.
    #[must_use]
    pub fn name_taken(message: String) -> Self {
        Self {
            reason: StatusReason::NameTaken,
            message,
        }
    }
}

/// The status that a Gateway is to have, and the one condition of it that is applied.
#[must_use]
pub fn status(gateway: &Value, troubles: &[Trouble], now: &str) -> SharedStatus {
    let conditions: Vec<StatusCondition> = condition(troubles).into_iter().collect();
    let said = Said {
        conditions: &conditions,
        observed_generation: gateway["metadata"]["generation"].as_i64(),
    };
    let at = At {
        now,
        count: Count::Done,
    };
    let before = &gateway["status"];
    let is_this = |kind: &str| kind == ConditionType::ObjectsMade.as_str();
    let all = list(before.get("conditions"), said, is_this, at);
    let own = all.iter().filter(|c| c["type"].as_str().is_some_and(is_this));
    let own = json!({"conditions": own.collect::<Vec<_>>()});
    let mut whole = before.as_object().cloned().unwrap_or_else(Map::new);
    if all.is_empty() {
        whole.remove("conditions");
    } else {
        whole.insert("conditions".to_owned(), Value::Array(all));
    }
    SharedStatus {
        whole: Value::Object(whole),
        own,
    }
}

fn condition(troubles: &[Trouble]) -> Option<StatusCondition> {
    let first = troubles.first()?;
    let messages: Vec<&str> = troubles.iter().map(|trouble| trouble.message.as_str()).collect();
    Some(StatusCondition::new(
        ConditionType::ObjectsMade,
        false,
        first.reason,
        messages.join("; "),
    ))
}

#[cfg(test)]
mod tests;
