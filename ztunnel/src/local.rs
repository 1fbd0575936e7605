//! Who the pod is in whose namespace a connection was accepted.
//!
//! That is known from the namespace and from the node agent, never from an address: the agent gives name, namespace and
//! service account of the pod with its namespace, and the configuration must agree before the proxy acts as that
//! identity.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::Workload;
use mesh_state::{StateReader, View};
use mesh_types::{Identity, NetworkAddress, PortSet, Strng, WorkloadUid};
use mesh_zds::PodInfo;
use tokio::time::{Instant, timeout_at};

/// A pod of this node, as the node agent introduced it.
#[derive(Clone, Debug)]
pub struct LocalPod {
    info: PodInfo,
    network: Strng,
    uid: WorkloadUid,
}

/// Why a pod is not (yet) a workload of the mesh; more configuration may change it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInMesh {
    /// The configuration does not have it.
    #[error("workload {namespace}/{name} is not known to the control plane (yet)")]
    Unknown {
        /// The pod's namespace.
        namespace: Strng,
        /// The pod's name.
        name: Strng,
    },
    /// The configuration has it under another service account: an old pod of the same name, or a new one.
    #[error(
        "workload {namespace}/{name} has service account {configured} for the control plane, {actual} on this node"
    )]
    OtherAccount {
        /// The pod's namespace.
        namespace: Strng,
        /// The pod's name.
        name: Strng,
        /// What the control plane says.
        configured: Strng,
        /// What the node agent says.
        actual: Strng,
    },
}

impl LocalPod {
    /// A pod on a node of this cluster and network.
    #[must_use]
    pub fn new(info: PodInfo, cluster: &str, network: Strng) -> Self {
        let uid = WorkloadUid::of_pod(cluster, &info.namespace, &info.name);
        Self { info, network, uid }
    }

    /// Name, namespace and service account.
    #[must_use]
    pub fn info(&self) -> &PodInfo {
        &self.info
    }

    /// The network of this node.
    #[must_use]
    pub fn network(&self) -> &Strng {
        &self.network
    }

    /// The pod's workload. `address` is one of the pod's own; it finds workloads whose uid is not that of a Pod, such as
    /// a WorkloadEntry's, and those must be introduced under the same name as well.
    ///
    /// # Errors
    /// Fails while the control plane does not say the same as the node agent.
    pub fn workload<'v>(&self, view: &'v View, address: IpAddr) -> Result<&'v Arc<Workload>, NotInMesh> {
        let PodInfo {
            name,
            namespace,
            service_account,
        } = &self.info;
        let at_address = || {
            let address = NetworkAddress::new(self.network.clone(), address);
            let found = view.workload_by_address(&address);
            found.filter(|w| w.name == *name && w.namespace() == namespace)
        };
        let workload = view
            .workload_by_uid(&self.uid)
            .or_else(at_address)
            .ok_or_else(|| NotInMesh::Unknown {
                namespace: namespace.clone(),
                name: name.clone(),
            })?;
        if workload.identity.service_account() != service_account {
            return Err(NotInMesh::OtherAccount {
                namespace: namespace.clone(),
                name: name.clone(),
                configured: workload.identity.service_account().clone(),
                actual: service_account.clone(),
            });
        }
        Ok(workload)
    }

    /// The identity under which the configuration has the pod, once it has it and agrees with the node agent.
    #[must_use]
    pub fn known_identity(&self, view: &View) -> Option<Identity> {
        let workload = view.workload_by_uid(&self.uid)?;
        let agreed = workload.identity.service_account() == &self.info.service_account;
        agreed.then(|| workload.identity.clone())
    }

    /// The ports at which the configuration refuses whoever reaches the pod in the clear, as the mode STRICT does; nothing while it does
    /// not have the pod, or does not agree with the node agent. `addresses` are the pod's own.
    #[must_use]
    pub fn refuses_plaintext_at(&self, view: &View, addresses: &[IpAddr]) -> Option<PortSet> {
        let mut found = addresses.iter().map(|address| self.workload(view, *address));
        let workload = found.find_map(Result::ok)?;
        Some(view.policies_for(workload).refuses_plaintext_at())
    }

    /// [`LocalPod::workload`], waiting for the configuration to arrive: a pod can be faster than the news of it.
    ///
    /// # Errors
    /// Fails when it has not arrived after [`PATIENCE`].
    pub async fn wait_for_workload(
        &self,
        state: &StateReader,
        address: IpAddr,
    ) -> Result<Arc<Workload>, NotInMesh> {
        let mut generation = state.generation();
        let deadline = Instant::now() + PATIENCE;
        loop {
            generation.mark_unchanged();
            let found = state.query(|view| self.workload(view, address).cloned());
            if found.is_ok() {
                return found;
            }
            match timeout_at(deadline, generation.changed()).await {
                Ok(Ok(())) => {}
                _ => return found,
            }
        }
    }
}

/// How long a connection waits for the news of its own pod, as upstream's do.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
