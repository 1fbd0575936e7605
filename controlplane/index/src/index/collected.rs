//! What derivations found and stated, gathered by object.

use std::sync::Arc;

use controlplane_collections::{Collection, Graph, Value};
use controlplane_k8s_api::ObjectKey;

use crate::derived::{Condition, Derived};
use crate::status::Statuses;

/// What derivations stated, by object.
pub(crate) fn collect_statuses<K, T>(graph: &Graph, of: Collection<K, Derived<T>>, into: &mut Statuses)
where
    K: controlplane_collections::Key,
    Derived<T>: Value,
{
    let mut stated: Vec<_> = graph.iter(of).filter(|(_, d)| !d.status.is_empty()).collect();
    stated.sort_by_key(|(key, _)| *key);
    for (_, derived) in stated {
        into.add(&derived.provenance, &derived.status);
    }
}

/// What derivations found, by object.
pub(crate) fn collect_conditions<K, T>(
    graph: &Graph,
    of: Collection<K, Derived<T>>,
    into: &mut Vec<(ObjectKey, Condition)>,
) where
    K: controlplane_collections::Key,
    Derived<T>: Value,
{
    for (_, derived) in graph.iter(of) {
        let conditions = derived.conditions.iter();
        into.extend(conditions.map(|c| (derived.provenance.clone(), c.clone())));
    }
}

/// The entries of a collection in the order of keys, so that what is said about one object keeps its order.
pub(crate) fn sorted_values<K: controlplane_collections::Key, V: Value>(
    graph: &Graph,
    of: Collection<K, V>,
) -> Vec<(&K, &Arc<V>)> {
    let mut all: Vec<_> = graph.iter(of).collect();
    all.sort_by_key(|(key, _)| *key);
    all
}
