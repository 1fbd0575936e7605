//! A derived value, what it was made of, and what is to be said about it.

use std::fmt;

use controlplane_k8s_api::ObjectKey;

use crate::status::Stated;

/// What an object became.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived<T> {
    /// The value; absent when the object becomes nothing, which a condition then explains.
    pub value: Option<T>,
    /// The object that it was made of.
    pub provenance: ObjectKey,
    /// What its author should know.
    pub conditions: Vec<Condition>,
    /// What its status says.
    pub(crate) status: Vec<Stated>,
}

/// Something that the author of an object should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What happened, for programs.
    pub reason: ConditionReason,
    /// The field, where it is about one.
    pub field: Option<String>,
    /// What happened, for people.
    pub message: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionReason {
    /// The object is valid, and means nothing to a node proxy.
    NotForNodeProxy,
    /// The Pod has no address yet.
    NoAddress,
    /// Another Pod has the address now.
    AddressTaken,
    /// A value is malformed.
    Invalid,
    /// Another object has the host.
    HostTaken,
    /// A named target port is unknown on this workload.
    UnknownTargetPort,
    /// The value is none that is known.
    UnknownValue,
    /// A node proxy cannot do this.
    Unsupported,
    /// The waypoint that is asked for cannot be used.
    WaypointUnusable,
    /// It bears the labels of a gateway's proxies, and does not run as they do.
    ForeignAccount,
    /// A route is attached to nothing by one of its references.
    NotAttached,
    /// A route refers to something that does not exist or may not be used.
    ReferenceUnresolved,
    /// A part of a route counts for nothing.
    PartLeftOut,
    /// A listener of a Gateway is not served.
    NotServed,
    /// A rule of an ALLOW policy was left out, so less is allowed than written.
    RuleDropped,
    /// A part of a rule of a DENY policy was left out, so more is denied than written.
    RuleBroadened,
    /// A rule of a DENY policy denies nothing at a node proxy.
    RuleWithoutEffect,
    /// Another object counts instead.
    Conflicted,
}

impl<T> Derived<T> {
    /// A value that there is nothing to say about.
    pub(crate) fn of(provenance: ObjectKey, value: T) -> Self {
        Self {
            value: Some(value),
            provenance,
            conditions: Vec::new(),
            status: Vec::new(),
        }
    }

    /// What is made of the value, with all that is said about it.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Derived<U> {
        Derived {
            value: self.value.map(make),
            provenance: self.provenance,
            conditions: self.conditions,
            status: self.status,
        }
    }

    /// No value, and why.
    pub(crate) fn nothing(provenance: ObjectKey, condition: Condition) -> Self {
        Self {
            value: None,
            provenance,
            conditions: vec![condition],
            status: Vec::new(),
        }
    }
}

impl Condition {
    /// A condition of the whole object.
    pub(crate) fn new(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            field: None,
            message: message.into(),
        }
    }

    /// A condition of one field.
    pub(crate) fn at(reason: ConditionReason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason,
            field: Some(field.into()),
            message: message.into(),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
