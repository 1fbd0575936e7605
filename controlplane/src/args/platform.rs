//! What the cluster is, where that matters to what is made in it.

use clap::ValueEnum;
use controlplane_index::waypoint::deployment::PodUser;

/// What a cluster is, as the charts' `global.platform` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// Nothing of its own.
    #[default]
    #[value(name = "")]
    Usual,
    /// Google Kubernetes Engine.
    Gke,
    /// k3s.
    K3s,
    /// k3s in containers.
    K3d,
    /// `MicroK8s`.
    Microk8s,
    /// minikube.
    Minikube,
    /// OpenShift.
    Openshift,
}

impl Platform {
    /// Who says as which user pods run there.
    #[must_use]
    pub fn pod_user(self) -> PodUser {
        match self {
            Self::Openshift => PodUser::Assigned,
            Self::Usual | Self::Gke | Self::K3s | Self::K3d | Self::Microk8s | Self::Minikube => {
                PodUser::Upstreams
            }
        }
    }
}
