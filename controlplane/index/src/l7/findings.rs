//! What is to be said about a route: what it refers to and is not there, and what of it is left out.

use controlplane_k8s_api::FieldPath;

use crate::derived::{Condition, ConditionReason};
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// What was found, in the order of the object.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

#[derive(Debug, PartialEq)]
struct Finding {
    field: FieldPath,
    /// Why a reference leads nowhere; nothing where a part of the object is left out.
    unresolved: Option<StatusReason>,
    message: String,
}

impl Findings {
    /// A reference that leads nowhere, or may not be followed: what would go there is answered with an error.
    pub(crate) fn unresolved(&mut self, field: FieldPath, reason: StatusReason, message: impl Into<String>) {
        self.push(Finding {
            field,
            unresolved: Some(reason),
            message: message.into(),
        });
    }

    /// A part of the object that counts for nothing.
    pub(crate) fn left_out(&mut self, field: FieldPath, message: impl Into<String>) {
        self.push(Finding {
            field,
            unresolved: None,
            message: message.into(),
        });
    }

    /// What was found in another object, at a field of this one.
    pub(crate) fn take_from(&mut self, other: Self, field: &FieldPath, object: &str) {
        for finding in other.0 {
            self.push(Finding {
                field: field.clone(),
                unresolved: finding.unresolved,
                message: format!("{object}: {}: {}", finding.field, finding.message),
            });
        }
    }

    /// Each once: what is read for several ports is wrong on all of them.
    fn push(&mut self, finding: Finding) {
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// For programs.
    pub(crate) fn statuses(&self) -> Vec<StatusCondition> {
        let unresolved = self.0.iter().find_map(|f| Some((f, f.unresolved?)));
        let resolved = match unresolved {
            None => StatusCondition::new(
                ConditionType::ResolvedRefs,
                true,
                StatusReason::ResolvedRefs,
                "everything that it refers to is there",
            ),
            Some((_, reason)) => {
                let all = self.0.iter().filter(|f| f.unresolved.is_some());
                StatusCondition::new(ConditionType::ResolvedRefs, false, reason, sentence(all))
            }
        };
        let mut left_out = self.0.iter().filter(|f| f.unresolved.is_none()).peekable();
        let partially = left_out.peek().is_some().then(|| {
            let message = sentence(left_out);
            StatusCondition::new(
                ConditionType::PartiallyInvalid,
                true,
                StatusReason::UnsupportedValue,
                message,
            )
        });
        std::iter::once(resolved).chain(partially).collect()
    }

    /// For people.
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let condition = |f: &Finding| {
            let reason = match f.unresolved {
                Some(_) => ConditionReason::ReferenceUnresolved,
                None => ConditionReason::PartLeftOut,
            };
            Condition::at(reason, f.field.to_string(), f.message.clone())
        };
        self.0.iter().map(condition).collect()
    }
}

/// The first few, in one line.
fn sentence<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let mut all: Vec<String> = findings.map(|f| format!("{}: {}", f.field, f.message)).collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let mut sentence = all.join("; ");
    if more > 0 {
        sentence += &format!("; and {more} more");
    }
    sentence
}

/// Kubernetes keeps a message short of 32 KiB; nobody reads so many.
const SHOWN: usize = 4;
