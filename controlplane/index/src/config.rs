//! What is the same for the whole mesh.

use std::collections::BTreeSet;

use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_k8s_api::mesh;
use mesh_types::{Strng, TrustDomain};

/// Names that go into every resource, and switches. The defaults are Istio's.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// The cluster's name, part of every workload's uid.
    pub cluster_id: Strng,
    /// The trust domain of every identity.
    pub trust_domain: TrustDomain,
    /// The domain of Services' host names.
    pub cluster_domain: Strng,
    /// Where policies for the whole mesh live.
    pub root_namespace: Strng,
    /// The control plane's revision, whose ConfigMap there holds the mesh's configuration.
    pub revision: Strng,
    /// Namespaces whose Pods are never members, whatever their labels say.
    pub excluded_namespaces: BTreeSet<Strng>,
    /// Whether policies with the annotation `istio.io/dry-run` are sent, to be reported and not enforced. Proxies before
    /// ztunnel 1.29 would enforce them.
    pub dry_run_policies: bool,
    /// Whether workloads behind a waypoint let in nobody else, but whom a policy allows.
    pub allow_from_waypoints: bool,
    /// Who may know of ServiceEntries, where the mesh's configuration does not say (`serviceEntryVisibility`): the first
    /// rule that fits the namespace counts; without one, everybody.
    pub service_entry_visibility: Vec<VisibilityRule>,
    /// Whether `discoverySelectors` are heeded where objects come from: an API server's are, files have none.
    pub selects_namespaces: bool,
}

/// Who may know of the ServiceEntries of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibilityRule {
    /// What a namespace's labels must be like, all of it; none means every namespace.
    pub namespaces: Vec<LabelSelector>,
    /// Who may know.
    pub visibility: ServiceEntryVisibility,
}

/// Who may know of a ServiceEntry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceEntryVisibility {
    /// Everybody.
    Public,
    /// Its own namespace.
    Namespace,
    /// Nobody: proxies are not told of it.
    None,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            cluster_id: "Kubernetes".into(),
            trust_domain: TrustDomain::default(),
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            revision: "default".into(),
            excluded_namespaces: BTreeSet::from(["kube-system".into()]),
            dry_run_policies: false,
            allow_from_waypoints: false,
            service_entry_visibility: Vec::new(),
            selects_namespaces: false,
        }
    }
}

impl VisibilityRule {
    /// The rules of the mesh's configuration; the last is for everything that no other is for.
    pub(crate) fn of_mesh(spec: &mesh::ServiceEntryVisibility) -> Vec<Self> {
        let policies = spec.policies.iter().map(|policy| Self {
            namespaces: policy
                .matching_rules
                .iter()
                .filter_map(|rule| rule.namespace_selector.clone())
                .collect(),
            visibility: policy.visibility.into(),
        });
        let otherwise = Self {
            namespaces: Vec::new(),
            visibility: spec.default_visibility.into(),
        };
        policies.chain([otherwise]).collect()
    }
}

impl From<mesh::Visibility> for ServiceEntryVisibility {
    fn from(visibility: mesh::Visibility) -> Self {
        match visibility {
            mesh::Visibility::VisibilityUnspecified | mesh::Visibility::Public => Self::Public,
            mesh::Visibility::Namespace => Self::Namespace,
            mesh::Visibility::None => Self::None,
        }
    }
}
