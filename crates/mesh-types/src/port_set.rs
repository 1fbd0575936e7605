//! Sets of ports: a few, or all but a few.

use std::collections::BTreeSet;

/// A set of TCP ports.
#[derive(Clone, Debug, Eq)]
pub enum PortSet {
    /// These.
    Only(BTreeSet<u16>),
    /// All but these.
    AllBut(BTreeSet<u16>),
}

impl PortSet {
    /// No port.
    #[must_use]
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Every port.
    #[must_use]
    pub fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    /// Whether no port is in it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        match self {
            Self::Only(ports) => ports.is_empty(),
            Self::AllBut(ports) => ports.len() == EVERY_PORT,
        }
    }

    /// Whether every port is in it.
    #[must_use]
    pub fn is_all(&self) -> bool {
        match self {
            Self::Only(ports) => ports.len() == EVERY_PORT,
            Self::AllBut(ports) => ports.is_empty(),
        }
    }

    /// Whether this port is in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::Only(ports) => ports.contains(&port),
            Self::AllBut(ports) => !ports.contains(&port),
        }
    }

    /// The ports that are not in it.
    #[must_use]
    pub fn complement(self) -> Self {
        match self {
            Self::Only(ports) => Self::AllBut(ports),
            Self::AllBut(ports) => Self::Only(ports),
        }
    }

    /// The ports that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(&a | &b),
            (Self::AllBut(a), Self::AllBut(b)) => Self::AllBut(&a & &b),
            (Self::Only(a), Self::AllBut(b)) | (Self::AllBut(b), Self::Only(a)) => Self::AllBut(&b - &a),
        }
    }

    /// The ports that are in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        self.complement().union(other.complement()).complement()
    }
}

/// No port.
impl Default for PortSet {
    fn default() -> Self {
        Self::none()
    }
}

/// Of the same ports, however they are said.
impl PartialEq for PortSet {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) | (Self::AllBut(a), Self::AllBut(b)) => a == b,
            (Self::Only(a), Self::AllBut(b)) | (Self::AllBut(b), Self::Only(a)) => {
                a.len() + b.len() == EVERY_PORT && a.is_disjoint(b)
            }
        }
    }
}

const EVERY_PORT: usize = u16::MAX as usize + 1;

#[cfg(test)]
mod tests;
