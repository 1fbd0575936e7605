//! Selectors, and how to find those that could match without looking at all of them.

use controlplane_k8s_api::Labels;
use mesh_types::Strng;

/// One label in one namespace. Selectors are indexed by one of the labels that they need, and looked up by every label
/// that a Pod has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelKey {
    namespace: Strng,
    key: Strng,
    value: Strng,
}

impl LabelKey {
    /// Where a selector is found; an empty one nowhere.
    pub(crate) fn of_selector(namespace: &Strng, selector: &Labels) -> Option<Self> {
        Self::of_labels(namespace, selector).next()
    }

    /// Where the selectors that could match these labels are found.
    pub(crate) fn of_labels(namespace: &Strng, labels: &Labels) -> impl Iterator<Item = Self> {
        labels.iter().map(|(key, value)| Self {
            namespace: namespace.clone(),
            key: key.clone(),
            value: value.clone(),
        })
    }
}

/// Whether labels have everything that a selector asks for.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
