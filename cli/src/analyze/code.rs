//! What messages are about, and how grave that is.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// How grave a message is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// It will not do what its author meant.
    Error,
    /// It probably does not.
    Warning,
    /// Worth knowing.
    Info,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// Something that is referred to is not there, or may not be used.
    ReferencedResourceNotFound,
    /// The object will be refused, or a part of it.
    SchemaValidationError,
    /// No workload is selected.
    NoMatchingWorkloadsFound,
    /// A part of the object has no effect.
    SchemaWarning,
    /// A policy, or a part of it, does not do what it says.
    IneffectivePolicy,
    /// A condition of the object's status will say that something is wrong.
    NegativeConditionStatus,
    /// The waypoint that is asked for cannot be used.
    WaypointUnusable,
    /// Another object counts instead.
    Conflict,
    /// A Service's target port has a name that no container gives a port.
    UnknownTargetPort,
}

/// A code that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such code; there are {}", Code::ALL.map(Code::id).join(", "))]
pub struct UnknownCode;

impl Code {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::ReferencedResourceNotFound,
        Self::SchemaValidationError,
        Self::NoMatchingWorkloadsFound,
        Self::SchemaWarning,
        Self::IneffectivePolicy,
        Self::NegativeConditionStatus,
        Self::WaypointUnusable,
        Self::Conflict,
        Self::UnknownTargetPort,
    ];

    /// What it is suppressed by.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.about().0
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.about().1
    }

    /// How grave it is.
    #[must_use]
    pub fn level(self) -> Level {
        self.about().2
    }

    fn about(self) -> (&'static str, &'static str, Level) {
        match self {
            Self::ReferencedResourceNotFound => ("IST0101", "ReferencedResourceNotFound", Level::Error),
            Self::SchemaValidationError => ("IST0106", "SchemaValidationError", Level::Error),
            Self::NoMatchingWorkloadsFound => ("IST0127", "NoMatchingWorkloadsFound", Level::Warning),
            Self::SchemaWarning => ("IST0133", "SchemaWarning", Level::Warning),
            Self::IneffectivePolicy => ("IST0167", "IneffectivePolicy", Level::Warning),
            Self::NegativeConditionStatus => ("IST0171", "NegativeConditionStatus", Level::Warning),
            Self::WaypointUnusable => ("LAT0001", "WaypointUnusable", Level::Error),
            Self::Conflict => ("LAT0002", "Conflict", Level::Warning),
            Self::UnknownTargetPort => ("LAT0003", "UnknownTargetPort", Level::Warning),
        }
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let mut all = Self::ALL.into_iter();
        all.find(|code| code.id().eq_ignore_ascii_case(text) || code.name() == text)
            .ok_or(UnknownCode)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}
