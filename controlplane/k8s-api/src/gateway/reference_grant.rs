//! ReferenceGrant: who may name objects of this namespace (Gateway API reference, "ReferenceGrant").

use mesh_types::Strng;
use serde::Deserialize;

use crate::object::Resource;

/// Who may name objects of this namespace. It grants something, so a field that does not exist is an error.
pub type ReferenceGrant = Resource<ReferenceGrantSpec>;

/// What a [`ReferenceGrant`] grants: every `from` may name every `to`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ReferenceGrantSpec {
    /// Who may name.
    pub from: Vec<GrantFrom>,
    /// What may be named.
    pub to: Vec<GrantTo>,
}

/// Who may name: the objects of one kind in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    /// The API group; empty for the core group.
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The namespace.
    pub namespace: Strng,
}

/// What may be named: the objects of one kind, or one of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// The API group; empty for the core group.
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name; every object of the kind where absent.
    #[serde(default)]
    pub name: Option<Strng>,
}

impl ReferenceGrantSpec {
    /// Whether an object of a group, kind and namespace may name an object of this grant's namespace.
    #[must_use]
    pub fn grants(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        let from_ok = self
            .from
            .iter()
            .any(|f| (f.group.as_str(), f.kind.as_str(), f.namespace.as_str()) == from);
        let to_ok = self.to.iter().any(|t| {
            (t.group.as_str(), t.kind.as_str()) == (to.0, to.1) && t.name.as_ref().is_none_or(|n| *n == *to.2)
        });
        from_ok && to_ok
    }
}
