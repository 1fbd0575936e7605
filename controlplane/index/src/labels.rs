//! Selectors, and how to find those that could match without looking at all of them.

use controlplane_collections::{Collection, Fetch, Graph, Index, Value};
use controlplane_k8s_api::Labels;
use mesh_types::{NamespacedName, Strng};

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

/// Selectors by one of the labels that each needs, within their namespaces.
pub(crate) struct Selectors<V> {
    by_label: Index<LabelKey, NamespacedName, V>,
    /// Where there are any: a Pod elsewhere reads this once, and nothing for each of its labels.
    namespaces: Collection<Strng, ()>,
}

impl<V: Value> Selectors<V> {
    /// Those of a collection; what `selector` gives nothing of selects nobody.
    pub(crate) fn new(
        graph: &mut Graph,
        name: &'static str,
        of: Collection<NamespacedName, V>,
        selector: fn(&V) -> Option<&Labels>,
    ) -> Self {
        let key = move |name: &NamespacedName, value: &V| {
            selector(value).and_then(|selector| LabelKey::of_selector(&name.namespace, selector))
        };
        Self {
            by_label: graph.index(name, of, move |name, value| {
                key(name, value).into_iter().collect()
            }),
            namespaces: graph.groups(name, of, move |name, value| {
                let selects = key(name, value).is_some();
                selects.then(|| name.namespace.clone()).into_iter().collect()
            }),
        }
    }

    /// Those that could match these labels, in no order.
    pub(crate) fn candidates<'a>(
        &self,
        fetch: &Fetch<'a>,
        namespace: &Strng,
        labels: &Labels,
    ) -> impl Iterator<Item = (&'a NamespacedName, &'a V)> {
        let any = fetch.get(self.namespaces, namespace).is_some();
        let keys = any.then(|| LabelKey::of_labels(namespace, labels));
        let keys = keys.into_iter().flatten();
        keys.flat_map(|label| fetch.by(self.by_label, &label))
    }
}

impl<V> Clone for Selectors<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Selectors<V> {}

/// Whether labels have everything that a selector asks for.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
