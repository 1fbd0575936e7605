//! Who may name objects of other namespaces (Gateway API, "ReferenceGrant").

use controlplane_collections::{Collection, Fetch, Graph, Index};
use controlplane_k8s_api::gateway::ReferenceGrant;
use mesh_types::{NamespacedName, Strng};

/// All grants, by their namespace.
#[derive(Clone, Copy)]
pub(crate) struct GrantLookups {
    by_namespace: Index<Strng, NamespacedName, ReferenceGrant>,
}

/// Who names an object: its API group, kind and namespace.
pub(crate) type Referrer<'a> = (&'a str, &'a str, &'a str);

impl GrantLookups {
    pub(crate) fn new(graph: &mut Graph, grants: Collection<NamespacedName, ReferenceGrant>) -> Self {
        Self {
            by_namespace: graph.index("grants by namespace", grants, |name, _| {
                vec![name.namespace.clone()]
            }),
        }
    }

    /// Whether a referrer may name an object, by its group, kind and name: those of its own namespace, and what is granted.
    pub(crate) fn permit(
        &self,
        fetch: &Fetch<'_>,
        from: Referrer<'_>,
        namespace: &Strng,
        to: (&str, &str, &str),
    ) -> bool {
        from.2 == namespace.as_str()
            || fetch
                .by(self.by_namespace, namespace)
                .any(|(_, grant)| grant.spec.grants(from, to))
    }
}
