//! Which of two objects was there first.

use controlplane_k8s_api::Metadata;
use mesh_types::{NamespacedName, Strng};

/// The order in which objects were made; those that do not say when come last, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    unknown: bool,
    /// RFC 3339 in UTC, as API servers write it: the order of the text is that of time.
    created: Option<Strng>,
    name: NamespacedName,
}

impl Age {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            unknown: metadata.creation_timestamp.is_none(),
            created: metadata.creation_timestamp.clone(),
            name: NamespacedName::new(metadata.namespace.clone(), metadata.name.clone()),
        }
    }
}
