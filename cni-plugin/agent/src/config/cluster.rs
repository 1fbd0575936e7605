//! What the agent needs to know of a Kubernetes cluster; the names of variables are upstream's where it has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use mesh_kube::Access;
use mesh_types::NamespacedName;

use crate::controller::operations::DrainTimes;
use crate::roster::rules::Rules;
use crate::roster::selector::Enablement;

/// The cluster that the agent's node is part of.
#[derive(Args, Clone, Debug)]
pub struct ClusterConfig {
    /// The namespace that the mesh's own pods live in, where nobody else may make any
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "istio-system"
    )]
    pub pod_namespace: String,

    /// The pod that this agent runs in; where it is not said, a token that is not good any more takes nothing off the host
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,

    /// How the API server is reached [default: as a pod of the cluster, else KUBECONFIG]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Which pods belong to the mesh, as a list of pairs of selectors in YAML [default: istio.io/dataplane-mode=ambient on
    /// the pod, or on its namespace where the pod does not say none]
    #[arg(
        long,
        env = "AMBIENT_ENABLEMENT_SELECTOR",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub enablement: Enablement,

    /// Namespaces whose pods never belong to the mesh, with commas
    #[arg(
        long,
        env = "EXCLUDE_NAMESPACES",
        value_name = "NAMESPACES",
        value_delimiter = ',',
        default_value = "kube-system"
    )]
    pub excluded_namespaces: Vec<String>,

    /// How long others are given to learn that a pod leaves the mesh where the control plane cannot say who knows, in seconds;
    /// its rules stay until then
    #[arg(long, env = "UNENROLL_SETTLE_SECONDS", value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub settle: u64,

    /// How long to wait at most until the control plane says that every proxy knows of a pod that leaves, in seconds; 0 asks
    /// nobody. It is asked at XDS_ADDRESS, if it is one of ours
    #[arg(long, env = "UNENROLL_ACK_SECONDS", value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub unenroll_ack: u64,

    /// How long the connections of a pod that leaves the mesh are given to end by themselves, in seconds, once nothing new of
    /// it passes ztunnel; what is open then is cut. 0 cuts at once
    #[arg(long, env = "UNENROLL_DRAIN_SECONDS", value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain: u64,

    /// The DaemonSet that this agent is a pod of: while it exists, the agent leaves everything in place when it stops
    #[arg(
        long,
        env = "DAEMONSET_NAME",
        value_name = "NAME",
        default_value = "istio-cni-node"
    )]
    pub daemonset: String,

    /// Whether the mesh leaves the node whenever the agent stops, even if it comes back
    #[arg(long, env = "AMBIENT_DISABLE_SAFE_UPGRADE", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub always_leave: bool,

    /// How long pods may take to leave the mesh before their rules are removed all the same, in seconds
    #[arg(long, env = "LEAVE_DEADLINE_SECONDS", value_name = "S", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub leave_deadline: u64,
}

impl ClusterConfig {
    /// How the API server is reached.
    #[must_use]
    pub fn access(&self) -> Access {
        match &self.kubeconfig {
            None => Access::detect(),
            path => Access::Kubeconfig {
                path: path.clone(),
                context: None,
            },
        }
    }

    /// Who belongs to the mesh.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let excluded = self.excluded_namespaces.iter().map(|name| name.trim().to_owned());
        Rules {
            enablement: self.enablement.clone(),
            excluded: excluded.filter(|name| !name.is_empty()).collect(),
            own_namespace: self.pod_namespace.clone(),
            own_daemonset: self.daemonset.clone(),
        }
    }

    /// The pod that this agent runs in, where that is said.
    #[must_use]
    pub fn own_pod(&self) -> Option<NamespacedName> {
        let name = self.pod_name.as_deref().filter(|name| !name.is_empty())?;
        Some(NamespacedName::new(self.pod_namespace.as_str(), name))
    }

    /// How long to wait until everybody knows of a pod that leaves; nothing where nobody is asked.
    #[must_use]
    pub fn unenroll_ack(&self) -> Option<Duration> {
        (self.unenroll_ack > 0).then(|| Duration::from_secs(self.unenroll_ack))
    }

    /// How long others are given to learn that a pod leaves, where nobody says who knows.
    #[must_use]
    pub fn settle(&self) -> Duration {
        Duration::from_secs(self.settle)
    }

    /// How long connections of pods that leave are given; no more than half of the time that there is when all leave.
    #[must_use]
    pub fn drain(&self) -> DrainTimes {
        DrainTimes {
            usual: Duration::from_secs(self.drain),
            leaving: self.leave_deadline() / 2,
        }
    }

    /// How long pods may take to leave.
    #[must_use]
    pub fn leave_deadline(&self) -> Duration {
        Duration::from_secs(self.leave_deadline)
    }
}
