//! Which namespaces belong to the mesh (MeshConfig `discoverySelectors`).

use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_k8s_api::object::Labels;

/// Namespaces with labels that one of the selectors selects; all, where there is no selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    selectors: Vec<LabelSelector>,
}

impl Scope {
    /// What these selectors select.
    #[must_use]
    pub fn new(selectors: Vec<LabelSelector>) -> Self {
        Self { selectors }
    }

    /// Whether a namespace with these labels belongs to the mesh.
    #[must_use]
    pub fn includes(&self, labels: &Labels) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|selector| selector.matches(labels))
    }
}

#[cfg(test)]
mod tests;
